"""The command line: parse, call, print, and the exit code.

Exit codes are decided here and nowhere else: 0 done, 1 the migration failed, 2 it cannot be used as asked, 3
pending (``status --check``), 5 another run holds the lease, 75 stopped at a checkpoint, run again. What an
operator does to a run from outside is in ``verbs``, what rolls it back in ``rollbacks``; how one went is
shown by ``reporting``, what one will take found out by ``tuner``; who is told of a run is ``audience``'s.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chunkmigrate import (
    addresses,
    commands,
    completion,
    jobs,
    lint,
    options,
    overview,
    reporting,
    saying,
    scaffolding,
    sequence,
    server,
    together,
    tuner,
    verbs,
)
from chunkmigrate import settings as settings_
from chunkmigrate.audience import Audience, metrics_of, notifier_of
from chunkmigrate.bookkeeping import baseline, import_, mark
from chunkmigrate.errors import ChunkmigrateError, LeaseHeldError, StoppedError, SupersededError, UsageError
from chunkmigrate.ledger import APPLIED, ROLLED_BACK, STOPPED
from chunkmigrate.memory import Share
from chunkmigrate.migration import discover, find
from chunkmigrate.notify import Notifier
from chunkmigrate.pod import pulse_of
from chunkmigrate.printing import say, warn
from chunkmigrate.rollbacks import rollback_command, undo
from chunkmigrate.runs import Runs, begun
from chunkmigrate.stop import Stop
from chunkmigrate.verifying import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chunkmigrate.outcome import Outcome
    from chunkmigrate.sequence import Wanted
    from chunkmigrate.settings import Settings

DONE, FAILED, UNUSABLE, PENDING, HELD, AGAIN = 0, 1, 2, 3, 5, 75

app = commands.group("chunkmigrate", "Rewrite existing MongoDB documents inside a fixed memory budget.")
app.callback()(commands.root)
quarantine = commands.group("quarantine", "List the documents that were set aside, or migrate them again.")


@partial(commands.add, app)
def run(
    name: options.Target = None,
    *,
    every: options.Every = False,
    only: options.Only = False,
    dry_run: options.DryRun = False,
    sample: options.Sample = None,
    uri: options.Uri = None,
    database: options.DatabaseName = None,
    directory: options.Dir = None,
    memory: options.Memory = None,
    writers: options.Writers = None,
    workers: options.Workers = None,
    max_rate: options.MaxRate = None,
    wait: options.Wait = "0",
    show_values: options.ShowValues = False,
    metrics_port: options.MetricsPort = None,
    metrics_push: options.MetricsPush = None,
    metrics_file: options.MetricsFile = None,
    notify: options.Notify = None,
) -> None:
    """Apply what is pending, in order, or go on where it stopped. A pod runs one with --only.

    Example: chunkmigrate run order_prices --memory 512Mi
    """
    settings = settings_.here(
        uri=uri,
        database=database,
        dir=directory,
        memory=memory,
        writers=writers,
        workers=workers,
        max_rate=max_rate,
        metrics_port=metrics_port,
        metrics_push=metrics_push,
        metrics_file=metrics_file,
        notify=notify,
    )
    said = partial(saying.said, show_values=show_values, folder=settings.folder)
    notifier = notifier_of(settings, warn)
    notifier.about(name)
    with _ending(said, notifier):
        audience = Audience(say, notifier, metrics=metrics_of(settings, warn))
        wait_seconds = options.seconds(wait)
        wanted = sequence.wanted(settings.folder, name, only=only, every=every)
        stop = Stop(at_once=AGAIN)
        if dry_run or sample is not None:
            _try_each(
                wanted,
                settings,
                stop,
                sample=options.checked(sample, dry_run=dry_run),
                show_values=show_values,
            )
            return
        if share := Share.of(os.environ):
            together.end_with_parent(share.parent)
        elif settings.workers > 1:
            _exit(together.run(settings, sys.argv[1:], stop, notifier, say=say, warn=warn))
            return
        with begun(stop, settings) as db:
            pulse = pulse_of(os.environ)
            runs = Runs(db, settings, stop, audience, said, wait=wait_seconds, pulse=pulse)
            _run_each(wanted, runs, notifier)


commands.add(app, scaffolding.new)


@partial(commands.add, app)
def status(
    *,
    uri: options.Uri = None,
    database: options.DatabaseName = None,
    directory: options.Dir = None,
    check: Annotated[bool, typer.Option("--check", help="Exit 3 while a migration is pending.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show which migrations are applied, and where others stand. Writes nothing.

    Example: chunkmigrate status --check
    """
    settings = settings_.here(uri=uri, database=database, dir=directory)
    if overview.show(settings, as_json=as_json) and check:
        raise typer.Exit(PENDING)


for verb in (
    lint.lint,
    overview.plan,
    tuner.profile,
    tuner.tune,
    verbs.pause,
    verbs.resume,
    verbs.cancel,
    verbs.unlock,
    overview.history,
    reporting.report,
    verify,
    mark,
    baseline,
):
    commands.add(app, verb)
commands.add(app, import_, "import")
commands.add(app, completion.completion)
app.add_typer(quarantine)
app.add_typer(jobs.job)
app.add_typer(undo)
commands.add(quarantine, verbs.listed, "list")


@partial(commands.add, quarantine)
def retry(
    name: options.Name,
    *,
    uri: options.Uri = None,
    database: options.DatabaseName = None,
    directory: options.Dir = None,
    memory: options.Memory = None,
    wait: options.Wait = "0",
    show_values: options.ShowValues = False,
) -> None:
    """Migrate the documents in quarantine again.

    Example: chunkmigrate quarantine retry order_prices
    """
    settings = settings_.here(uri=uri, database=database, dir=directory, memory=memory)
    said = partial(saying.said, show_values=show_values, folder=settings.folder)
    notifier = Notifier()
    with _ending(said, notifier):
        wait_seconds, migration = options.seconds(wait), find(discover(settings.folder), name)
        stop = Stop(at_once=AGAIN)
        with begun(stop, settings) as db:
            runs = Runs(db, settings, stop, Audience(say, notifier), said, wait=wait_seconds)
            _finish(runs.run(migration, only_quarantined=True), notifier)


@partial(commands.add, app)
def demo() -> None:
    """Show the loop people write first beside chunkmigrate. On a MongoDB of its own.

    Example: chunkmigrate demo
    """
    import chunkmigrate.demo as demo_

    demo_.show()


def main() -> None:
    """Run the command line."""
    completion.prepare(os.environ)
    try:
        sys.exit(app(standalone_mode=False))
    except typer.Abort:
        sys.exit(FAILED)
    except ChunkmigrateError as error:
        sys.exit(_failed(error, saying.said(error)))
    except Exception as error:
        # What Click says of a wrong command line repeats it, and a URI or a webhook may be in it.
        if not hasattr(error, "show") or not hasattr(error, "message"):
            raise
        error.message = addresses.redacted(server.redacted(error.message))
        error.show()
        sys.exit(UNUSABLE)


@contextmanager
def _ending(said: Callable[[BaseException], str], notifier: Notifier) -> Iterator[None]:
    """End a command that fails with a sentence and its exit code, and tell of it, whatever it was."""
    try:
        yield
    except ChunkmigrateError as error:
        code = _failed(error, said(error))
        notifier.failed(error, said(error), code)
        raise typer.Exit(code) from error
    except typer.Exit:
        raise
    except BaseException as error:
        notifier.failed(error, said(error), FAILED)
        raise


def _failed(error: ChunkmigrateError, sentence: str) -> int:
    """Say why a command failed; return its exit code."""
    print(sentence if isinstance(error, StoppedError) else f"Error: {sentence}", file=sys.stderr)
    codes = {StoppedError: AGAIN, SupersededError: HELD, LeaseHeldError: HELD, UsageError: UNUSABLE}
    return next((code for kind, code in codes.items() if isinstance(error, kind)), FAILED)


def _run_each(wanted: Wanted, runs: Runs, notifier: Notifier) -> None:
    going = sequence.Going(wanted, runs, about=notifier.about, warn=warn)
    if not going.left:
        say("Nothing is pending: all migrations are applied.")
    try:
        for ended in going:
            _finish(ended, notifier)
    except (ChunkmigrateError, typer.Exit):
        if going.left:
            print(f"Not begun: {', '.join(one.name for one in going.left)}.", file=sys.stderr)
        raise


def _try_each(wanted: Wanted, settings: Settings, stop: Stop, **how: Any) -> None:
    from chunkmigrate import trying  # late: a pod applies what it has

    with stop.on_signals():
        if not trying.each(wanted, settings, stop, say, **how):
            raise typer.Exit(FAILED)


def _finish(outcome: Outcome | str, notifier: Notifier) -> None:
    """Tell how a run ended, or that it was none any more, and exit unless it is applied, or rolled back."""
    if isinstance(outcome, str):
        say(outcome)
        notifier.tell("already_applied", outcome, DONE)
        return
    code = _code(outcome)
    notifier.ended(outcome, code)
    _exit(code)


def _code(outcome: Outcome) -> int:
    """Return what a run ends with: not to be run again where it would only stop at the same place again."""
    if outcome.status in (APPLIED, ROLLED_BACK):
        return DONE
    again = outcome.status == STOPPED and (outcome.made_progress or outcome.reason == "stop")
    return AGAIN if again else FAILED


def _exit(code: int) -> None:
    if code:
        raise typer.Exit(code)


commands.add(app, rollback_command(_ending, _finish, again=AGAIN))
