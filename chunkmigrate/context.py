"""Context: what the steps of one run have in common.

It is made by the runner, and changed by nobody.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chunkmigrate.direction import UP
from chunkmigrate.load import Probe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pymongo.client_session import ClientSession
    from pymongo.database import Database

    from chunkmigrate.consumers import Note
    from chunkmigrate.direction import Direction
    from chunkmigrate.lease import Lease
    from chunkmigrate.memory import Sensor
    from chunkmigrate.sizing import Most


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What the steps of a run have in common.

    ``sessions`` are one for what the run does by itself and one for each writer, or as many None where the
    server has no transactions. ``note`` is told what an operator should know. ``most`` are the largest sizes
    there is any use in. ``probe`` reads the server's load, every few seconds however many steps there are.
    """

    migration: str
    database: Database[Any]
    lease: Lease
    sensor: Sensor
    run: Any
    writers: int
    sessions: Sequence[ClientSession | None]
    stopped: Callable[[], bool]
    note: Note
    max_rate: float | None = None
    most: Most | None = None
    direction: Direction = UP
    probe: Probe = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "probe", Probe(self.database, time.monotonic))
