"""Addresses: http and https URLs somebody wants to be told at, checked, and shown without their secrets.

A webhook's path is as good as a password, and so is what stands in front of a host. Sending to them is
``delivery``'s business.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from chunkmigrate.errors import InvalidSettingError

_URL = re.compile(r"https?://[^\s'\"]*", re.IGNORECASE)


def checked(name: str, value: Any, example: str) -> str:
    """Return a setting that is an address; `InvalidSettingError` says what is wrong, and shows none of it."""
    wrong = _wrong(value) if isinstance(value, str) else "it is no text"
    if wrong:
        message = f"The {name} setting is not an address to send to: {wrong}. Write it like {example}."
        raise InvalidSettingError(message)
    return str(value)


def _wrong(url: str) -> str:
    try:
        parts = urlsplit(url)
        known, host, _ = parts.scheme in ("http", "https"), parts.hostname, parts.port
    except ValueError:
        return "its host or port cannot be read"
    if not known:
        return "it does not begin with http:// or https://"
    if not host:
        return "it names no host"
    if not url.isascii() or not url.isprintable() or " " in url:
        return "its special characters must be percent-encoded"
    return ""


def shown(url: str) -> str:
    """Return what may be shown of an address: scheme, host and port.

    >>> shown("https://user:secret@hooks.example.com:8443/services/T0/B0/secret")
    'https://hooks.example.com:8443'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def redacted(text: str) -> str:
    """Return ``text`` with no more of any address in it than may be shown.

    >>> redacted("unexpected argument (https://hooks.example.com/services/secret)")
    'unexpected argument (https://hooks.example.com/...'
    """
    return _URL.sub(lambda found: _redacted(found[0]), text)


def _redacted(url: str) -> str:
    scheme, _, rest = url.partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    # With an @ nobody knows where a password that was not encoded ends.
    return f"{scheme}://***" if "@" in rest else f"{scheme}://{host}" + ("/..." if host != rest else "")
