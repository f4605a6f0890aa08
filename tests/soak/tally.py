"""The tally: what a soak has survived so far, and the table of it."""

from __future__ import annotations

from collections import Counter

from rich.table import Table

# In the order of the table: what is counted, and what it is called there.
ROWS = {
    "rounds": "random rounds",
    "documents": "documents migrated and compared",
    "attempts": "runs started",
    "kill": "runs ended by SIGKILL",
    "stop": "runs ended by SIGTERM",
    "freeze": "runs frozen for seconds",
    "takeover": "runs frozen past their lease and taken over",
    "second": "second runs turned away",
    "undo": "migrations undone, killed on both ways",
    "race": "pairs of runs started together",
    "memory": "runs that stopped for lack of memory",
    "server": "servers killed and restarted",
    "stepdown": "primaries that stepped down",
    "primary": "primaries killed",
    "cut": "times all connections were cut",
    "cut in a message": "cuts in the middle of a message",
    "refuse": "times connections were refused",
    "stall": "times connections stalled",
    "delay": "times connections were slow",
    "quarantined": "documents put in quarantine",
    "differences": "documents lost, doubled or wrong",
}


class Tally(Counter[str]):
    """Counts by the names of ``ROWS``."""

    def table(self, title: str) -> Table:
        """Everything that is counted, in the order of ``ROWS``."""
        table = Table("survived", "times", title=title)
        table.columns[1].justify = "right"
        for name, shown in ROWS.items():
            table.add_row(shown, f"{self[name]:,}")
        return table
