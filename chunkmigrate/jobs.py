"""Jobs: what an operator does with a migration on Kubernetes.

They parse and print. What a Job looks like is ``kubernetes``' business, and is imported only when it is asked
for: a pod has no use for it.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer

from chunkmigrate import commands, job_submit, jobs_live
from chunkmigrate.completion import names
from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.job_options import chosen, with_job_flags, workload
from chunkmigrate.options import Dir  # noqa: TC001 (typer reads it)

job = commands.group("job", "Run migrations as Kubernetes Jobs.")


@partial(commands.add, job)
@with_job_flags
def render(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A migration's file name, or any unambiguous part of it.",
            autocompletion=names,
            metavar="[NAME]",
        ),
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
    """Print a migration's Job. For kubectl, Helm, Argo CD or Airflow; asks no cluster.

    Example: chunkmigrate job render order_prices --image shop:1.4 --memory 512Mi
    """
    from chunkmigrate.kubernetes import rbac as rbac_
    from chunkmigrate.kubernetes import renderings, text

    choices = chosen(flags)
    if rbac is not None:
        typer.echo(text.of(rbac_.objects(rbac, namespace=choices.namespace, mount=choices.mount)), nl=False)
        return
    if name is None:
        raise InvalidSettingError("Name the migration whose Job is to be printed.")
    found = workload(name, directory, choices)
    for warning in found.warnings:
        typer.echo(f"Warning: {warning}.", err=True)
    typer.echo(renderings.rendered(found), nl=False)


for verb in (job_submit.submit, jobs_live.watch, jobs_live.cancel, jobs_live.diagnose):
    commands.add(job, verb)
