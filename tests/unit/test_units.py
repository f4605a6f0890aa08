"""Quantities read and written."""

from __future__ import annotations

import doctest

import pytest

from chunkmigrate import units
from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.units import GI, MI, format_bytes, format_duration, parse_bytes, parse_duration, quantity

MEGABYTES = "write 512Mi (or 512M for decimal megabytes)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("512Mi", 512 * MI),
        ("1Gi", GI),
        ("1.5Gi", GI + GI // 2),
        (".5Gi", GI // 2),
        ("1.Gi", GI),
        ("4Ki", 4096),
        ("1Ti", 1024**4),
        ("1Pi", 1024**5),
        ("1Ei", 1024**6),
        ("64k", 64_000),
        ("64M", 64_000_000),
        ("1G", 10**9),
        ("1T", 10**12),
        ("1P", 10**15),
        ("1E", 10**18),
        ("1e9", 10**9),
        ("1E9", 10**9),
        ("1.5e+3", 1500),
        ("128974848", 128974848),
        ("0.3", 1),
        ("1.0001k", 1001),
    ],
)
def test_accepted(text: str, expected: int) -> None:
    """Every spelling of memory that Kubernetes documents is read as the bytes Kubernetes makes of it."""
    assert parse_bytes(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("512Mb", f"512Mb is not a memory quantity; {MEGABYTES}"),
        ("512MB", f"512MB is not a memory quantity; {MEGABYTES}"),
        ("512MiB", f"512MiB is not a memory quantity; {MEGABYTES}"),
        ("512mib", f"512mib is not a memory quantity; {MEGABYTES}"),
        ("512 Mi", f"'512 Mi' is not a memory quantity; {MEGABYTES}"),
        ("512Mi\n", f"'512Mi\\n' is not a memory quantity; {MEGABYTES}"),
        ("512m", f"512m means thousandths of a byte; {MEGABYTES}"),
        ("1.5gb", "1.5gb is not a memory quantity; write 1.5Gi (or 1.5G for decimal gigabytes)"),
        ("64K", "64K is not a memory quantity; write 64Ki (or 64k for decimal kilobytes)"),
        ("64ki", "64ki is not a memory quantity; write 64Ki (or 64k for decimal kilobytes)"),
        ("980 bytes", "'980 bytes' is not a memory quantity; write 980"),
    ],
)
def test_guessed(text: str, message: str) -> None:
    """A near miss is refused with the spelling that was probably meant."""
    with pytest.raises(InvalidSettingError) as caught:
        parse_bytes(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "''"),
        ("-1Mi", "-1Mi"),
        ("0", "0"),
        ("0Mi", "0Mi"),
        ("0MB", "0MB"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("lots", "lots"),
        ("1e9Mi", "1e9Mi"),
        ("1e999", "1e999"),
        ("99Ei", "99Ei"),
        ("٣Mi", "٣Mi"),
        ("m", "m"),
    ],
)
def test_refused(text: str, shown: str) -> None:
    """What cannot be guessed is refused with what was given and what would be taken."""
    with pytest.raises(InvalidSettingError) as caught:
        parse_bytes(text)
    assert str(caught.value).startswith(f"{shown} is no")
    assert str(caught.value).endswith("such as 512Mi")


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 B"),
        (980, "980 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (MI - 1, "1 MiB"),
        (3_565_158, "3.4 MiB"),
        (512 * MI, "512 MiB"),
        (GI + GI // 2, "1.5 GiB"),
        (5000 * 1024**6, "5000 EiB"),
        (-3_565_158, "-3.4 MiB"),
    ],
)
def test_bytes_for_people(size: int, expected: str) -> None:
    """Sizes are shown in the unit that leaves at most four digits before the point."""
    assert format_bytes(size) == expected


@pytest.mark.parametrize(
    ("size", "expected"), [(MI, "1Mi"), (MI + 1, "2Mi"), (85_000_000, "82Mi"), (GI, "1024Mi")]
)
def test_bytes_for_kubernetes(size: int, expected: str) -> None:
    """A manifest never asks for less than was measured."""
    assert quantity(size) == expected
    assert parse_bytes(quantity(size)) >= size


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 ms"),
        (0.04, "40 ms"),
        (0.4, "400 ms"),
        (0.9996, "1.0 s"),
        (4.2, "4.2 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.6, "1 h 00 min"),
        (7_500, "2 h 05 min"),
        (360_000, "100 h 00 min"),
    ],
)
def test_duration(seconds: float, expected: str) -> None:
    """Durations are shown in two units at most, and rounding never shows sixty of anything."""
    assert format_duration(seconds) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("30s", 30),
        ("5m", 300),
        ("2h", 7_200),
        ("1h30m", 5_400),
        ("1m5s", 65),
        ("1h0m1s", 3_601),
        ("1.5h", 5_400),
        ("0.25s", 0.25),
    ],
)
def test_duration_read(text: str, seconds: float) -> None:
    """A duration is read as Kubernetes' tools write it."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("300", "300 is not a duration; write 300s"),
        ("5min", "5min is not a duration; write 5m"),
        ("5M", "5M is not a duration; write 5m"),
        ("5 minutes", "'5 minutes' is not a duration; write 5m"),
        ("10 sec", "'10 sec' is not a duration; write 10s"),
        ("1 hour", "'1 hour' is not a duration; write 1h"),
        ("5m\n", "'5m\\n' is not a duration; write 5m"),
        ("", "'' is not a duration; write a number followed by h, m or s, such as 5m"),
        ("500ms", "500ms is not a duration; write a number followed by h, m or s, such as 5m"),
        ("-5m", "-5m is not a duration; write a number followed by h, m or s, such as 5m"),
        ("5s1m", "5s1m is not a duration; write a number followed by h, m or s, such as 5m"),
        ("1e9s", "1e9s is not a duration; write a number followed by h, m or s, such as 5m"),
        ("inf", "inf is not a duration; write a number followed by h, m or s, such as 5m"),
        ("٣m", "٣m is not a duration; write a number followed by h, m or s, such as 5m"),
    ],
)
def test_duration_refused(text: str, message: str) -> None:
    """What is no duration is refused, with the spelling that was probably meant."""
    with pytest.raises(InvalidSettingError) as caught:
        parse_duration(text)
    assert str(caught.value) == message


def test_examples() -> None:
    """The examples in the module are true."""
    assert doctest.testmod(units).failed == 0
