"""Workers: several processes of one command, which share its migrations and its memory.

It starts them, passes on what they say, starts those again that are killed, and makes one end of their ends.
It touches no database: how processes share a migration is ``sharing``'s business, how large each one's budget
is, ``memory``'s.
"""

from __future__ import annotations

import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from chunkmigrate.holder import this_process
from chunkmigrate.memory import SHARE, Share
from chunkmigrate.stop import held_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from chunkmigrate.stop import Stop

# How soon a signal is passed on.
TICK_SECONDS = 0.25

# What a worker has started itself may outlive it, and hold its pipes open for ever.
LAST_WORDS_SECONDS = 2.0

# One that lived for so long has done something. So many that did not, in a row, are not chance any more: a
# document that kills is set aside after three.
YOUNG_SECONDS = 10.0
MOST_YOUNG_DEATHS = 20

# What a worker ends with, as the command line has it.
DONE, FAILED, HELD, AGAIN = 0, 1, 5, 75

_COUNTED = ("read", "written", "writes", "quarantined", "changed", "skipped")


@dataclass(slots=True)
class Worker:
    """One process. ``last`` is the last line it wrote, ``complaint`` the last one on its standard error.

    ``counts`` are those of the runs it has summed up; ``ended`` says whether that is all it has done.
    """

    number: int
    process: subprocess.Popen[str]
    began: float
    last: Mapping[str, Any] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    complaint: str = ""

    @property
    def ended(self) -> bool:
        """Whether what it said last was how its run ended."""
        return "peak" in self.last

    def told(self, line: Mapping[str, Any]) -> None:
        """Note a line; the end of a run, and no other, bears its peak of memory."""
        self.last = line
        if self.ended:
            self.counts.update({name: line.get(name) or 0 for name in _COUNTED})


@dataclass(slots=True)
class Workers:
    """``count`` processes of the command line ``arguments``. ``say`` passes a line on, ``warn`` a complaint.

    ``kept`` is how many bytes of the budget are this process's own, ``environment`` what they get beside its.
    """

    count: int
    arguments: Sequence[str]
    kept: int
    stop: Stop
    say: Callable[[str], Any]
    warn: Callable[[str], Any]
    environment: Mapping[str, str] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    counts: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(_COUNTED, 0)))
    sentence: str = ""
    killed: int = 0
    _group: str = field(default_factory=lambda: this_process().group or secrets.token_hex(8), init=False)
    _living: dict[int, Worker] = field(default_factory=dict, init=False)
    _ended: queue.SimpleQueue[Worker] = field(default_factory=queue.SimpleQueue, init=False)
    _young: int = field(default=0, init=False)

    def run(self) -> int:
        """Start them and wait for their ends; return the exit code that stands for all of them.

        ``sentence`` then says why it failed, and ``counts`` what they did, but for the ``killed`` ones.
        """
        for number in range(1, self.count + 1):
            self._start(number)
        codes: list[int] = []
        told = False
        while self._living:
            if (self.stop.asked or _is_over(codes)) and not told:
                told = True
                self._terminate()
            for worker in self._next():
                codes.append(code := self._buried(worker))
                if not told and self._is_to_start_again(worker, code, codes):
                    codes.pop()
                    self._start(worker.number)
        return self._code(codes)

    def _start(self, number: int) -> None:
        share = Share(number, self.count, self.kept, os.getpid())
        ours = {"CHUNKMIGRATE_GROUP": self._group, SHARE: share.spelled(), **self.environment}
        with held_back():
            process = subprocess.Popen(
                [sys.executable, "-m", "chunkmigrate", *self.arguments],
                env=os.environ | ours,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
        worker = self._living[number] = Worker(number, process, self.clock())
        threading.Thread(target=self._mind, args=(worker,), daemon=True).start()

    def _mind(self, worker: Worker) -> None:
        hearers = [
            threading.Thread(target=hear, args=(worker,), daemon=True) for hear in (self._listen, self._hear)
        ]
        for hearer in hearers:
            hearer.start()
        worker.process.wait()
        for hearer in hearers:
            hearer.join(LAST_WORDS_SECONDS)
        self._ended.put(worker)

    def _listen(self, worker: Worker) -> None:
        for line in _lines(worker.process.stdout):
            told = _read(line)
            if told:
                worker.told(told)
            # Nobody may be listening any more; a worker whose words nobody takes would wait for ever.
            with suppress(OSError):
                self.say(_numbered(line, told, worker.number))

    def _hear(self, worker: Worker) -> None:
        for line in _lines(worker.process.stderr):
            # A sentence may go on in lines of its own; a traceback says what it was in the last one.
            if line.startswith("Error: ") or not worker.complaint.startswith("Error: "):
                worker.complaint = line
            with suppress(OSError):
                self.warn(f"worker {worker.number}: {line}")

    def _next(self) -> Iterator[Worker]:
        try:
            yield self._ended.get(timeout=TICK_SECONDS)
        except queue.Empty:
            return

    def _buried(self, worker: Worker) -> int:
        code = worker.process.wait()
        if code < 0 and self.stop.asked:
            code = AGAIN  # it was to stop anyway, and what it committed is safe
        del self._living[worker.number]
        self.counts.update(worker.counts)
        self.killed += code < 0 and not worker.ended
        if code not in (DONE, AGAIN):
            self.sentence = self.sentence or self._why(worker, code)
        return code

    def _why(self, worker: Worker, code: int) -> str:
        said = worker.complaint or worker.last.get("message") or f"it ended with exit code {code}"
        return f"Worker {worker.number}: {said}"

    def _is_to_start_again(self, worker: Worker, code: int, codes: Sequence[int]) -> bool:
        """Whether a worker is to be replaced: it was killed, or gave up for lack of memory."""
        if self.stop.asked or (code >= 0 and code != AGAIN) or DONE in codes:
            return False
        self._young = self._young + 1 if self.clock() - worker.began < YOUNG_SECONDS else 0
        what = f"was killed by signal {-code}" if code < 0 else "stopped at a checkpoint"
        again = self._young <= MOST_YOUNG_DEATHS
        self.sentence = "" if again else f"Worker {worker.number} {what}, as others before it."
        self.warn(f"worker {worker.number} {what}" + ("; another takes its place." if again else "."))
        return again

    def _terminate(self) -> None:
        for worker in self._living.values():
            worker.process.send_signal(signal.SIGTERM)

    def _code(self, codes: Sequence[int]) -> int:
        failures = [code for code in codes if code not in (DONE, HELD, AGAIN)]
        # Who was killed while the others were done had nothing left to do.
        if DONE in codes and max(failures, default=DONE) <= DONE:
            self.sentence = ""
            return DONE
        if failures:
            return max(failures[0], FAILED)
        return HELD if set(codes) == {HELD} else AGAIN


def _is_over(codes: Sequence[int]) -> bool:
    """Whether the others have to stop: one has failed, and what it failed at they would fail at, too."""
    return any(code not in (DONE, HELD, AGAIN) for code in codes) and DONE not in codes


def _lines(stream: IO[str] | None) -> Iterator[str]:
    for line in stream or ():
        yield line.rstrip("\n")


def _read(line: str) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _numbered(line: str, told: Mapping[str, Any], number: int) -> str:
    return json.dumps({**told, "worker": number}) if told else f"worker {number}: {line}"
