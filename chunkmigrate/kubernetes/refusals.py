"""Refusals: what an API server's answer means that is not a success, as a sentence. Pure.

Its ``reason`` is read beside the status: 409 is a taken name or a conflict, 403 what one may not do or a
quota. Whether to ask again is for the caller to decide.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from chunkmigrate.errors import ClusterError, ClusterRefusedError
from chunkmigrate.kubernetes.fields import at, because, items, text, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_CAUSES = 5

_TOO_MANY = 429
_LOGIN = (
    "Its credentials are missing, wrong or expired: log in again, or choose another --context. Nothing was "
    "changed."
)
_RIGHTS = (
    "Ask for a Role that allows it: `chunkmigrate job render --rbac user:NAME` prints the least that does. "
    "Nothing was changed."
)
_QUOTA = "Ask for less, or have the quota raised. Nothing was changed."
_QUANTITY = (
    " It names neither field nor value: look for an amount of memory or CPU that is misspelled, such as 64Mx "
    "for 64Mi."
)
_TAKEN = "It is not replaced while it is there."
_CONFLICT = "Somebody else changed it meanwhile; look at it again before you change it."
_SMALLER = "Leave out what it does not need: data belongs into an image or a volume."


def explained(
    status: int, headers: Mapping[str, str], body: bytes, doing: str
) -> ClusterRefusedError | ClusterError:
    """Return what an answer means. ``doing`` is what was asked for: ``create Job x``."""
    answer = _read(body)
    reason, details = text(answer, "reason"), text(answer, "message", most=600)
    if status >= 500 or status == _TOO_MANY:
        said = because(details or f"HTTP {status}")
        return ClusterError(f"The Kubernetes API could not {doing}{said}.", wait=_wait(answer, headers))
    sentence = _sentence(status, reason, answer, doing, details)
    return ClusterRefusedError(sentence, status, reason)


def _sentence(status: int, reason: str, answer: Any, doing: str, details: str) -> str:
    plain, known = because(details or f"HTTP {status}"), f"({status}{f' {reason}' if reason else ''})"
    if status == 401:
        return f"The cluster does not know who asks it to {doing} {known}. {_LOGIN}"
    if status == 403:
        return _forbidden(doing, details, plain)
    if status == 404 and at(answer, "details", "kind") == "namespaces":
        return f"Namespace {text(answer, 'details', 'name')} is not there, to {doing}. Nothing was changed."
    if status == 409:
        advice = _TAKEN if reason == "AlreadyExists" else _CONFLICT
        return f"The cluster did not {doing} {known}{plain}. {advice}"
    if status == 413:
        return f"The cluster did not {doing}, for it is too large {known}{plain}. {_SMALLER}"
    if status == 422:
        return (
            f"The cluster did not {doing}, for it is invalid{_causes(answer) or plain}. Nothing was changed."
        )
    if status == 400:
        hint = _QUANTITY if "quantities must match" in details else ""
        return f"The cluster could not read what was sent to {doing}{plain}.{hint} Nothing was changed."
    return f"The cluster did not {doing} {known}{plain}."


def _forbidden(doing: str, details: str, plain: str) -> str:
    if "exceeded quota" in details or "failed quota" in details:
        return f"The namespace's quota does not allow to {doing}{plain}. {_QUOTA}"
    if "cannot " in details:
        return f"You may not {doing}{plain}. {_RIGHTS}"
    return f"The cluster forbids to {doing}{plain}. Change what it names. Nothing was changed."


def _causes(answer: Any) -> str:
    """Return what is wrong, field by field: the message joins all of it into one line."""
    causes = items(answer, "details", "causes")
    told = [f"{text(cause, 'field') or '?'}: {text(cause, 'message', most=200)}" for cause in causes]
    more = f"; and {len(told) - MAX_CAUSES} more" if len(told) > MAX_CAUSES else ""
    return because("; ".join(told[:MAX_CAUSES]) + more)


def _wait(answer: Any, headers: Mapping[str, str]) -> float:
    asked = whole(answer, "details", "retryAfterSeconds")
    header = headers.get("Retry-After", "")
    return float(asked or (int(header) if header.isascii() and header.isdecimal() and len(header) < 5 else 0))


def _read(body: bytes) -> Any:
    """Return the Status an API server sends; of anything else, as a proxy may send, its text."""
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        return {"message": body.decode("utf-8", "replace")}
    return read if isinstance(read, dict) else {"message": str(read)}
