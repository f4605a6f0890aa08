"""The timeline: how a run went, in a bounded number of samples and marks."""

from __future__ import annotations

import random
from itertools import pairwise

import bson
import pytest

from chunkmigrate import timeline
from chunkmigrate.sizing import MIB
from chunkmigrate.timeline import FINEST_SECONDS, MAX_MARKS, MAX_SAMPLES, MAX_SENTENCE, Timeline
from tests.unit.telling import sample, timeline_of


@pytest.mark.parametrize("count", [1, MAX_SAMPLES, MAX_SAMPLES + 1, 20_000])
@pytest.mark.parametrize("pace", [0.001, 0.03, 4.0])
def test_bounded(count: int, pace: float) -> None:
    """However many chunks a run has, and however fast they come, it keeps no more than so many samples."""
    kept = timeline_of([sample(number * pace) for number in range(count)]).samples

    assert 1 <= len(kept) <= MAX_SAMPLES
    assert kept[-1].second == (count - 1) * pace
    assert all(before.second < after.second for before, after in pairwise(kept))


def test_nothing_lost_while_short() -> None:
    """Of a run with few chunks every one is there."""
    samples = [sample(number * 2 * FINEST_SECONDS + 0.01) for number in range(100)]

    assert timeline_of(samples).samples == samples


@pytest.mark.parametrize("where", [0, 1, 4_999, 7_777, 9_999])
def test_peaks_survive(where: int) -> None:
    """The most memory that was ever used is in the samples, wherever it was, and so is its zone."""
    samples = [sample(number * 0.1, (100 + number % 7) * MIB) for number in range(10_000)]
    samples[where] = sample(where * 0.1, 500 * MIB)
    kept = timeline_of(samples)

    assert max(one.used for one in kept.samples) == max(one.rss for one in kept.samples) == 500 * MIB
    assert [one.zone for one in kept.samples].count("stop") == 1
    assert kept.peak == samples[where]


def test_evenly() -> None:
    """What is kept is spread over the whole run: no stretch of it is told twice as well as another."""
    chance = random.Random(1)
    second, samples = 0.0, []
    for _ in range(30_000):
        second += chance.uniform(0.01, 0.1)
        samples.append(sample(second))
    kept = timeline_of(samples)
    gaps = [after.second - before.second for before, after in pairwise(kept.samples)]

    assert len(kept.samples) > MAX_SAMPLES // 3
    assert max(gaps) < 2 * kept.resolution + 0.2


def test_a_pause_costs_no_resolution() -> None:
    """A run that is paused for a day keeps the minutes in which it worked, and where the pause began."""
    samples = [sample(second / 2) for second in range(1, 201)]
    samples += [sample(100.0 + waited, read=100_000) for waited in range(1, 86_401, 7)]
    samples.append(sample(86_600.0, read=101_000))
    kept = timeline_of(samples)

    assert kept.samples[:200] == samples[:200]
    assert len(kept.samples) == 202
    assert kept.samples[-2].second > 86_000
    assert kept.resolution == FINEST_SECONDS


def test_marks_bounded() -> None:
    """There are no more than so many marks; what is rare stays, of what is frequent the first and last."""
    kept = Timeline()
    kept.mark(0.0, "unclean_end", "the run before was killed")
    for number in range(5_000):
        kept.mark(float(number), "zone", f"change {number}")
        if number == 2_500:
            kept.mark(float(number), "throttled", "replication lag 14 s > 10 s")
    zones = [mark.sentence for mark in kept.marks if mark.word == "zone"]

    assert len(kept.marks) <= MAX_MARKS
    assert {mark.word for mark in kept.marks} == {"unclean_end", "throttled", "zone"}
    assert (zones[0], zones[-1]) == ("change 0", "change 4999")
    assert kept.omitted == 5_002 - len(kept.marks)


def test_marks_evenly() -> None:
    """Marks that are left of many are spread over the whole run, not only over its end."""
    kept = Timeline()
    for number in range(5_000):
        kept.mark(float(number), "zone", "")
    gaps = [after.second - before.second for before, after in pairwise(kept.marks)]

    assert max(gaps) <= 5 * 5_000 / MAX_MARKS


def test_marks_of_many_words() -> None:
    """Where every mark has a word of its own, the newest are kept."""
    kept = Timeline()
    for number in range(2 * MAX_MARKS):
        kept.mark(float(number), f"word {number}", "")

    assert [mark.second for mark in kept.marks] == [
        float(number) for number in range(MAX_MARKS, 2 * MAX_MARKS)
    ]


def test_sentence_cut() -> None:
    """A sentence of any length takes no more than so many letters."""
    kept = Timeline()
    kept.mark(0.0, "retrying", "x" * 10_000)

    assert len(kept.marks[0].sentence) == MAX_SENTENCE


def test_stored_and_read() -> None:
    """What is stored and read again is the same, and small at its most."""
    kept = timeline_of([sample(number * 0.3, limit=700 * MIB) for number in range(9_000)])
    for number in range(500):
        kept.mark(number * 3.0, f"word {number % 5}", "y" * 200)
    stored = bson.encode(kept.document())
    read = timeline.read(bson.decode(stored))

    assert read.samples == kept.samples
    assert read.marks == kept.marks
    assert (read.resolution, read.omitted) == (kept.resolution, kept.omitted)
    assert read.peak is not None
    assert kept.peak is not None
    assert (read.peak.second, read.peak.used) == (kept.peak.second, kept.peak.used)
    assert len(stored) < 64 * 1024


def test_nothing_stored() -> None:
    """A run that kept no timeline has an empty one."""
    assert timeline.read({}) == Timeline()
