"""The message: what a container left in ``/dev/termination-log``, and whether it is a run's own word.

A run writes one JSON object there as it ends. Anything else is shown as what it is, and never believed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from chunkmigrate.kubernetes.fields import at, harmless, text, whole

# The kubelet keeps 4,096 bytes of it, 2,048 or 80 lines of a log in its place. A sentence of ours takes 300.
MAX_MESSAGE = 4096
MAX_SENTENCE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """What a container left. ``sentence`` is a run's own, empty where it was not a run that wrote.

    ``code`` is the exit code the run meant to end with, ``plain`` all of it on one line.
    """

    sentence: str = ""
    code: int | None = None
    plain: str = ""

    def of_exit(self, code: int | None) -> str:
        """Return the run's sentence if it is about this exit: one that was killed later had another code."""
        return self.sentence if self.code is not None and self.code == code else ""


def read(terminated: Any) -> Message:
    """Return the message of a container's ``terminated`` state."""
    found = at(terminated, "message")
    if not isinstance(found, str):
        return Message()
    plain = harmless(found)
    try:
        left = json.loads(found[:MAX_MESSAGE])
    except (ValueError, RecursionError):
        return Message(plain=plain)
    if not (isinstance(at(left, "event"), str) and isinstance(at(left, "migration"), str)):
        return Message(plain=plain)
    sentence = text(left, "message", most=MAX_SENTENCE)
    return Message(sentence=sentence, code=whole(left, "exit_code"), plain=plain)
