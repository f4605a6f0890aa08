"""Bytes and seconds, as Kubernetes spells them and as people read them.

Pure text in, numbers out, and back. Which setting a quantity belongs to, and whether its size makes sense
there, is for the caller to know.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

from chunkmigrate.errors import InvalidSettingError

KI = 1024
MI = 1024 * KI
GI = 1024 * MI

_TEN, _SIXTY = 10, 60

# What a Kubernetes quantity can hold; a larger one is a slip of the keyboard, not a machine.
_LARGEST = (1 << 63) - 1
_NAMES = {name[0]: f"{name}bytes" for name in ("kilo", "mega", "giga", "tera", "peta", "exa")}
_ACCEPTED = "write a number of bytes above 0, or one followed by Ki, Mi, Gi or k, M, G, such as 512Mi"
_FACTORS: dict[str, int] = {
    "": 1,
    **{suffix: 1000**power for power, suffix in enumerate(("k", "M", "G", "T", "P", "E"), start=1)},
    **{suffix: 1024**power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)},
}
_QUANTITY = re.compile(
    r"(?P<number>[0-9]+\.?[0-9]*|\.[0-9]+)(?:(?P<suffix>[KMGTPE]i|[kMGTPE])|(?P<exponent>[eE][+-]?[0-9]{1,3}))?"
)
_NEARLY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgtpe]?)i?(?:b|bytes?)?\s*", re.IGNORECASE)

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_AMOUNT = r"[0-9]{1,6}(?:\.[0-9]{1,3})?"
_DURATION = re.compile(rf"(?=.)(?:({_AMOUNT})h)?(?:({_AMOUNT})m)?(?:({_AMOUNT})s)?")
_NEARLY_DURATION = re.compile(
    rf"\s*({_AMOUNT})\s*(?:(h)(?:(?:ou)?rs?)?|(m)(?:in(?:ute)?s?)?|(s)(?:ec(?:ond)?s?)?|)\s*", re.IGNORECASE
)


def parse_bytes(text: str) -> int:
    """Read a memory quantity as Kubernetes writes it; the answer is in bytes, rounded up to a whole one.

    Raises ``InvalidSettingError``, with the spelling probably meant, for anything else. A suffix of ``m``
    is refused although Kubernetes takes it: a thousandth of a byte is never what somebody wanted.

    >>> parse_bytes("512Mi"), parse_bytes("1.5Gi"), parse_bytes("64M"), parse_bytes("1e9")
    (536870912, 1610612736, 64000000, 1000000000)
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise InvalidSettingError(_refusal(text))
    size = Decimal(match["number"] + (match["exponent"] or "")) * _FACTORS[match["suffix"] or ""]
    if not 0 < size <= _LARGEST:
        raise InvalidSettingError(f"{text} is no amount of memory; {_ACCEPTED}")
    return math.ceil(size)


def _refusal(text: str) -> str:
    """Say what was given, and what to write in its place."""
    what = "means thousandths of a byte" if text.endswith("m") else "is not a memory quantity"
    meant = _meant(text)
    return f"{_shown(text)} {what if meant else 'is not a memory quantity'}; {meant or _ACCEPTED}"


def _shown(text: str) -> str:
    """Text as it was typed, quoted where spaces or nothing would make it hard to see."""
    return text if text.isprintable() and text and " " not in text else repr(text)


def _meant(text: str) -> str | None:
    """Guess the spelling; None where that would mislead."""
    match = _NEARLY.fullmatch(text)
    if match is None or not float(match[1]):
        return None
    number, letter = match[1], match[2].lower()
    if not letter:
        return f"write {number}"
    decimal = letter if letter == "k" else letter.upper()
    return f"write {number}{letter.upper()}i (or {number}{decimal} for decimal {_NAMES[letter]})"


def parse_duration(text: str) -> float:
    """Read a duration as Kubernetes' tools write it; the answer is in seconds.

    Raises `InvalidSettingError`, with the spelling probably meant, for anything else, a bare number included:
    nothing says of what it would be. Only 0 is the same of anything.

    >>> parse_duration("5m"), parse_duration("1h30m"), parse_duration("0.5s"), parse_duration("0")
    (300.0, 5400.0, 0.5, 0.0)
    """
    if text == "0":
        return 0.0
    match = _DURATION.fullmatch(text)
    if match is None:
        raise InvalidSettingError(f"{_shown(text)} is not a duration; {_meant_duration(text)}")
    return sum(
        float(amount) * _SECONDS[unit] for amount, unit in zip(match.groups(), "hms", strict=True) if amount
    )


def _meant_duration(text: str) -> str:
    match = _NEARLY_DURATION.fullmatch(text)
    if match is None:
        return "write a number followed by h, m or s, such as 5m"
    unit = next((unit for unit in match.groups()[1:] if unit), "s")
    return f"write {match[1]}{unit.lower()}"


def format_bytes(size: int) -> str:
    """Bytes for people: two digits where that says enough, in powers of 1024.

    >>> format_bytes(980), format_bytes(3_565_158), format_bytes(512 * MI)
    ('980 B', '3.4 MiB', '512 MiB')
    """
    value, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB"):
        if round(abs(value)) < KI:
            break
        value, unit = value / KI, larger
    digits = f"{value:.1f}" if abs(value) < _TEN else f"{value:.0f}"
    return f"{digits.removesuffix('.0')} {unit}"


def quantity(size: int) -> str:
    """Bytes for a Kubernetes manifest, rounded up to whole Mi so that what was measured still fits.

    >>> quantity(85_000_000)
    '82Mi'
    """
    return f"{-(-size // MI)}Mi"


def format_duration(seconds: float) -> str:
    """Seconds for people: two units at most.

    >>> format_duration(0.04), format_duration(4.2), format_duration(200), format_duration(7_500)
    ('40 ms', '4.2 s', '3 min 20 s', '2 h 05 min')
    """
    if round(seconds, 3) < 1:
        return f"{seconds * 1000:.0f} ms"
    if round(seconds, 1) < _SIXTY:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _SIXTY)
    if minutes < _SIXTY:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // _SIXTY} h {minutes % _SIXTY:02} min"
