"""Tuning: what follows from a profile and from past runs, and the reasons in numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chunkmigrate.errors import ProfileError
from chunkmigrate.profiles import SCRATCH
from chunkmigrate.sizing import LEAST_ROOM, MIB, ceiling, headroom
from chunkmigrate.tuning import PastRun, Tuning, held, rehearsed, rounded, span, tune
from tests.unit.measured import killed, past, point_of, profile_of, step_of

if TYPE_CHECKING:
    from chunkmigrate.profiles import Profile

NOT_HELD = point_of(45, held=False)
SAMPLE_SAYS = "the sample held in 50 MiB, of which 36 MiB are the process itself"


QUARTER = "the next run starts with chunks of 250 documents"
SAMPLE_HELD = "But the sample held in 50 MiB"
MORE = "more memory is needed, 58Mi; smaller chunks alone would not suffice."
SUFFICE = f"smaller chunks suffice in what it had, and {QUARTER}; 58Mi leaves room to spare."
ENOUGH = f"58Mi is enough: more memory is not needed, smaller chunks are; {QUARTER}."


NOT_MEASURED = (
    "which number is best was not measured here: on two cores the second brought a third more documents, and "
    "the fourth nothing."
)
SWEPT = "up to 30,000/s were committed to a scratch collection. Of another number that is not known"


def no_less(least: str) -> str:
    return f"and no less than the {least} that a run needs to work in"


def why(tuning: Tuning, word: str) -> str:
    """The one sentence that begins with a word."""
    [sentence] = [one for one in tuning.why if one.startswith(word)]
    return sentence


@pytest.mark.parametrize(
    ("profile", "runs", "memory", "sentence"),
    [
        (
            profile_of(step_of(NOT_HELD, point_of(50))),
            [],
            58,
            f"Memory: {SAMPLE_SAYS}; +15 %, rounded: 58Mi.",
        ),
        (None, [past()] * 3, 82, "Memory: peak 71 MiB over 3 runs, +15 %, rounded: 82Mi."),
        (None, [past()], 82, "Memory: peak 71 MiB over 1 run, +15 %, rounded: 82Mi."),
        (
            None,
            [past(peak=60 * MIB), past(peak=71 * MIB), past(peak=9 * MIB)],
            82,
            "Memory: peak 71 MiB over 3 runs, +15 %, rounded: 82Mi.",
        ),
        (profile_of(), [past()], 82, "Memory: peak 71 MiB over 1 run, +15 %, rounded: 82Mi."),
        (
            profile_of(step_of(point_of(100))),
            [past()],
            100,
            f"Memory: peak 71 MiB over 1 run, +15 %, {no_less('100 MiB')}, rounded: 100Mi.",
        ),
        (
            None,
            [past(peak=37 * MIB)],
            44,
            f"Memory: peak 37 MiB over 1 run, +15 %, {no_less('44 MiB')}, rounded: 44Mi.",
        ),
        (
            profile_of(step_of(NOT_HELD)),
            [past()],
            82,
            "Memory: peak 71 MiB over 1 run, +15 %, rounded: 82Mi.",
        ),
    ],
    ids=["profile", "runs", "one run", "highest", "both", "sample needs more", "least room", "none held"],
)
def test_memory(profile: Profile | None, runs: list[PastRun], memory: int, sentence: str) -> None:
    """Memory comes from runs, or else from the sample, with the reason in numbers; never less than either."""
    tuning = tune(profile, runs)

    assert tuning.tuned.memory == memory * MIB
    assert why(tuning, "Memory") == sentence


def test_profiled_afterwards() -> None:
    """A profile that was made when nothing matched any more is in nobody's way: runs tell."""
    tuning = tune(profile_of(step_of(sampled=0, sweep=(), documents=0)), [past()])

    assert tuning.tuned.memory == 82 * MIB
    assert tuning.peak == 71 * MIB
    assert tuning.seconds
    assert why(tuning, "Step 1").startswith("Step 1 was not measured")


def test_memory_of_steps() -> None:
    """The step that needs most settles the memory."""
    profile = profile_of(step_of(point_of(50)), step_of(NOT_HELD, point_of(80), step=1))

    assert tune(profile, []).tuned.memory == rounded(1.15 * 80 * MIB)


@pytest.mark.parametrize(
    ("profile", "runs", "sentence"),
    [
        (None, [], "to tune from. Measure it first, with `chunkmigrate profile NAME`"),
        (None, [killed(60, 64)], "neither a profile nor a finished run"),
        (None, [past(applied=False)], "neither a profile nor a finished run"),
        (profile_of(step_of(sampled=0, sweep=())), [], "No document matched when the profile was made"),
        (profile_of(steps=()), [], "No document matched when the profile was made"),
        (profile_of(step_of(NOT_HELD, sweep=(NOT_HELD,))), [], "No budget up to 45 MiB held in the profile."),
        (
            profile_of(step_of(), step_of(sweep=(NOT_HELD,), step=1)),
            [],
            "No budget up to 58 MiB held in the profile.",
        ),
    ],
)
def test_nothing(profile: Profile | None, runs: list[PastRun], sentence: str) -> None:
    """Where nothing tells how much is enough that is said, and no number is made up."""
    with pytest.raises(ProfileError, match=sentence):
        tune(profile, runs)


@pytest.mark.parametrize(
    ("paces", "chosen", "sentence"),
    [
        ({1_000: 30_000, 500: 20_000}, 1_000, "1,000 documents 30,000/s were committed"),
        ({1_000: 30_000, 500: 27_500, 250: 20_000}, 500, "500 documents 27,500/s were committed"),
        ({1_000: 20_000, 250: 30_000, 100: 29_000}, 100, "100 documents 29,000/s were committed"),
    ],
)
def test_chunks(paces: dict[int, float], chosen: int, sentence: str) -> None:
    """Of the chunk sizes that are about as fast as the fastest it is the smallest."""
    tuning = tune(profile_of(step_of(paces=paces)), [])

    assert tuning.tuned.chunk_documents == chosen
    assert sentence in why(tuning, "Chunks")
    assert f"the fastest were {max(paces.values()):,}/s." in why(tuning, "Chunks")


def test_chunks_of_steps() -> None:
    """One chunk size serves all steps: the one with which all of their documents together take least."""
    few = step_of(paces={1_000: 10_000, 100: 20_000}, documents=1_000)
    many = step_of(paces={1_000: 20_000, 100: 10_000}, documents=1_000_000, step=1)

    assert tune(profile_of(few, many), []).tuned.chunk_documents == 1_000
    assert tune(profile_of(many, few), []).tuned.chunk_documents == 1_000


def test_chunks_of_nothing() -> None:
    """Paces of a step of which no document is known count all the same."""
    nothing = step_of(paces={1_000: 10_000, 100: 20_000}, documents=0, sampled=0)

    assert tune(profile_of(nothing), [past()]).tuned.chunk_documents == 100


def test_chunks_not_measured() -> None:
    """Without a commit measured a chunk may be as large as ever, however fast chunks were encoded."""
    tuning = tune(profile_of(step_of(sweep=(point_of(50), point_of(58), point_of(58, 100)))), [])

    assert tuning.tuned.chunk_documents == 1_000
    assert [one.partition(":")[0] for one in tuning.why] == ["Memory", "Writers"]


def test_did_not_hold() -> None:
    """A chunk size that broke the budget is not chosen, however fast it was."""
    broken = point_of(58, 100, against=SCRATCH, held=False)
    whole = point_of(58, 1_000, documents_per_second=10_000.0, against=SCRATCH)
    step = step_of(sweep=(point_of(50), whole, broken))

    assert tune(profile_of(step), []).tuned.chunk_documents == 1_000
    assert held(step) == step.sweep[0]
    assert rehearsed(step) == [step.sweep[1]]


@pytest.mark.parametrize(
    ("profile", "sentence"),
    [
        (None, f"Writers: 2, as a run has by itself; {NOT_MEASURED}"),
        (profile_of(writers=3), f"Writers: 3, with which the profile was made; {NOT_MEASURED}"),
        (
            profile_of(step_of(paces={1_000: 30_000, 100: 9_000}), writers=4),
            f"Writers: 4, with which the profile was made: {SWEPT}.",
        ),
    ],
    ids=["runs alone", "not swept", "swept"],
)
def test_writers(profile: Profile | None, sentence: str) -> None:
    """Where the number of writers comes from is said, and what is known of it."""
    assert why(tune(profile, [past()]), "Writers") == sentence


@pytest.mark.parametrize("writers", [1, 2, 4])
def test_sizes(writers: int) -> None:
    """Chunks and pages are the largest that fit the recommended memory with every writer busy."""
    tuned = tune(profile_of(writers=writers), []).tuned
    top = ceiling(headroom(36 * MIB, tuned.memory), writers)

    assert (tuned.chunk_bytes, tuned.page_bytes, tuned.writers) == (top.chunk_bytes, top.page_bytes, writers)


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        (killed(47, 49), f"killed with 47 MiB of 49 MiB in use. {SAMPLE_HELD}: {MORE}"),
        (killed(48, 50), f"killed with 48 MiB of 50 MiB in use. {SAMPLE_HELD}: {SUFFICE}"),
        (killed(0, 57), f"killed; it had 57 MiB. {SAMPLE_HELD}: {SUFFICE}"),
        (killed(50, 58), f"killed with 50 MiB of 58 MiB in use. {ENOUGH}"),
        (killed(0, 64), f"killed; it had 64 MiB. {ENOUGH}"),
    ],
    ids=["less than held", "what held", "less than asked for", "as asked for", "never said"],
)
def test_killed(run: PastRun, sentence: str) -> None:
    """Of a last run that was killed it is said whether more memory is needed, or smaller chunks suffice."""
    assert (
        why(tune(profile_of(), [past(applied=False), run]), "The last run") == f"The last run was {sentence}"
    )


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        (killed(60, 70), "more memory is needed, 82Mi; smaller chunks alone may not suffice."),
        (killed(60, 72), f"smaller chunks suffice in what it had, and {QUARTER}; 82Mi leaves room to spare."),
    ],
)
def test_killed_after_others(run: PastRun, sentence: str) -> None:
    """What it had is held against what finished runs took, where that is more than the sample did."""
    said = why(tune(profile_of(), [past(), run]), "The last run")

    assert said.endswith(f"But finished runs took up to 71 MiB: {sentence}")


@pytest.mark.parametrize(
    ("profile", "sentence"),
    [
        (None, "There is neither a profile nor a finished run"),
        (profile_of(step_of(sampled=0, sweep=())), "No document matched"),
        (profile_of(step_of(NOT_HELD, sweep=(NOT_HELD,))), "No budget up to 45 MiB held"),
    ],
)
def test_killed_and_nothing_else(profile: Profile | None, sentence: str) -> None:
    """Where nothing tells how much is enough, what is known of the death stands in front of that."""
    with pytest.raises(
        ProfileError, match=f"The last run was killed with 60 MiB of 64 MiB in use. {sentence}"
    ):
        tune(profile, [killed(60, 64)])


def test_killed_before() -> None:
    """A death that another run has followed is history."""
    assert [one for one in tune(profile_of(), [killed(60, 64), past()]).why if "killed" in one] == []


@pytest.mark.parametrize(
    ("profile", "runs", "seconds"),
    [
        (profile_of(step_of(paces={1_000: 10_000})), [], (83.3, 166.7)),
        (profile_of(step_of(), step_of(step=1)), [], (20, 20 + 100)),
        (profile_of(step_of(documents=None)), [], None),
        (None, [past(), past(seconds=200.0)], (83.3, 333.3)),
        (profile_of(step_of(documents=2_000_000)), [past()], (166.7, 333.3)),
        (None, [past(read=0)], None),
    ],
    ids=["committed", "two steps", "unknown", "runs", "pace of runs", "nothing read"],
)
def test_seconds(profile: Profile | None, runs: list[PastRun], seconds: tuple[float, float] | None) -> None:
    """The duration is a range: of the pace of past runs, of that measured, or of the stages alone."""
    found = tune(profile, runs).seconds

    assert found == (seconds and pytest.approx(seconds, rel=1e-3))


def test_span() -> None:
    """Where no commit was measured the process is the least; the server's share comes on top, by writes."""
    least, most = span(1_000, 1e-5, 1.0)
    _, twice = span(1_000, 1e-5, 2.0)

    assert least == pytest.approx(0.01)
    assert most - least == pytest.approx(0.05)
    assert twice - least == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("profile", "runs", "peak"),
    [(profile_of(), [], 50), (profile_of(), [past()], 71), (None, [past(), past(peak=80 * MIB)], 80)],
)
def test_peak(profile: Profile | None, runs: list[PastRun], peak: int) -> None:
    """The peak to expect is that of runs, or else the highest of the sample."""
    assert tune(profile, runs).peak == peak * MIB


def test_gaps() -> None:
    """What the profile could not see is said: a step without documents, documents that failed."""
    failing = step_of(failures={"KeyError": 3, "ValueError": 1})
    empty = step_of(step=1, sampled=0, sweep=(), documents=0)
    tuning = tune(profile_of(failing, empty), [])

    assert why(tuning, "Step 1") == (
        "Step 1: 4 of 2,000 sampled documents failed (KeyError, ValueError); correct the migration first."
    )
    assert why(tuning, "Step 2").startswith("Step 2 was not measured: no document matched.")


@pytest.mark.parametrize(("size", "whole"), [(0, 0), (1, 1), (MIB, 1), (MIB + 1, 2), (81.65 * MIB, 82)])
def test_rounded(size: float, whole: int) -> None:
    """Memory is asked for in whole mebibytes, upwards."""
    assert rounded(size) == whole * MIB


def test_enough_to_begin() -> None:
    """What is recommended is never refused by the run it is for."""
    run = past(peak=1, start=200 * MIB)

    assert tune(None, [run]).tuned.memory >= 200 * MIB + LEAST_ROOM
