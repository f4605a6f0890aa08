"""What a folder of migrations and its database go through, as plain Python has it: the model of `test_life`.

Each file means a number, and adds one to the field of that name in every document; or, of the kind ``acts``,
leaves its number in a log. How many documents a run has come to is told to the model; which those are, and
what becomes of them, is the model's to say.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count, takewhile

DOCUMENTS = 12
UNDO, DOWNGRADE, ACTS = "undo", "downgrade", "acts"
KINDS = (UNDO, UNDO, UNDO, DOWNGRADE, DOWNGRADE, ACTS)
APPLIED, PENDING = "applied", "pending"

Values = dict[int, int]


@dataclass(frozen=True)
class File:
    """A migration's file: what it means, and how it goes back."""

    means: int
    kind: str


@dataclass(frozen=True)
class Kept:
    """What undo keeps of a document: of each field what it was, and what was written."""

    fields: dict[int, tuple[int, int]]
    edited: bool = False

    def restored(self, now: Values) -> Values | None:
        """Return what the document was; None where somebody has edited it."""
        if all(now.get(name, 0) == after for name, (_, after) in self.fields.items()):
            return now | {name: before for name, (before, _) in self.fields.items()}
        if all(now.get(name, 0) == before for name, (before, _) in self.fields.items()):
            return now
        return None


@dataclass
class Entry:
    """What is on record of a migration. ``up`` and ``down`` are how many documents are done."""

    means: int
    kind: str
    status: str
    touched: int
    way: str = ""
    origin: bool = False
    begun: bool = False
    kept: bool = False
    up: int = 0
    down: int = 0

    @property
    def half(self) -> bool:
        return self.status not in (APPLIED, PENDING)


@dataclass
class Model:
    """The files, what is on record, the documents, what is kept of them, and the history.

    ``left`` is how many documents rollbacks have found edited.
    """

    files: dict[str, File] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    documents: list[Values] = field(default_factory=lambda: [{} for _ in range(DOCUMENTS)])
    kept: dict[str, dict[int, Kept]] = field(default_factory=dict)
    log: list[int] = field(default_factory=list)
    followed: set[tuple[str, str]] = field(default_factory=set)
    history: list[str] = field(default_factory=list)
    left: int = 0
    unwell: set[int] = field(default_factory=set)
    clock: count[int] = field(default_factory=lambda: count(1))

    def status(self, name: str) -> str:
        return self.entries[name].status if name in self.entries else PENDING

    def chosen(self, target: str | None, *, only: bool) -> list[str]:
        """Return what a run is to do, in order; the target even where it is applied."""
        names = [target] if only and target else sorted(self.files)
        before = [*takewhile(lambda name: name != target, names), *([target] if target in names else [])]
        return [name for name in before if name == target or self.status(name) != APPLIED]

    def refusal(self, target: str | None, *, only: bool) -> str:
        """Return the name of what a run is refused with."""
        chosen = self.chosen(target, only=only)
        if any(name in self.entries and self.entries[name].way for name in chosen):
            return "HalfRolledBackError"
        gone = {name: one.means for name, one in self.entries.items() if self.is_missing(name)}
        now = {file.means: name for name, file in self.files.items()}
        renamed = {now[means] for means in gone.values() if means in now}
        fresh = {name for name in (chosen if only else self.files) if self.status(name) == PENDING}
        if renamed & fresh:
            return "RenamedError"
        proved = {before for before, behind in self.followed if behind in self.files}
        deleted = any(name in proved and means not in now for name, means in gone.items())
        return "DeletedError" if deleted and not only else ""

    def is_missing(self, name: str) -> bool:
        return name not in self.files and self.status(name) != PENDING

    def begin(self, name: str) -> Entry:
        """Begin to apply a migration."""
        file, names = self.files[name], sorted(self.files)
        place = names.index(name)
        self.followed.add((names[place - 1] if place else "", name))
        entry = self.entries.setdefault(name, Entry(0, file.kind, PENDING, 0))
        entry.means, entry.kind, entry.origin, entry.touched = file.means, file.kind, False, next(self.clock)
        return entry

    def apply(self, name: str, documents: int) -> None:
        """Apply a migration to so many documents, from where it stood."""
        entry, means = self.entries[name], self.files[name].means
        for number in range(entry.up, entry.up + documents):
            before = self.documents[number]
            after = before | {means: before.get(means, 0) + 1}
            if entry.kind == UNDO:
                self.keep(name, number, before, after)
            self.documents[number] = after
        entry.up += documents

    def keep(self, name: str, number: int, before: Values, after: Values) -> None:
        """Keep what a document was, or hold it against what is kept already."""
        kept = self.kept.setdefault(name, {})
        base, known = before, kept.get(number)
        edited = False
        if known:
            restored = known.restored(before)
            base, edited = (before, True) if restored is None else (restored, known.edited)
        changed = {m: (base.get(m, 0), after.get(m, 0)) for m in base | after}
        kept[number] = Kept({m: both for m, both in changed.items() if both[0] != both[1]}, edited)
        if not kept[number].fields and not edited:
            del kept[number]

    def begun(self) -> list[str]:
        """Return what can be rolled back, the last one first."""
        names = [name for name, entry in self.entries.items() if entry.status != PENDING]
        return sorted(names, key=lambda name: -self.entries[name].touched)

    def way_back(self, name: str) -> str:
        """Return by which way a migration goes back; nothing where it has none."""
        entry, file = self.entries[name], self.files.get(name)
        if entry.way:
            return entry.way
        if file and file.kind == DOWNGRADE:
            return DOWNGRADE
        if (entry.status == APPLIED and entry.origin) or (entry.begun and not entry.kept):
            return ""
        return UNDO if entry.kept or (entry.begun and entry.status != APPLIED) else ""

    def begin_back(self, name: str, way: str) -> None:
        """Begin to roll a migration back."""
        entry = self.entries[name]
        entry.way, entry.origin, entry.touched = way, False, next(self.clock)
        entry.means = self.files[name].means if name in self.files else entry.means

    def back(self, name: str, documents: int) -> None:
        """Roll so many documents back, from where that stood."""
        entry = self.entries[name]
        if entry.way == UNDO:
            kept = self.kept.get(name, {})
            for number in sorted(kept)[:documents]:
                one = kept.pop(number)
                restored = one.restored(self.documents[number])
                self.left += restored is None or one.edited
                self.documents[number] = self.documents[number] if restored is None else restored
            return
        means = self.files[name].means
        for number in range(entry.down, entry.down + documents):
            self.documents[number] = self.documents[number] | {
                means: self.documents[number].get(means, 0) - 1
            }
        entry.down += documents

    def rolled_back(self, name: str) -> None:
        """A rollback has come to its end: it is as if the migration had never been."""
        self.kept.pop(name, None)
        old = self.entries[name]
        self.entries[name] = Entry(old.means, old.kind, PENDING, next(self.clock))

    def mark(self, name: str, *, applied: bool) -> None:
        """Somebody says that a migration is applied, or pending."""
        file, old = self.files.get(name), self.entries.get(name)
        self.history.append(f"marked {APPLIED if applied else PENDING}")
        if not applied and file is None:
            del self.entries[name]
            return
        means = file.means if file else old.means if old else 0
        kind = file.kind if file else old.kind if old else ""
        fresh = Entry(means, kind, APPLIED if applied else PENDING, next(self.clock), origin=True)
        if applied and old:
            fresh = replace(fresh, begun=old.begun, kept=old.kept, up=old.up)
        self.entries[name] = fresh
