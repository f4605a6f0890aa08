"""The timeline: how a run went, in so many samples and marks at most, however long it took.

Pure: it is told the time, and keeps what it is told. When a sample is taken, and how all of it gets into the
run's record, is ``timekeeper``'s business.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from chunkmigrate.sizing import Zone

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# A sample for every fourth pixel of a wide plot, in 30 KB of BSON at the most. What is finer than a chunk
# takes to commit shows nothing.
MAX_SAMPLES = 256
FINEST_SECONDS = 0.05
MAX_MARKS = 120
# What a person reads of a mark, in letters.
MAX_SENTENCE = 300

_WORST = {zone.value: number for number, zone in enumerate(Zone)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A run at one moment: bytes, but for what is said otherwise. ``second`` counts from its beginning.

    ``limit`` is the cgroup's, where there is one. ``read`` is the documents done so far, ``documents`` and
    ``size`` those and the bytes of the last chunk; ``paused`` the seconds spent waiting so far.
    """

    second: float
    rss: int
    used: int
    budget: int
    limit: int | None
    read: int
    documents: int
    size: int
    zone: str
    paused: float

    def after(self, earlier: Sample) -> Sample:
        """Return one sample for both: this one, with the memory and the zone of the worse."""
        return replace(
            self,
            rss=max(self.rss, earlier.rss),
            used=max(self.used, earlier.used),
            zone=max(self.zone, earlier.zone, key=lambda zone: _WORST.get(zone, 0)),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """Something an operator was told: a word for it, and a sentence."""

    second: float
    word: str
    sentence: str


@dataclass(slots=True)
class Timeline:
    """The samples and marks of one run. ``resolution`` is how many seconds one sample stands for, at least.

    ``omitted`` counts the marks that had to go. ``peak`` is the sample with the most bytes used, as it was.
    """

    samples: list[Sample] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    resolution: float = FINEST_SECONDS
    omitted: int = 0
    peak: Sample | None = None

    def add(self, sample: Sample) -> None:
        """Keep a sample, at half the resolution where there would be too many. Peaks survive that.

        Of a time in which nothing was read only beginning and end are kept: a run that was paused for a day
        must not lose the minutes in which it worked.
        """
        if self.peak is None or sample.used > self.peak.used:
            self.peak = sample
        if len(self.samples) > 1 and self.samples[-2].read == self.samples[-1].read == sample.read:
            self.samples[-1] = sample.after(self.samples[-1])
            return
        self._put(sample)
        while len(self.samples) > MAX_SAMPLES:
            self.resolution *= 2
            samples, self.samples = self.samples, []
            for kept in samples:
                self._put(kept)

    def mark(self, second: float, word: str, sentence: str) -> None:
        """Keep a mark; where there would be too many, one of the most frequent word goes."""
        self.marks.append(Mark(second=second, word=word, sentence=_short(sentence)))
        if len(self.marks) > MAX_MARKS:
            del self.marks[_spare(self.marks)]
            self.omitted += 1

    def document(self) -> dict[str, Any]:
        """Return what is stored: a list for each field, for names would be most of it."""
        return {
            "resolution": self.resolution,
            "omitted": self.omitted,
            "peak": self.peak and {name: getattr(self.peak, name) for name in ("second", "rss", "used")},
            "samples": _columns(self.samples),
            "marks": [[mark.second, mark.word, mark.sentence] for mark in self.marks],
        }

    def _put(self, sample: Sample) -> None:
        if self.samples and self._slot(self.samples[-1]) == self._slot(sample):
            self.samples[-1] = sample.after(self.samples[-1])
        else:
            self.samples.append(sample)

    def _slot(self, sample: Sample) -> int:
        return int(sample.second / self.resolution)


def _columns(samples: Iterable[Sample]) -> dict[str, list[Any]]:
    """Return a list for each field."""
    kept = [*samples]
    return {name: [getattr(sample, name) for sample in kept] for name in _NAMES}


def read(document: Mapping[str, Any]) -> Timeline:
    """Return the timeline that was stored; an empty one where nothing was."""
    stored, peak = document.get("samples") or {}, document.get("peak")
    rows = zip(*(stored.get(name, ()) for name in _NAMES), strict=False)
    samples = [Sample(**dict(zip(_NAMES, row, strict=True))) for row in rows]
    marks = [
        Mark(second=second, word=word, sentence=text) for second, word, text in document.get("marks") or ()
    ]
    return Timeline(
        samples=samples,
        marks=marks,
        resolution=document.get("resolution", FINEST_SECONDS),
        omitted=document.get("omitted", 0),
        peak=_peak(samples, peak) if peak and samples else None,
    )


_NAMES = tuple(one.name for one in fields(Sample))


def _peak(samples: list[Sample], peak: Mapping[str, Any]) -> Sample:
    nearest = min(samples, key=lambda sample: abs(sample.second - peak["second"]))
    return replace(nearest, second=peak["second"], rss=peak["rss"], used=peak["used"])


def _spare(marks: list[Mark]) -> int:
    """Return which mark can be done without: of the most frequent word, the one with others close by."""
    words = [mark.word for mark in marks]
    frequent = max(dict.fromkeys(words), key=words.count)
    places = [place for place, word in enumerate(words) if word == frequent]
    if len(places) < 3:  # as many words as marks: then the oldest
        return 0
    alike = zip(places, places[1:], places[2:], strict=False)
    return min(alike, key=lambda three: marks[three[2]].second - marks[three[0]].second)[1]


def _short(sentence: str) -> str:
    return sentence if len(sentence) <= MAX_SENTENCE else sentence[: MAX_SENTENCE - 1] + "…"
