"""Progress: what a run shows on a terminal while it goes. Imported only where there is one."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from chunkmigrate.ledger import APPLIED, ROLLED_BACK
from chunkmigrate.telemetry import sentence
from chunkmigrate.units import format_bytes

if TYPE_CHECKING:
    from types import TracebackType

    from chunkmigrate.outcome import Outcome, Progress

_DETAILS = "{task.fields[rate]} documents/s, chunk {task.fields[chunk]}, memory {task.fields[memory]}"


class Display:
    """A bar with documents, rate, time left, chunk size, and memory against the budget."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Take over the terminal's last lines."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn(_DETAILS),
        )
        self._bar = self._stack.enter_context(Bar(*columns, console=self._console))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the terminal back."""
        self._stack.close()

    def begin(self, migration: str, budget: int, source: str) -> None:
        """Show which migration begins, and inside which budget."""
        self._console.print(
            f"{migration} in {format_bytes(budget)} ({source})", highlight=False, markup=False
        )
        self._step = 0

    def note(self, event: str, message: str, /, **_facts: Any) -> None:
        """Show something the operator should know; ``event`` is the word for it."""
        if not message:
            return
        word = event.replace("_", " ").capitalize()
        self._console.print(f"{word}: {message}", style="yellow", highlight=False, markup=False)

    def show(self, progress: Progress) -> None:
        """Show where the run stands."""
        if progress.step != self._step:
            self._complete()
            self._step = progress.step
            details: dict[str, Any] = {"rate": "-", "chunk": "-", "memory": "-"}
            name = f"step {progress.step} of {progress.steps}"
            self._task = self._bar.add_task(name, total=progress.total, **details)
        result, speed = progress.result, self._bar.tasks[-1].finished_speed or self._bar.tasks[-1].speed
        self._bar.update(
            self._task,
            completed=progress.step_read,
            total=progress.total,
            rate=f"{speed:,.0f}" if speed else "-",
            chunk=f"{result.read:,} ({format_bytes(result.size)})",
            memory=f"{format_bytes(result.reading.used)} of {format_bytes(result.reading.budget)}",
        )

    def end(self, outcome: Outcome) -> None:
        """Show what happened: the last line."""
        if outcome.status in (APPLIED, ROLLED_BACK):
            self._complete()
        self._stack.close()
        self._console.print(sentence(outcome), highlight=False, markup=False, soft_wrap=True)

    def _complete(self) -> None:
        """Show the current step as complete: how many documents it has may not have been known before."""
        for task in self._bar.tasks[-1:]:
            self._bar.update(task.id, total=task.completed)
