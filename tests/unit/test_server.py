"""The server: secrets kept, and what the driver's exceptions mean."""

from __future__ import annotations

import pytest
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    CursorNotFound,
    ExecutionTimeout,
    InvalidOperation,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WTimeoutError,
)

from chunkmigrate.errors import (
    AccessDeniedError,
    ChunkmigrateError,
    InvalidSettingError,
    ServerError,
    UnreachableError,
)
from chunkmigrate.server import _client, connect, explained, redacted

SAFE = "What is committed is safe; run again to continue."

URIS = [
    ("mongodb://ann:s3cret@localhost", "mongodb://ann:***@localhost"),
    ("mongodb://ann:s3cret@localhost:27017/shop?a=b", "mongodb://ann:***@localhost:27017/shop?a=b"),
    ("mongodb+srv://ann:s3cret@c.example.net/shop", "mongodb+srv://ann:***@c.example.net/shop"),
    ("mongodb://ann:s3cret@a:1,b:2,[::1]:3/shop", "mongodb://ann:***@a:1,b:2,[::1]:3/shop"),
    ("mongodb://ann:s3%40cr%2Fet%3A@localhost/", "mongodb://ann:***@localhost/"),
    ("mongodb://a%40nn:s3cret@localhost/", "mongodb://a%40nn:***@localhost/"),
    ("mongodb://ann:s3@cret@localhost/", "mongodb://ann:***@localhost/"),
    ("mongodb://ann:s3/cret@localhost/", "mongodb://ann:***@localhost/"),
    ("mongodb://ann:s3/c@r/et@localhost/shop", "mongodb://ann:***@localhost/shop"),
    ("mongodb://ann:s3:cret@localhost/", "mongodb://ann:***@localhost/"),
    ("mongodb://ann:s3?cret@localhost/", "mongodb://ann:***@localhost/"),
    ("mongodb://ann:s3 cret@localhost/", "mongodb://ann:***@localhost/"),
    ("mongodb://ann@work:s3cret@localhost/", "mongodb://ann@work:***@localhost/"),
    ("mongodb://:s3cret@localhost/", "mongodb://:***@localhost/"),
    ("mongodb://ann:@localhost/", "mongodb://ann:***@localhost/"),
    ("mongodb://ann:x@localhost/", "mongodb://ann:***@localhost/"),
]
OPEN = [
    "mongodb://localhost",
    "mongodb://a:27017,b:27018/shop?replicaSet=r",
    "mongodb://ann@localhost:27017/shop",
    "mongodb+srv://c.example.net/shop",
    "mongodb://%2Ftmp%2Fmongodb-27017.sock/shop",
    "ann:s3cret@example.net is no connection string",
    "",
]


@pytest.mark.parametrize(("uri", "shown"), URIS)
def test_redacted(uri: str, shown: str) -> None:
    """A connection string is shown without its password, whatever the password is made of."""
    assert redacted(uri, uri) == shown


@pytest.mark.parametrize(("uri", "shown"), [(u, s) for u, s in URIS if " " not in u])
def test_redacted_in_a_sentence(uri: str, shown: str) -> None:
    """A connection string somewhere in a text loses its password, even where nobody knows which one it is."""
    assert redacted(f"cannot use '{uri}' now") == f"cannot use '{shown}' now"
    assert redacted(f"{uri} {uri}") == f"{shown} {shown}"


@pytest.mark.parametrize("uri", OPEN)
def test_nothing_to_hide(uri: str) -> None:
    """A text without a password in a connection string stays as it is."""
    assert redacted(uri, uri) == uri


@pytest.mark.parametrize(
    ("password", "spelled"),
    [("s3cret", "s3cret"), ("s3%40cr%2Fet", "s3@cr/et"), ("s3+cret", "s3 cret"), ("s3%2540", "s3%40")],
)
def test_repeated(password: str, spelled: str) -> None:
    """A password that an error repeats is hidden, as it was written and as it was meant."""
    uri = f"mongodb://ann:{password}@localhost/shop"
    text = redacted(f"no {spelled} for {password}: {uri}", uri)

    assert text == "no *** for ***: mongodb://ann:***@localhost/shop"


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://ann:s3cr/et@localhost/shop",
        "mongodb://ann:s3@cr/et@localhost/shop",
        "mongodb://ann:s3cr et",
        "ann:s3cret@localhost/shop",
        "mongodb//ann:s3cret@localhost/shop",
    ],
)
def test_refused_uri(uri: str) -> None:
    """A connection string that cannot be used is not repeated: what cannot be parsed cannot be redacted."""
    with pytest.raises(InvalidSettingError, match="The URI is not a connection string") as caught:
        connect(uri)

    assert not any(part in str(caught.value) for part in ("ann", "s3", "cr", "localhost"))


@pytest.mark.parametrize("uri", ["postgres://a/b", "mongodb://", "mongodb://h:port", "mongodb://h/a$b"])
def test_no_uri(uri: str) -> None:
    """What is no connection string is refused."""
    with pytest.raises(InvalidSettingError) as caught:
        connect(uri)

    assert str(caught.value).startswith("The URI is not a connection string MongoDB's driver can use: ")
    assert isinstance(caught.value.__cause__, PyMongoError | ValueError)


REFUSED = f"MongoDB refused access: no. Check the user, its password and its roles. {SAFE}"
LOST = f"The connection to MongoDB was lost: no. {SAFE}"
FAILED = f"MongoDB failed: no. {SAFE}"
FULL = f"The disk of the MongoDB server is full: %s. Give it room. {SAFE}"
PRIMARY = f"The replica set has no primary that takes writes: %s. Has it a majority of its members? {SAFE}"
SLOW = f"%s in time: no. Is it locked (fsyncLock), overloaded, or without a majority of its members? {SAFE}"
LATE, UNDONE = SLOW % "MongoDB did not answer", SLOW % "MongoDB did not do it"
BUSY = f"Other work on the same documents always came first: no. Let there be less of it at a time. {SAFE}"
NOBODY = (
    f"No MongoDB server answered at mongodb://ann:***@h: l:1: refused. Is it running and reachable? {SAFE}"
)
NOT_AUTHORIZED = (
    'not authorized on shop to execute command { update: "c", updates: [ { q: {}, u: {\n"iban": 1 } } ] }'
)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            ServerSelectionTimeoutError("l:1: refused (configured timeouts: x), Timeout: 10s, Topology"),
            UnreachableError,
            NOBODY,
        ),
        (
            ServerSelectionTimeoutError("No primary available for writes, Timeout: 10s, Topology"),
            UnreachableError,
            PRIMARY % "No primary available for writes",
        ),
        (
            ServerSelectionTimeoutError('No replica set members match selector "Primary()", Timeout: 1s'),
            UnreachableError,
            PRIMARY % 'No replica set members match selector "Primary()"',
        ),
        (OperationFailure("no", 13), AccessDeniedError, REFUSED),
        (
            OperationFailure(NOT_AUTHORIZED, 13),
            AccessDeniedError,
            REFUSED.replace("no.", "not authorized on shop to execute command update."),
        ),
        (OperationFailure("no.", 18), AccessDeniedError, REFUSED),
        (OperationFailure("no, full error: {'secret': 1}", 8000), AccessDeniedError, REFUSED),
        (
            OperationFailure("you are over your space quota, using 513 MB of 512 MB", 8000),
            ServerError,
            FULL % "you are over your space quota, using 513 MB of 512 MB",
        ),
        (OperationFailure("no", 14031), ServerError, FULL % "no"),
        (
            OperationFailure("28: No space left on device", 1),
            ServerError,
            FULL % "28: No space left on device",
        ),
        (AutoReconnect("no"), UnreachableError, LOST),
        (NetworkTimeout("no (configured timeouts: socketTimeoutMS: 1ms)"), UnreachableError, LATE),
        (NotPrimaryError("no", {"code": 10107}), UnreachableError, PRIMARY % "no"),
        (NotPrimaryError("no"), UnreachableError, PRIMARY % "no"),
        (NotPrimaryError("no", {"code": 91}), UnreachableError, LOST),
        (NotPrimaryError("no", {"code": 11600}), UnreachableError, LOST),
        (OperationFailure("no", 24), ServerError, UNDONE),
        (OperationFailure("no", 50), ServerError, UNDONE),
        (ExecutionTimeout("no", 50), ServerError, UNDONE),
        (WTimeoutError("no", 64), ServerError, UNDONE),
        (OperationFailure("no", 112), ServerError, BUSY),
        (OperationFailure("no"), ServerError, FAILED),
        (CursorNotFound("no", 43), ServerError, FAILED),
        (InvalidOperation("no"), ServerError, FAILED),
        (ConfigurationError("no for s3cret"), ServerError, FAILED.replace("no.", "no for ***.")),
        (BulkWriteError({}), ServerError, FAILED.replace("no.", "batch op errors occurred.")),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, PyMongoError) else "",
)
def test_explained(error: PyMongoError, kind: type[ChunkmigrateError], message: str) -> None:
    """Each of the driver's exceptions becomes the failure it is, without topology or secrets."""
    found = explained(error, "mongodb://ann:s3cret@h")

    assert type(found) is kind
    assert str(found) == message


def test_nobody_known() -> None:
    """Without a connection string at hand the sentence speaks of the server."""
    found = explained(ServerSelectionTimeoutError("refused"))

    assert str(found).startswith("No MongoDB server answered at the server: refused. Is it running")


def test_tried_for_long() -> None:
    """The sentence says for how long it was tried again, where it was."""
    error = AutoReconnect("no")
    error.add_note("It was tried again for 59.5 s.")

    assert str(explained(error)) == LOST.replace("no.", "no. It was tried again for 59.5 s.")


def test_timeouts() -> None:
    """A connection is given up after five seconds, unless the connection string says otherwise."""
    for options, seconds in (("", 5.0), ("?connectTimeoutMS=1500", 1.5)):
        with _client(f"mongodb://127.0.0.1:1/{options}", ()) as client:
            assert client.options.pool_options.connect_timeout == seconds
            # An author's own work, an index for one, may take as long as it takes.
            assert client.options.pool_options.socket_timeout is None
            assert client.options.timeout is None
