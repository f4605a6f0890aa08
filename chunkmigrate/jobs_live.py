"""Jobs, live: what an operator does to a Job that is in a cluster: watch, cancel, diagnose.

They parse, call and print, and say which exit code the end of a Job is. What is done is ``job_watch``' and
``job_cancel``'s business, what it means ``kubernetes.diagnosis``'; none is imported before it is asked for.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from chunkmigrate import settings as settings_
from chunkmigrate.errors import ChunkmigrateError, UnknownJobError
from chunkmigrate.opening import opened
from chunkmigrate.options import AsJson, Context, DatabaseName, Namespace, Uri  # noqa: TC001 (typer reads them)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pymongo.database import Database

    from chunkmigrate.job_watch import Shown
    from chunkmigrate.kubernetes.cluster import Cluster
    from chunkmigrate.kubernetes.diagnosis import Diagnosis
    from chunkmigrate.kubernetes.ending import Known
    from chunkmigrate.settings import Settings

COMPLETE, FAILED = 0, 1

# Those of `chunkmigrate run`: the Job ends with its last pod's. Any other end of a pod is a failure.
_OF_A_RUN = (1, 2, 5, 75)

# What shells say of a program that was interrupted: the Job goes on, so none of the others is true.
INTERRUPTED = 130

JobName = Annotated[
    str | None,
    typer.Argument(
        help="A Job's name, or part of its migration's; else the only one in the namespace.", metavar="[NAME]"
    ),
]


def watch(
    name: JobName = None,
    *,
    logs: Annotated[bool, typer.Option("--logs", help="Show the logs of its pods, too.")] = False,
    context: Context = None,
    namespace: Namespace = None,
    uri: Uri = None,
    database: DatabaseName = None,
    as_json: AsJson = False,
) -> None:
    """Follow a Job to its end, and end as it ends. Ctrl-C stops watching, not the Job.

    Example: chunkmigrate job watch order_prices --logs
    """
    from chunkmigrate.kubernetes import choosing

    settings = settings_.here(uri=uri, database=database)
    with cluster_of(context, namespace) as cluster:
        follow(cluster, choosing.chosen(cluster, name), settings, logs=logs, as_json=as_json)


def follow(
    cluster: Cluster, found: Mapping[str, Any], settings: Settings, *, logs: bool, as_json: bool
) -> NoReturn:
    """Follow a Job to its end, with what the database of ``settings`` knows; exit as the Job ends."""
    from chunkmigrate import lastruns
    from chunkmigrate.job_watch import JobWatch
    from chunkmigrate.kubernetes import choosing
    from chunkmigrate.kubernetes.fields import text
    from chunkmigrate.kubernetes.story import Story

    called, migration = text(found, "metadata", "name"), choosing.migration(found)
    whole = choosing.is_whole(found)
    stands = (
        partial(lastruns.standing, settings, migration, whole=whole) if settings.uri and migration else None
    )
    with ExitStack() as stack:
        shown = stack.enter_context(_display(as_json=as_json))
        try:
            ended = JobWatch(cluster, Story(called, found), shown, stands, logs=logs).run()
        except KeyboardInterrupt as error:
            stack.close()
            typer.echo(
                f"Stopped watching; Job {called} goes on. `chunkmigrate job cancel {called}` ends it.",
                err=True,
            )
            raise typer.Exit(INTERRUPTED) from error
    _report(ended, as_json=as_json)
    raise typer.Exit(_code(ended))


def cancel(
    name: Annotated[str, typer.Argument(help="A Job's name, or part of its migration's.", metavar="NAME")],
    *,
    now: Annotated[
        bool, typer.Option("--now", help="Delete it at once, also where it has ended already.")
    ] = False,
    context: Context = None,
    namespace: Namespace = None,
    uri: Uri = None,
    database: DatabaseName = None,
) -> None:
    """Stop a Job at a checkpoint, and delete it with its pods.

    Example: chunkmigrate job cancel order_prices
    """
    from chunkmigrate.job_cancel import JobCancel
    from chunkmigrate.kubernetes import choosing
    from chunkmigrate.kubernetes.fields import text

    settings = settings_.here(uri=uri, database=database)
    with cluster_of(context, namespace) as cluster, _database(settings, unless=now) as db:
        found = choosing.chosen(cluster, name)
        migration = _full_name(db, found)
        ask = partial(_ask, db, migration) if db is not None and migration else None
        if not JobCancel(cluster, found, _say, ask).run(now=now):
            raise typer.Exit(FAILED)
        _say(_cancelled(text(found, "metadata", "name"), db, migration if ask and not now else ""))


def diagnose(
    name: JobName = None,
    *,
    context: Context = None,
    namespace: Namespace = None,
    uri: Uri = None,
    database: DatabaseName = None,
    as_json: AsJson = False,
) -> None:
    """Say how a Job and each of its pods ended. With the evidence, and what to do.

    Example: chunkmigrate job diagnose order_prices --namespace shop
    """
    from chunkmigrate.kubernetes import choosing, diagnosis, story

    settings = settings_.here(uri=uri, database=database)
    with cluster_of(context, namespace) as cluster:
        try:
            found = choosing.chosen(cluster, name)
            seen = story.looked(cluster, found, partial(typer.echo, err=True))
        except UnknownJobError:
            seen = story.left(cluster, name)
            if not (seen.pods or seen.events):
                raise
    known = _known(settings, seen.job)
    _report(diagnosis.diagnose(replace(seen, known=known)), as_json=as_json)


@contextmanager
def cluster_of(context: str | None, namespace: str | None) -> Iterator[Cluster]:
    """Yield the cluster to work in: in the namespace named, else the project's, else the context's."""
    from chunkmigrate.kubernetes.client import connect
    from chunkmigrate.kubernetes.cluster import Cluster

    project = settings_.kubernetes(Path()).get("namespace")
    api = connect(context=context, namespace=namespace or (project if isinstance(project, str) else None))
    try:
        yield Cluster(api)
    finally:
        api.close()


@contextmanager
def _database(settings: Settings, *, unless: bool = False) -> Iterator[Database[Any] | None]:
    """Yield the database, where one is named and answers: from here it may be out of reach."""
    with ExitStack() as stack:
        database = None
        if settings.uri is not None and not unless:
            try:
                database = stack.enter_context(opened(settings))
            except ChunkmigrateError as error:
                typer.echo(f"Going on without the database: {error}", err=True)
        yield database


def _full_name(database: Database[Any] | None, job: Mapping[str, Any] | None) -> str:
    """Return the migration of a Job, as the database has it; empty where that is not certain."""
    from chunkmigrate import lastruns
    from chunkmigrate.kubernetes import choosing

    part = choosing.migration(job)
    if database is None or not part:
        return ""
    return lastruns.full_name(database, part, whole=choosing.is_whole(job)) or ""


def _known(settings: Settings, job: Mapping[str, Any] | None) -> Sequence[Known]:
    from chunkmigrate import lastruns

    with _database(settings) as database:
        name = _full_name(database, job)
        return lastruns.known(database, name) if database is not None and name else ()


def _ask(database: Database[Any], migration: str) -> None:
    from chunkmigrate import control

    control.ask(database, migration, control.CANCEL, control.operator())


def _cancelled(name: str, database: Database[Any] | None, migration: str) -> str:
    if database is None or not migration:
        return f"Job {name} is deleted. What is committed is safe; the next run goes on from there."
    from chunkmigrate import control

    where = control.stands(database, migration).shown()
    return (
        f"Job {name} is deleted, and {migration} is cancelled {where}; `chunkmigrate resume {migration}` "
        "allows it to run again."
    )


@contextmanager
def _display(*, as_json: bool) -> Iterator[Shown]:
    if sys.stdout.isatty() and not as_json:
        from chunkmigrate.job_screen import Screen

        with Screen() as screen:
            yield screen
        return
    from chunkmigrate.job_lines import Lines

    yield Lines(_say, as_json)


def _report(found: Diagnosis, *, as_json: bool) -> None:
    from chunkmigrate.job_lines import report

    for line in report(found, as_json=as_json):
        _say(line)


def _code(found: Diagnosis) -> int:
    """Return the exit code of a Job: the last pod's, where it is one of a run's."""
    from chunkmigrate.kubernetes.ending import Kind

    if found.job.kind is Kind.COMPLETE:
        return COMPLETE
    return found.job.exit_code if found.job.exit_code in _OF_A_RUN else FAILED


def _say(line: str) -> None:
    typer.echo(line)
    sys.stdout.flush()
