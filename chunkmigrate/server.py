"""The server: connect, ask what it can do, and say in a sentence what the driver's exceptions mean.

No secret leaves this module: a connection string is shown without its password.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote_plus

from pymongo import MongoClient, ReadPreference
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    InvalidName,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.read_concern import ReadConcern
from pymongo.uri_parser import parse_uri
from pymongo.write_concern import WriteConcern

from chunkmigrate.errors import (
    AccessDeniedError,
    ChunkmigrateError,
    InvalidSettingError,
    ServerError,
    UnreachableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pymongo.client_session import ClientSession
    from pymongo.database import Database

T = TypeVar("T")

MAJORITY, LOCAL = WriteConcern("majority"), ReadConcern("local")

# The driver waits 30 s for a server; an operator looking at a terminal wants to know sooner.
SERVER_SELECTION_SECONDS = 10

# Greedy: a password nobody encoded may hold an @ or a / itself, and hiding too much does no harm.
_PASSWORD = re.compile(r"(mongodb(?:\+srv)?://[^:\s]*):\S*(?=@)")
_UNAUTHORIZED, _AUTHENTICATION_FAILED, _ATLAS = 13, 18, 8000


def connect(uri: str) -> MongoClient[Any]:
    """Return a client of a server that has answered.

    Raises `InvalidSettingError` for a connection string that is none, `UnreachableError` where nobody
    answers, `AccessDeniedError` where the credentials are refused.
    """
    try:
        options: dict[str, Any] = {"appname": "chunkmigrate"}
        if "serverselectiontimeoutms" not in uri.lower():
            options["serverSelectionTimeoutMS"] = SERVER_SELECTION_SECONDS * 1_000
        client: MongoClient[Any] = MongoClient(uri, **options)
    except (InvalidURI, ConfigurationError, ValueError) as error:
        raise _unusable(uri, error) from error
    try:
        client.admin.command("ping")
    except PyMongoError as error:
        client.close()
        raise explained(error, uri) from error
    return client


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


def transact(session: ClientSession, work: Callable[[ClientSession], T]) -> T:
    """Do ``work`` in one transaction, again and again while its failure is a passing one, for two minutes."""
    return session.with_transaction(
        work, read_concern=LOCAL, write_concern=MAJORITY, read_preference=ReadPreference.PRIMARY
    )


def has_transactions(client: MongoClient[Any]) -> bool:
    """Whether the server can commit several writes together: a replica set or a sharded cluster can."""
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
    detail = redacted(_short(error), uri)
    if isinstance(error, ServerSelectionTimeoutError):
        where = redacted(uri, uri).partition("?")[0] or "the server"  # options may hold secrets, too
        return UnreachableError(
            f"No MongoDB server answered at {where}: {detail}. Is it running and reachable?"
        )
    if isinstance(error, OperationFailure) and error.code in (_UNAUTHORIZED, _AUTHENTICATION_FAILED, _ATLAS):
        return AccessDeniedError(
            f"MongoDB refused access: {detail}. Check the user, its password and its roles."
        )
    if isinstance(error, ConnectionFailure):
        return UnreachableError(
            f"The connection to MongoDB was lost: {detail}. What is committed is safe; run again to continue."
        )
    return ServerError(f"MongoDB failed: {detail}. What is committed is safe; run again to continue.")


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


def _short(error: PyMongoError) -> str:
    """Return the driver's message without the topology it appends, and the server's without its details."""
    message = str(error).partition(", full error")[0].partition(", Timeout: ")[0]
    return message.partition(" (configured timeouts")[0].rstrip(".")
