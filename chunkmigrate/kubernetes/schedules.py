"""Schedules: what Kubernetes and Airflow both take for when something starts again and again."""

from __future__ import annotations

import re

from chunkmigrate.errors import InvalidSettingError

_ANY = re.compile(r"[*?](?:/0*[1-9][0-9]?)?")
_RANGE = re.compile(r"(?P<first>[A-Za-z0-9]{1,3})(?:-(?P<last>[A-Za-z0-9]{1,3}))?(?:/0*[1-9][0-9]?)?")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, start=1)}),
    ("day of the week", 0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
_SHORTHANDS = ("@yearly", "@monthly", "@weekly", "@daily", "@hourly")


def schedule(text: str) -> None:
    """Raise `InvalidSettingError` unless it is five fields, or a shorthand such as ``@daily``."""
    fields = text.split(" ")
    if text in _SHORTHANDS:
        return
    if len(fields) != len(_FIELDS):
        message = f"{text!r} is not a schedule; write five fields such as '0 3 * * *', or @daily"
        raise InvalidSettingError(message)
    for field, (name, least, most, names) in zip(fields, _FIELDS, strict=True):
        if not all(_is_part(part, least, most, names) for part in field.split(",")):
            message = f"{field!r} is not a {name}; write *, */5, 1-3, or a number from {least} to {most}"
            raise InvalidSettingError(message)


def _is_part(part: str, least: int, most: int, names: dict[str, int]) -> bool:
    if _ANY.fullmatch(part):
        return True
    match = _RANGE.fullmatch(part)
    if match is None:
        return False
    first = _number(match["first"], names)
    last = _number(match["last"], names) if match["last"] else most
    return least <= first <= last <= most


def _number(text: str, names: dict[str, int]) -> int:
    return int(text) if text.isdecimal() else names.get(text.lower(), -1)
