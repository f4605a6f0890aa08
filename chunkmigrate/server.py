"""The server: connect, ask what it can do, commit, and say in a sentence what the driver's exceptions mean.

No secret leaves this module: a connection string is shown without its password. Which exceptions pass by
themselves is ``retry``'s to know.
"""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote_plus

import pymongo
from pymongo import MongoClient, ReadPreference
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    InvalidName,
    InvalidURI,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.read_concern import ReadConcern
from pymongo.uri_parser import parse_uri
from pymongo.write_concern import WriteConcern

from chunkmigrate.discretion import bare_reason
from chunkmigrate.errors import (
    AccessDeniedError,
    ChunkmigrateError,
    InvalidSettingError,
    ServerError,
    UnreachableError,
)
from chunkmigrate.retry import Retry, is_conflict, is_slow, is_unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pymongo.client_session import ClientSession
    from pymongo.database import Database
    from pymongo.monitoring import CommandListener

T = TypeVar("T")

MAJORITY, LOCAL = WriteConcern("majority"), ReadConcern("local")

# The driver waits 30 s for a server; an operator looking at a terminal wants to know sooner.
SERVER_SELECTION_SECONDS = 10

# The driver waits 20 s for a connection, and ten more than that for the heartbeat of a server gone silent.
# In a pod's network a connection takes milliseconds, across the world a second.
CONNECT_SECONDS = 5

# A chunk takes 10 to 100 ms. Twenty seconds are enough for the largest one (4 MiB) on a slow line and a busy
# server, and short enough for three tries within the time of a retry. The server ends a transaction after 60.
ATTEMPT_SECONDS = 20.0

# To abort is a courtesy, which spares others the locks of a transaction nobody goes on with; the next one of
# the same session ends it anyway.
ABORT_SECONDS = 2.0

# So is to end the sessions. Where the server had gone silent it took 13 of the 42 s from SIGTERM to the end.
CLOSE_SECONDS = 2.0

# Greedy: a password nobody encoded may hold an @ or a / itself, and hiding too much does no harm.
_PASSWORD = re.compile(r"(mongodb(?:\+srv)?://[^:\s]*):\S*(?=@)")
_ACCESS = {13: "Unauthorized", 18: "AuthenticationFailed", 8000: "AtlasError"}
_OUT_OF_DISK_SPACE = 14031
_DISK_FULL = re.compile("no space left on device|over your space quota|out of disk space", re.IGNORECASE)
_LOCK_TIMEOUT, _WRITE_CONCERN_TIMEOUT = 24, 64
_SHUTTING_DOWN = {91: "ShutdownInProgress", 11600: "InterruptedAtShutdown"}
_NO_PRIMARY = re.compile('no primary available|selector "primary', re.IGNORECASE)
# The server repeats the whole command, and with it what the documents hold.
_COMMAND = re.compile(r"(?<=to execute command) \{ (\w+):.*", re.DOTALL)

_SLOW = "Is it locked (fsyncLock), overloaded, or without a majority of its members? "
_SAFE = "What is committed is safe; run again to continue."


def connect(uri: str, listeners: Sequence[CommandListener] = ()) -> MongoClient[Any]:
    """Return a client of a server that has answered; ``listeners`` are told of each command it sends.

    Raises `InvalidSettingError` for a connection string that is none, `UnreachableError` where nobody
    answers, `AccessDeniedError` where the credentials are refused.
    """
    client = _client(uri, listeners)
    try:
        client.admin.command("ping")
    except PyMongoError as error:
        client.close()
        raise explained(error, uri) from error
    return client


def close(client: MongoClient[Any]) -> None:
    """Close the client, and not wait for a server that does not answer any more."""
    with pymongo.timeout(CLOSE_SECONDS):
        client.close()


def _client(uri: str, listeners: Sequence[CommandListener]) -> MongoClient[Any]:
    """Return a client without a time limit for its commands: an author's index may take an hour to build."""
    options: dict[str, Any] = {"appname": "chunkmigrate", "event_listeners": [*listeners]}
    if "serverselectiontimeoutms" not in uri.lower():
        options["serverSelectionTimeoutMS"] = SERVER_SELECTION_SECONDS * 1_000
    if "connecttimeoutms" not in uri.lower():
        options["connectTimeoutMS"] = CONNECT_SECONDS * 1_000
    try:
        return MongoClient(uri, **options)
    except (InvalidURI, ConfigurationError, ValueError) as error:
        raise _unusable(uri, error) from error


def _unusable(uri: str, error: Exception) -> InvalidSettingError:
    # What cannot be parsed cannot be redacted either: it is not shown at all.
    detail = "it does not begin with mongodb:// or mongodb+srv://"
    if re.match(r"mongodb(\+srv)?://", uri):
        detail = (
            f"{type(error).__name__}; special characters in its user and password must be percent-encoded"
        )
    return InvalidSettingError(f"The URI is not a connection string MongoDB's driver can use: {detail}.")


def database(client: MongoClient[Any], name: str) -> Database[Any]:
    """Return a database whose reads and writes can be relied on, whatever the connection string prefers.

    A position read from a lagging secondary, or a record the primary alone has seen, would repeat documents.
    """
    try:
        return client.get_database(
            name, read_preference=ReadPreference.PRIMARY, write_concern=MAJORITY, read_concern=LOCAL
        )
    except InvalidName as error:
        raise InvalidSettingError(f"{name!r} cannot be a database's name: {error}.") from error


def attempt(session: ClientSession, work: Callable[[ClientSession], T], *, seconds: float) -> T:
    """Do ``work`` in one transaction, once; all of it, the commit included, takes at most ``seconds``.

    Raises whatever fails, the driver's errors with their labels, after the transaction was aborted. With the
    label UnknownTransactionCommitResult it may be committed all the same. Who tries again must do so on the
    same session: the server then ends what may be left of the first try, and refuses a commit of it that
    arrives late.
    """
    with _aborting(session), pymongo.timeout(seconds):
        result = _worked(session, work)
        session.commit_transaction()
    return result


def transact(session: ClientSession, work: Callable[[ClientSession], T], retry: Retry | None = None) -> T:
    """Do ``work`` in one transaction, again and again while its failure is a passing one.

    It is committed once: where the result of a commit is unknown, the commit is asked for again, and not the
    work. Each try takes at most `ATTEMPT_SECONDS`; after the time of ``retry`` the failure at hand is raised.
    """
    given = retry or Retry()
    commits = replace(given, passing=is_unknown)
    tries = replace(given, passing=lambda error: given.passing(error) and not is_unknown(error))

    def once() -> T:
        with _aborting(session):
            with pymongo.timeout(ATTEMPT_SECONDS):
                result = _worked(session, work)
            commits(lambda: _committed(session))
        return result

    return tries(once)


def _worked(session: ClientSession, work: Callable[[ClientSession], T]) -> T:
    session.start_transaction(
        read_concern=LOCAL, write_concern=MAJORITY, read_preference=ReadPreference.PRIMARY
    )
    return work(session)


def _committed(session: ClientSession) -> None:
    with pymongo.timeout(ATTEMPT_SECONDS):
        session.commit_transaction()


@contextmanager
def _aborting(session: ClientSession) -> Iterator[None]:
    """Abort the transaction if the block fails, in a time of its own: that of the block may be over."""
    try:
        yield
    except BaseException:
        if session.in_transaction:
            with suppress(PyMongoError), pymongo.timeout(ABORT_SECONDS):
                session.abort_transaction()
        raise


def has_transactions(client: MongoClient[Any]) -> bool:
    """Whether the server can commit several writes together: a replica set or a sharded cluster can."""
    with pymongo.timeout(ATTEMPT_SECONDS):
        hello: Mapping[str, Any] = client.admin.command("hello")
    return "setName" in hello or hello.get("msg") == "isdbgrid"


def database_of(uri: str) -> str | None:
    """Return the database a connection string names; `InvalidSettingError` for what is none."""
    # Parsing mongodb+srv as such would ask the DNS; its options do not matter here, and would be refused.
    plain = uri.partition("?")[0].replace("mongodb+srv://", "mongodb://", 1)
    try:
        name: str | None = parse_uri(plain, validate=False, warn=False)["database"]
    except (PyMongoError, ValueError) as error:
        raise _unusable(uri, error) from error
    return name


def explained(error: PyMongoError, uri: str = "") -> ChunkmigrateError:
    """Return what a driver's exception means for a migration, as a sentence."""
    if isinstance(error, OperationFailure):
        kind, what, advice = _refusal(error)
    else:
        kind, what, advice = _absence(error, uri)
    # What `Retry` has noted: how long it was tried.
    notes = "".join(f" {note}" for note in getattr(error, "__notes__", ()))
    whole = reason(error, uri)
    message, discreet = (
        f"{what}: {why}.{notes} {advice}{_SAFE}" for why in (whole, bare_reason(error, whole))
    )
    return kind(message, discreet=discreet)


_Meaning = tuple[type[ChunkmigrateError], str, str]


def _refusal(error: OperationFailure) -> _Meaning:
    """Return what an answer of the server means: its kind, what happened, and what to do about it."""
    if error.code == _OUT_OF_DISK_SPACE or _DISK_FULL.search(str(error)):
        return ServerError, "The disk of the MongoDB server is full", "Give it room. "
    if error.code in _ACCESS:
        return AccessDeniedError, "MongoDB refused access", "Check the user, its password and its roles. "
    if is_slow(error) or error.code in (_LOCK_TIMEOUT, _WRITE_CONCERN_TIMEOUT):
        return ServerError, "MongoDB did not do it in time", _SLOW
    if is_conflict(error):
        advice = "Let there be less of it at a time. "
        return ServerError, "Other work on the same documents always came first", advice
    return ServerError, "MongoDB failed", ""


def _absence(error: PyMongoError, uri: str) -> _Meaning:
    """Return what it means that the server gave no answer."""
    if _is_without_primary(error):
        advice = "Has it a majority of its members? "
        return UnreachableError, "The replica set has no primary that takes writes", advice
    if isinstance(error, ServerSelectionTimeoutError):
        where = redacted(uri, uri).partition("?")[0] or "the server"  # options may hold secrets, too
        return UnreachableError, f"No MongoDB server answered at {where}", "Is it running and reachable? "
    if is_slow(error):
        return UnreachableError, "MongoDB did not answer in time", _SLOW
    if isinstance(error, ConnectionFailure):
        return UnreachableError, "The connection to MongoDB was lost", ""
    return ServerError, "MongoDB failed", ""


def _is_without_primary(error: PyMongoError) -> bool:
    if isinstance(error, NotPrimaryError):
        details = error.details if isinstance(error.details, dict) else {}
        return details.get("code") not in _SHUTTING_DOWN
    return isinstance(error, ServerSelectionTimeoutError) and bool(_NO_PRIMARY.search(str(error)))


def redacted(text: str, uri: str = "") -> str:
    """Return ``text`` without any password, ``uri``'s own included, however it is spelled."""
    shown = _PASSWORD.sub(r"\1:***", text)
    for secret in _secrets(uri):
        shown = shown.replace(secret, "***")
    return shown


def _secrets(uri: str) -> list[str]:
    """Return the password of a connection string as written and as meant, the longest first."""
    credentials = uri.partition("://")[2].rpartition("@")[0]
    password = credentials.partition(":")[2]
    return sorted(
        {spelled for spelled in (password, unquote_plus(password)) if len(spelled) > 2}, key=len, reverse=True
    )


def reason(error: Exception, uri: str = "") -> str:
    """Return the driver's message without the topology it appends, and the server's without its details.

    No password is in it, that of ``uri`` included.
    """
    message = str(error).partition(", full error")[0].partition(", Timeout: ")[0]
    message = _COMMAND.sub(r" \1", message)
    return redacted(message.partition(" (configured timeouts")[0].rstrip("."), uri)
