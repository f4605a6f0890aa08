"""Discretion: what may be said of the server's refusals where others read it.

The server repeats values of the document in the reasons it gives; a name and a number say what to look for.
What a whole failure says is ``saying``'s business.
"""

from __future__ import annotations

from pymongo.errors import OperationFailure

from chunkmigrate.retry import is_passing

# Unauthorized, AuthenticationFailed, AtlasError, OutOfDiskSpace: they speak of the server and its users.
_NO_VALUES = (13, 18, 8000, 14031)
_DUPLICATE_KEY = 11000
_OVER_16_MIB = "it would have more than 16 MiB"

# What a refused statement of a bulk is not told by name, though a command that failed as a whole is.
_NAMES = {
    2: "BadValue",
    9: "FailedToParse",
    14: "TypeMismatch",
    28: "PathNotViable",
    40: "ConflictingUpdateOperators",
    52: "DollarPrefixedFieldName",
    66: "ImmutableField",
    121: "Document failed validation",
    241: "ConversionFailure",
    10334: _OVER_16_MIB,
    17419: _OVER_16_MIB,
    17420: _OVER_16_MIB,
    _DUPLICATE_KEY: "DuplicateKey",
}


def bare(reason: str, code: int | None, name: str = "") -> str:
    """Return a reason the server gave for an error of that ``code`` without any value in it.

    ``name`` is what the server calls the code, where it said so.
    """
    if code in _NO_VALUES:
        return reason
    before, key, _ = reason.partition(" dup key")
    if code == _DUPLICATE_KEY and key:  # the collection and the index
        return f"{before} (code {code})"
    return f"{_NAMES.get(code or 0) or name or 'a reason that is not shown'} (code {code})"


def bare_reason(error: Exception, reason: str) -> str:
    """Return a driver's ``error`` without any value in it, of which ``reason`` is all it says.

    What passes by itself, and what the driver says on its own, has none.
    """
    if not isinstance(error, OperationFailure) or is_passing(error):
        return reason
    return bare(reason, error.code, (error.details or {}).get("codeName", ""))
