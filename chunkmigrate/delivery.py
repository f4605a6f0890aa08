"""Delivery: one request to somebody else's server, tried a few times, in a time that is bounded.

No secret of an address is in what is said of a failure. What is sent, and that a failure ends nothing, is for
whoever sends it.
"""

from __future__ import annotations

import base64
import threading
from http import HTTPStatus
from http.client import HTTPException, responses
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from chunkmigrate.addresses import shown
from chunkmigrate.errors import UndeliveredError
from chunkmigrate.retry import Retry
from chunkmigrate.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

# One request. Looking up a name is not bounded by it, nor a server that sends one byte after the other.
REQUEST_SECONDS = 3.0
# No further try begins later than this after the first failure: four or five, where a server answers at once.
RETRY_SECONDS = 1.5
# All of it. A pod that was asked to end has thirty seconds, and its last chunk comes first.
DELIVERY_SECONDS = 8.0


class _NoRedirects(HTTPRedirectHandler):
    """Follows none: the driver would drop the body of a POST, or carry a secret to another host."""

    def redirect_request(self, *_: Any) -> None:
        """Leave it at the answer."""


def deliver(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    method: str = "POST",
    seconds: float = DELIVERY_SECONDS,
    retry: Retry | None = None,
) -> None:
    """Send ``body``; return once the server has taken it. It may arrive twice.

    Raises `UndeliveredError` where that has not succeeded, after ``seconds`` at the latest.
    """
    failures: list[BaseException] = []
    again = retry or Retry(seconds=RETRY_SECONDS, passing=_is_passing)

    def work() -> None:
        try:
            again(lambda: _send(url, body, headers, method))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work, name="delivery", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise UndeliveredError(f"{shown(url)} did not take it within {format_duration(seconds)}")
    if failures:
        raise UndeliveredError(f"{shown(url)} did not take it: {_reason(failures[0])}") from failures[0]


def _send(url: str, body: bytes, headers: Mapping[str, str], method: str) -> None:
    try:
        with build_opener(_NoRedirects).open(_request(url, body, headers, method), timeout=REQUEST_SECONDS):
            pass
    except HTTPError as error:
        error.close()
        raise


def _request(url: str, body: bytes, headers: Mapping[str, str], method: str) -> Request:
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    request = Request(  # noqa: S310 - the settings take http and https alone
        parts._replace(netloc=host).geturl(), body, {"User-Agent": "chunkmigrate", **headers}, method=method
    )
    if user:
        request.add_header("Authorization", f"Basic {base64.b64encode(unquote(user).encode()).decode()}")
    return request


def _is_passing(error: BaseException) -> bool:
    if isinstance(error, HTTPError):
        return error.code >= HTTPStatus.INTERNAL_SERVER_ERROR or error.code in (
            HTTPStatus.REQUEST_TIMEOUT,
            HTTPStatus.TOO_MANY_REQUESTS,
        )
    return isinstance(error, OSError | HTTPException)


def _reason(error: BaseException) -> str:
    """Return why in words of our own, or the system's: an exception's text may repeat the address."""
    if isinstance(error, HTTPError):
        if HTTPStatus.MULTIPLE_CHOICES <= error.code < HTTPStatus.BAD_REQUEST:
            return f"it answered {error.code}, and redirects are not followed; name the address it leads to"
        return f"it answered {error.code} {responses.get(error.code, '')}".rstrip()
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        return f"it did not answer within {format_duration(REQUEST_SECONDS)}"
    return getattr(cause, "strerror", None) or type(cause).__name__
