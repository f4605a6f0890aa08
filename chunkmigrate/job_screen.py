"""The job screen: what `job watch` shows on a terminal while it goes. Imported only where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from chunkmigrate import server
from chunkmigrate.kubernetes.ending import GOING, Kind
from chunkmigrate.kubernetes.fields import text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from chunkmigrate.kubernetes.ending import Ending
    from chunkmigrate.lastruns import Stand

# A terminal has some forty lines, and the pods of now are the news.
MAX_PODS = 12

_COLOURS = {Kind.SUCCEEDED: "green", Kind.COMPLETE: "green", Kind.RUNNING: "cyan"}


class Screen:
    """One screen: the Job, where the migration stands, and a line for each pod; above it what happened."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._live = Live(console=self._console, refresh_per_second=4)
        self._job, self._stand = Text(), Text()
        self._pods: dict[str, Ending] = {}

    def __enter__(self) -> Self:
        """Take over the terminal's last lines."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the terminal back."""
        self._live.stop()

    def job(self, ending: Ending) -> None:
        """Show how the Job stands."""
        self._job = _coloured(ending)
        self._update()

    def pod(self, name: str, ending: Ending) -> None:
        """Show how a pod stands."""
        self._pods[name] = ending
        self._update()

    def event(self, event: Mapping[str, Any]) -> None:
        """Show what the cluster warns of, above the screen."""
        about, reason = text(event, "involvedObject", "name"), text(event, "reason")
        self._above(f"{reason}, {about}: {text(event, 'message')}", "yellow")

    def stand(self, stand: Stand) -> None:
        """Show where the migration stands."""
        self._stand = Text(f"migration: {server.redacted(stand.shown())}")
        self._update()

    def log(self, pod: str, line: str) -> None:
        """Show a line of a pod's log, above the screen."""
        self._above(f"{pod}  {line}", "dim")

    def note(self, message: str) -> None:
        """Show what whoever looks on should know, above the screen."""
        self._above(message, "yellow")

    def _above(self, message: str, style: str) -> None:
        self._console.print(Text(server.redacted(message), style=style), soft_wrap=True)

    def _update(self) -> None:
        table = Table("pod", "how it stands", box=None, pad_edge=False)
        shown = [*self._pods.items()][-MAX_PODS:]
        if more := len(self._pods) - len(shown):
            table.add_row(f"{more} before", "")
        for name, ending in shown:
            table.add_row(name, _coloured(ending))
        self._live.update(Group(self._job, *([self._stand] if self._stand else []), table))


def _coloured(ending: Ending) -> Text:
    colour = _COLOURS.get(ending.kind, "yellow" if ending.kind in GOING else "red")
    return Text(server.redacted(ending.sentence), style=colour)
