"""Addresses: checked, and shown without a secret."""

from __future__ import annotations

from typing import Any

import pytest

from chunkmigrate.addresses import checked, redacted, shown
from chunkmigrate.errors import InvalidSettingError

SECRET = "T0/B0/hush"


@pytest.mark.parametrize(
    "address",
    [
        "http://host",
        "https://hooks.example.com/services/T0",
        "HTTPS://user:p%40ss@host:8443/x?y=1",
        "http://[::1]:9091/",
    ],
)
def test_taken(address: str) -> None:
    """What begins with http or https and names a host is an address, and stays as it is."""
    assert checked("notify", address, "https://host/path") == address


@pytest.mark.parametrize(
    ("address", "wrong"),
    [
        (f"ftp://host/{SECRET}", "it does not begin with http:// or https://"),
        (f"file:///{SECRET}", "it does not begin with http:// or https://"),
        (f"hooks.example.com/{SECRET}", "it does not begin with http:// or https://"),
        ("", "it does not begin with http:// or https://"),
        (f"https:///{SECRET}", "it names no host"),
        (f"https://host:{SECRET}", "its host or port cannot be read"),
        (f"https://host:99999/{SECRET}", "its host or port cannot be read"),
        (f"https://[host/{SECRET}", "its host or port cannot be read"),
        (f"https://host/{SECRET} x", "its special characters must be percent-encoded"),
        (f"https://host/{SECRET}ä", "its special characters must be percent-encoded"),
        (5, "it is no text"),
        (True, "it is no text"),
    ],
)
def test_refused(address: Any, wrong: str) -> None:
    """What is no address is refused with the reason, and none of it is shown."""
    with pytest.raises(InvalidSettingError) as caught:
        checked("notify", address, "https://host/path")

    assert str(caught.value) == (
        f"The notify setting is not an address to send to: {wrong}. Write it like https://host/path."
    )


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://host", "http://host"),
        ("https://u:hush@hooks.example.com:8443/x?y#z", "https://hooks.example.com:8443"),
        (f"https://hooks.example.com/{SECRET}", "https://hooks.example.com"),
        (f"http://[::1]:9091/{SECRET}", "http://[::1]:9091"),
    ],
)
def test_shown(address: str, expected: str) -> None:
    """Of an address scheme, host and port are shown, and never what may be a secret."""
    assert shown(address) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no address", "no address"),
        ("at http://host", "at http://host"),
        (f"unexpected (https://host/{SECRET}) and", "unexpected (https://host/... and"),
        (f"'https://host?{SECRET}' and http://b/c", "'https://host/...' and http://b/..."),
        (f"https://u:{SECRET}@host/x", "https://***"),
        (f"https://u:a@b@host/{SECRET}", "https://***"),
    ],
)
def test_redacted(text: str, expected: str) -> None:
    """In a text nothing is left of an address but its scheme and host; with a user, nothing at all."""
    assert redacted(text) == expected
