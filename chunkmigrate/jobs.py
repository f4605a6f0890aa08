"""Jobs: what an operator does with a migration on Kubernetes.

They parse and print. What a Job looks like is ``kubernetes``' business, and is imported only when it is asked
for: a pod has no use for it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chunkmigrate import jobs_live
from chunkmigrate import settings as settings_
from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.job_options import with_job_flags
from chunkmigrate.migration import discover, find
from chunkmigrate.options import Dir  # noqa: TC001 (typer reads it)

if TYPE_CHECKING:
    from chunkmigrate.kubernetes.choices import Choices
    from chunkmigrate.kubernetes.workload import Workload

job = typer.Typer(
    name="job",
    help="Run migrations as Kubernetes Jobs.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@job.command()
@with_job_flags
def render(
    name: Annotated[
        str | None, typer.Argument(help="A migration's file name, or any unambiguous part of it.")
    ] = None,
    *,
    directory: Dir = None,
    rbac: Annotated[
        str | None,
        typer.Option(
            help="Print the least Role that handling Jobs takes instead, for user:NAME, group:NAME or "
            "serviceaccount:NAME.",
            show_default=False,
        ),
    ] = None,
    flags: dict[str, Any],
) -> None:
    """Print a migration's Job, to be applied with kubectl, Helm, Argo CD or Airflow. Asks no cluster."""
    from chunkmigrate.kubernetes import rbac as rbac_
    from chunkmigrate.kubernetes import renderings, text

    chosen = _chosen(flags)
    if rbac is not None:
        typer.echo(text.of(rbac_.objects(rbac, namespace=chosen.namespace, mount=chosen.mount)), nl=False)
        return
    if name is None:
        raise InvalidSettingError("Name the migration whose Job is to be printed.")
    workload = _workload(name, directory, chosen)
    for warning in workload.warnings:
        typer.echo(f"Warning: {warning}.", err=True)
    typer.echo(renderings.rendered(workload), nl=False)


def _chosen(flags: dict[str, Any]) -> Choices:
    from chunkmigrate.kubernetes import choices

    return choices.choose(settings_.kubernetes(Path()), flags)


def _workload(name: str, directory: str | None, chosen: Choices) -> Workload:
    from chunkmigrate.kubernetes import workload

    found = discover(settings_.resolve({"dir": directory}, os.environ, Path()).folder)
    return workload.prepare(find(found, name), found, chosen)


for verb in (jobs_live.submit, jobs_live.watch, jobs_live.cancel, jobs_live.diagnose):
    job.command()(verb)
