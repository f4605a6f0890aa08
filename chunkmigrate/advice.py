"""The advice: what to do next, in numbers, from the facts of one run.

Pure: a report in, sentences out. Each rule looks at one thing, and has nothing to say where that is well.
Here are those about how a run ended and about its memory; what held it up is ``bottlenecks``' business. Sizes
that follow from a profile's sweep are for whoever reads its table.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from chunkmigrate import bottlenecks, sizing
from chunkmigrate.ledger import APPLIED, CANCELLED, DIED, PAUSED, ROLLED_BACK, STOPPED
from chunkmigrate.report import Advice
from chunkmigrate.sizing import MIB, Zone
from chunkmigrate.units import format_bytes, quantity

if TYPE_CHECKING:
    from chunkmigrate.report import Report

# Budgets are given in steps of that size: finer ones promise more than one run can tell.
STEP = 16 * MIB
# A budget is worth cutting where a quarter of it goes, and 32 MiB: less is not worth a rollout.
WORTH_CUTTING, LEAST_CUT = 0.75, 32 * MIB
# A shorter run has not shown all its documents.
TELLING_SECONDS = 10.0
# After a death: a quarter more, and 100 MiB at least, as autoscalers do.
MORE, LEAST_MORE = 4, 100 * MIB
# Fewer samples under pressure than one in a hundred are a single large document.
PRESSED = 0.01


def on(report: Report) -> tuple[Advice, ...]:
    """Return what to do next, what is urgent first; that there is nothing, where that is so."""
    spelled = _without_backticks(report)
    found = [advice for rule in _RULES if (advice := rule(spelled))]
    if not found and report.status in (APPLIED, ROLLED_BACK):
        found = [_content(report)]
    return tuple(sorted(found, key=lambda advice: not advice.urgent))


def enough_for(used: int) -> int:
    """Return the budget in which ``used`` bytes leave chunks room to grow, in whole steps of 16 MiB."""
    return -(-int(used / sizing.GROW_BELOW) // STEP) * STEP


def _without_backticks(report: Report) -> Report:
    """Return the report with none in what comes from outside: there one would end a command too early."""
    failure = report.failure
    return replace(
        report,
        migration=_plain(report.migration),
        at_work=report.at_work and _plain(report.at_work),
        failure=failure and replace(failure, document=failure.document and _plain(failure.document)),
    )


def _plain(text: str) -> str:
    return text.replace("`", "'")


def _content(report: Report) -> Advice:
    most, budget = report.memory.most, report.memory.budget
    share = f"It used {most / budget:.0%} of its budget, and was" if most else "It was"
    return Advice("Nothing to change", f"{share} not held up.")


def _death(report: Report) -> Advice | None:
    last, budget = report.memory.last, report.memory.budget
    if report.status != DIED:
        return None
    again = f"`{report.command}` goes on with {_quarter(report)}"
    if last is None:
        return Advice("Run it again", f"It died before it had told of its memory. {again}.", urgent=True)
    share = f"{format_bytes(last)} of {format_bytes(budget)}, {last / budget:.0%} of its budget"
    if last < sizing.GUARD * budget:
        text = (
            f"When last heard of it used {share}: if the kernel killed it, memory jumped within a chunk. "
            "Look at how its pod ended: OOMKilled, an eviction, a lost node, a deadline, somebody who "
            f"deleted it. {again}."
        )
        return Advice("Find out what ended it", text, urgent=True)
    more = quantity(budget + max(budget // MORE, LEAST_MORE))
    text = (
        f"It was killed at {share}. {again}, which may be enough. If it dies again, give it "
        f"`--memory {more}`, and its pod a request and a limit of {more}; or read fewer `fields`."
    )
    return Advice("Smaller chunks, or more memory", text, urgent=True)


def _quarter(report: Report) -> str:
    documents = report.sizes["last"]["chunk_documents"] // sizing.AFTER_DEATH if report.sizes else 0
    return "chunks of a quarter" + (f", {documents:,} documents at most" if documents else "")


def _suspect(report: Report) -> Advice | None:
    if report.status != DIED or report.at_work is None:
        return None
    who = f"The document with _id {report.at_work} was"
    if report.among > 1:
        who = f"One of the {report.among} documents from _id {report.at_work} on was"
    text = f"{who} at work when it died. In its third death in a row a document goes into quarantine."
    return Advice("Look at the document at work", text)


def _out_of_memory(report: Report) -> Advice | None:
    if report.status != STOPPED or report.reason != "memory":
        return None
    more = max(enough_for(report.memory.most or 0), report.memory.budget + STEP)
    text = (
        f"Memory did not come back, so it ended: `{report.command}` goes on in a fresh process. "
        f" If that happens again and again, give it `--memory {quantity(more)}`, read fewer "
        "`fields`, or look for what the transform keeps."
    )
    return Advice("Run it again", text, urgent=True)


def _failure(report: Report) -> Advice | None:
    failure, again = report.failure, f"run `{report.command}`"
    if failure is None:
        return None
    if report.quarantine_retry:
        return None  # what stays in quarantine is told of there
    if failure.document is None:
        what = failure.meaning or "Why is on record."
        return Advice("Correct it, then run it again", f"{what} Then {again}.", urgent=True)
    text = (
        f"{failure.meaning} Look at the document with _id {failure.document}, correct the migration and "
        f'{again}; or let it set such documents aside, with `on_error="quarantine"`.'
    )
    return Advice("Correct the migration, or set documents aside", text.strip(), urgent=True)


def _next(report: Report) -> Advice | None:
    """Say how a run goes on that was ended or paused on purpose."""
    name = report.migration
    if report.status == STOPPED and report.reason == "stop":
        return Advice("Run it again", f"`{report.command}` goes on from its checkpoint.", urgent=True)
    if report.status == PAUSED:
        return Advice("Let it go on", f"`chunkmigrate resume {name}` does.", urgent=True)
    if report.status == CANCELLED:
        text = f"`chunkmigrate resume {name}` allows it to run again, from its checkpoint on."
        return Advice("Allow it again, if it is wanted", text, urgent=True)
    return None


def _quarantine(report: Report) -> Advice | None:
    documents, name = sum(kept["documents"] for kept in report.quarantine), report.migration
    if not documents:
        return None
    many = f"{documents:,} documents are" if documents > 1 else "One document is"
    text = f"{many} in quarantine; `chunkmigrate quarantine list {name}` says why."
    if report.is_rollback:
        text = f"{text} What is there was not rolled back, and stays as it is."
    else:
        text = f"{text} Correct the migration, then `chunkmigrate quarantine retry {name}`."
    done = report.status in (APPLIED, ROLLED_BACK) or report.quarantine_retry
    return Advice("Look at the quarantine", text, urgent=done)


def _pressure(report: Report) -> Advice | None:
    """Say how much memory it takes where chunks had to shrink."""
    samples, most = report.timeline.samples, report.memory.most
    pressed = [one for one in samples if one.zone in (Zone.SHRINK, Zone.STOP)]
    told = report.status == DIED or report.reason == "memory"
    if told or not most or len(pressed) < max(1, PRESSED * len(samples)):
        return None
    more = quantity(max(enough_for(most), report.memory.budget + STEP))
    text = (
        f"In {len(pressed) / len(samples):.0%} of its samples more than {sizing.GUARD:.0%} of the budget was "
        f"in use, where chunks shrink. With `--memory {more}` they would not; or read fewer `fields`."
    )
    return Advice("Give it more memory", text)


def _oversized(report: Report) -> Advice | None:
    """Say how much memory would have been enough, where much was not used."""
    most, budget = report.memory.most, report.memory.budget
    if report.status != APPLIED or report.quarantine_retry or not most or not report.counts.read:
        return None
    enough = enough_for(max(most, (report.memory.start or 0) + sizing.LEAST_ROOM))
    if enough > WORTH_CUTTING * budget or budget - enough < LEAST_CUT:
        return None
    short = "" if (report.seconds or 0) >= TELLING_SECONDS else " It was a short run: see a longer one first."
    text = (
        f"It never used more than {format_bytes(most)}, {most / budget:.0%} of its budget. With "
        f"`--memory {quantity(enough)}`, or a request of that, chunks still have room to grow.{short}"
    )
    return Advice(f"The request can shrink to {quantity(enough)}", text)


_RULES = (
    _death,
    _suspect,
    _out_of_memory,
    _failure,
    _next,
    _quarantine,
    _pressure,
    _oversized,
    *bottlenecks.RULES,
)
