"""Submitting a Job: a migration's, rendered on the way, or that of a manifest that is there.

It parses and prints. What is created, and what is never replaced, is ``kubernetes.submitting``'s business;
how a Job is followed afterwards ``jobs_live``'s.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chunkmigrate import jobs_live
from chunkmigrate import settings as settings_
from chunkmigrate.completion import names
from chunkmigrate.errors import InvalidSettingError, UnknownMigrationError
from chunkmigrate.job_options import chosen_job, with_job_flags, workload
from chunkmigrate.options import Context, Dir  # noqa: TC001 (typer reads them)

if TYPE_CHECKING:
    from chunkmigrate.kubernetes.cluster import Cluster
    from chunkmigrate.kubernetes.reading import Manifest

STANDARD_INPUT = "-"
# What is told by its name alone, so that no file that happens to lie there makes a name mean another thing.
_OF_FILES = (".yaml", ".yml", ".json")

# Those flags of a manifest's that are of use beside one that is there: where it goes, and what to look at.
_WITH_A_FILE = {"namespace", "database"}


@with_job_flags
def submit(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME|FILE]",
            autocompletion=names,
            help="A migration's file name, or any unambiguous part of it: its Job is rendered, as by "
            "`job render`, and created. What ends in .yaml, .yml or .json is the file of a manifest "
            "that is there, and - is one on standard input.",
        ),
    ] = None,
    *,
    file: Annotated[
        str | None,
        typer.Option("--file", "-f", help="A manifest, whatever its name ends in.", show_default=False),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--watch", help="Follow it to its end, and end as it ends, as `job watch` does.")
    ] = False,
    logs: Annotated[
        bool, typer.Option("--logs", help="With --watch: show the logs of its pods, too.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --watch: print JSON, one object a line.")
    ] = False,
    directory: Dir = None,
    context: Context = None,
    flags: dict[str, Any],
) -> None:
    """Create a migration's Job, and the ConfigMap it mounts. One that is there is not replaced.

    Example: chunkmigrate job submit order_prices --image shop:1.4 --watch
    """
    from chunkmigrate.kubernetes import choosing, submitting

    if (logs or as_json) and not follow:
        raise InvalidSettingError("--logs and --json are about what is followed: use them with --watch.")
    manifest = _manifest(what, file, directory, flags)
    with jobs_live.cluster_of(context, manifest.namespace) as cluster:
        name = submitting.submit(cluster, manifest, _warn)
        typer.echo(_created(name, cluster, followed=follow), err=as_json)
        if not follow:
            typer.echo(f"`chunkmigrate job watch {name}{_there(flags, context)}` follows it.", err=True)
            return
        settings = settings_.here(uri=None, database=flags.get("database"))
        jobs_live.follow(cluster, choosing.chosen(cluster, name), settings, logs=logs, as_json=as_json)


def _manifest(what: str | None, file: str | None, directory: str | None, flags: dict[str, Any]) -> Manifest:
    if (what is None) == (file is None):
        raise InvalidSettingError("Name the migration whose Job is to be created, or the file of a manifest.")
    if file is not None:
        return _read(file, flags)
    name = str(what)
    return _read(name, flags) if _is_file(name) else _rendered(name, directory, flags)


def _is_file(what: str) -> bool:
    return what == STANDARD_INPUT or what.lower().endswith(_OF_FILES)


def _read(source: str, flags: dict[str, Any]) -> Manifest:
    """Return a manifest that is there, for the namespace it is to go to."""
    from dataclasses import replace

    from chunkmigrate.kubernetes import reading

    if unused := sorted(flags.keys() - _WITH_A_FILE):
        raise InvalidSettingError(
            f"{source} is a manifest that is there, and is submitted as it is: the "
            f"{unused[0].replace('_', ' ')} setting goes with the name of a migration."
        )
    read = reading.read(_written(source), "standard input" if source == STANDARD_INPUT else source)
    namespace = flags.get("namespace")
    if namespace and read.namespace and namespace != read.namespace:
        message = f"{source} is for namespace {read.namespace}, and --namespace says {namespace}."
        raise InvalidSettingError(message)
    return replace(read, namespace=read.namespace or namespace)


def _rendered(name: str, directory: str | None, flags: dict[str, Any]) -> Manifest:
    """Return the manifest of a migration, as `job render` prints it."""
    from chunkmigrate.kubernetes import manifest
    from chunkmigrate.kubernetes.reading import Manifest

    try:
        found = workload(name, directory, chosen_job(flags))
    except UnknownMigrationError as error:
        if Path(name).is_file():
            message = f"{error} But there is a file {name}; if that is a manifest, submit it with -f."
            raise InvalidSettingError(message) from error
        raise
    for warning in found.warnings:
        _warn(f"{warning}.")
    return Manifest(manifest.job(found), tuple(manifest.config_maps(found)), found.choices.namespace or None)


def _written(source: str) -> str:
    try:
        return sys.stdin.read() if source == STANDARD_INPUT else Path(source).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"The manifest {source} cannot be read: {error}."
        raise InvalidSettingError(message) from error


def _created(name: str, cluster: Cluster, *, followed: bool) -> str:
    created = f"Job {name} is created in namespace {cluster.namespace}."
    return f"{created} Ctrl-C stops watching it, not the Job." if followed else created


def _there(flags: dict[str, Any], context: str | None) -> str:
    """Return the flags by which another command finds what this one has created."""
    typed = {"--namespace": flags.get("namespace"), "--context": context}
    return "".join(f" {flag} {shlex.quote(value)}" for flag, value in typed.items() if value)


def _warn(warning: str) -> None:
    typer.echo(f"Warning: {warning}", err=True)
