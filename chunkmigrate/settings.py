"""Settings: flag over environment over ``[tool.chunkmigrate]`` in ``pyproject.toml``, one name each.

Says which server, which folder, how much memory, how fast, and who is told; what is done with them is not its
business.
"""

from __future__ import annotations

import math
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chunkmigrate import server
from chunkmigrate.addresses import checked
from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.units import parse_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

# Measured on two cores: the second writer brings a third more documents, a fourth nothing more. A
# cluster with slower commits may want four.
WRITERS = 2
MAX_WRITERS = 4

# Each takes as much memory to begin with as a run that is alone.
MAX_WORKERS = 64

MAX_PORT = 65_535

_ENVIRONMENT = {
    "uri": "MONGODB_URI",
    "database": "CHUNKMIGRATE_DATABASE",
    "dir": "CHUNKMIGRATE_DIR",
    "memory": "CHUNKMIGRATE_MEMORY",
    "request": "CHUNKMIGRATE_MEMORY_REQUEST",
    "writers": "CHUNKMIGRATE_WRITERS",
    "workers": "CHUNKMIGRATE_WORKERS",
    "max_rate": "CHUNKMIGRATE_MAX_RATE",
    "metrics_port": "CHUNKMIGRATE_METRICS_PORT",
    "metrics_push": "CHUNKMIGRATE_METRICS_PUSH",
    "metrics_file": "CHUNKMIGRATE_METRICS_FILE",
    "notify": "CHUNKMIGRATE_NOTIFY",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What a command was asked to work with.

    ``memory`` and ``request`` are bytes, ``max_rate`` is documents a second; None is no limit of one's own.
    Where no number of ``writers`` was asked for, it is None. ``workers`` are processes. ``metrics_port`` 0 is
    any that is free. ``metrics_push`` and ``notify`` are addresses, and secret.
    """

    uri: str | None
    database: str | None
    folder: Path
    memory: int | None
    request: int | None
    writers: int | None
    workers: int
    max_rate: float | None
    metrics_port: int | None
    metrics_push: str | None
    metrics_file: Path | None
    notify: str | None


def resolve(flags: Mapping[str, Any], environment: Mapping[str, str], folder: Path) -> Settings:
    """Return the settings in force; `InvalidSettingError` names the one that cannot be used."""
    project = _project(folder / "pyproject.toml")

    def value(name: str) -> Any:
        if flags.get(name) is not None:
            return flags[name]
        # A Secret that was made of a file ends with that file's newline.
        return environment.get(_ENVIRONMENT[name], "").strip() or project.get(name)

    uri = value("uri")
    return Settings(
        uri=uri,
        database=value("database") or (server.database_of(uri) if uri else None),
        folder=folder / str(value("dir") or "migrations"),
        memory=_size("memory", value("memory")),
        request=_size("memory request", value("request")),
        writers=_between("writers", value("writers"), MAX_WRITERS),
        workers=_between("workers", value("workers"), MAX_WORKERS) or 1,
        max_rate=_rate(value("max_rate")),
        metrics_port=_port(value("metrics_port")),
        metrics_push=_gateway(value("metrics_push")),
        metrics_file=folder / str(value("metrics_file")) if value("metrics_file") else None,
        notify=_webhook(value("notify")),
    )


def here(**flags: Any) -> Settings:
    """Return the settings in force for a command: its flags, in this process's environment and folder."""
    return resolve(flags, os.environ, Path())


def kubernetes(folder: Path) -> Mapping[str, Any]:
    """Return ``[tool.chunkmigrate.kubernetes]`` as it stands there: what it may hold is not judged here."""
    table: Mapping[str, Any] = _project(folder / "pyproject.toml").get("kubernetes", {})
    return table


def _project(path: Path) -> Mapping[str, Any]:
    try:
        tools = tomllib.loads(path.read_text("utf-8")).get("tool", {})
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        message = f"{path} cannot be read: {error}"
        raise InvalidSettingError(message) from error
    settings: Mapping[str, Any] = tools.get("chunkmigrate", {})
    known = (set(_ENVIRONMENT) - {"request"}) | {"kubernetes"}
    if unknown := sorted(set(settings) - known):
        message = (
            f"{path}: [tool.chunkmigrate] has no setting {unknown[0]}; it has {', '.join(sorted(known))}."
        )
        raise InvalidSettingError(message)
    for name in ("uri", "database", "dir", "metrics_file"):
        if not isinstance(settings.get(name, ""), str):
            message = f"{path}: the setting {name} is a text in quotes, not {settings[name]}."
            raise InvalidSettingError(message)
    if not isinstance(settings.get("kubernetes", {}), dict):
        message = f"{path}: [tool.chunkmigrate.kubernetes] is a table, not {settings['kubernetes']}."
        raise InvalidSettingError(message)
    return settings


def _size(name: str, value: Any) -> int | None:
    if value is None or (name == "memory request" and str(value) == "0"):
        return None
    try:
        return parse_bytes(str(value))
    except InvalidSettingError as error:
        message = f"The {name} setting: {error}"
        raise InvalidSettingError(message) from error


def _between(what: str, value: Any, most: int) -> int | None:
    if value is None:
        return None
    try:
        number = int(str(value))
    except ValueError:
        number = 0
    if not 1 <= number <= most:
        message = f"{value} is not a number of {what}; there may be 1 to {most}."
        raise InvalidSettingError(message)
    return number


def _rate(value: Any) -> float | None:
    if value is None:
        return None
    try:
        rate = float(str(value))
    except ValueError:
        rate = 0.0
    # A rate without an end is no limit: leaving the setting out says so without a riddle.
    if not 0 < rate < math.inf:
        message = f"{value} is not a rate; write a number of documents a second above 0, such as 500."
        raise InvalidSettingError(message)
    return rate


def _port(value: Any) -> int | None:
    if value is None:
        return None
    try:
        port = int(str(value))
    except ValueError:
        port = -1
    if not 0 <= port <= MAX_PORT:
        message = f"{value} is not a port; write a number up to {MAX_PORT}, where 0 is any that is free."
        raise InvalidSettingError(message)
    return port


def _gateway(value: Any) -> str | None:
    if value is None:
        return None
    address = checked("metrics push", value, "http://pushgateway:9091")
    if "?" in address or "#" in address:
        message = (
            "The metrics push setting is the Pushgateway itself, without ? or #: http://pushgateway:9091."
        )
        raise InvalidSettingError(message)
    return address


def _webhook(value: Any) -> str | None:
    return None if value is None else checked("notify", value, "https://hooks.example.com/path")
