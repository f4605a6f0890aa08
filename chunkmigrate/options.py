"""Options: those that several commands have in common, with their line of help."""

from __future__ import annotations

from typing import Annotated

import typer

from chunkmigrate.completion import names
from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.units import parse_duration

Name = Annotated[
    str,
    typer.Argument(
        help="A migration's file name, or any unambiguous part of it.", autocompletion=names, metavar="NAME"
    ),
]
Target = Annotated[
    str | None,
    typer.Argument(
        help="The last one to apply, or a part of its name; else all pending.",
        autocompletion=names,
        metavar="[NAME]",
    ),
]
Uri = Annotated[str | None, typer.Option(help="The server; else MONGODB_URI.", show_default=False)]
DatabaseName = Annotated[
    str | None, typer.Option("--database", help="The database, where the URI names none.", show_default=False)
]
Dir = Annotated[
    str | None,
    typer.Option("--dir", help="The folder of migrations. [default: migrations]", show_default=False),
]
Memory = Annotated[
    str | None,
    typer.Option(help="The budget, such as 512Mi; else the pod's request or limit.", show_default=False),
]
Writers = Annotated[int | None, typer.Option(help="Writer threads, 1 to 4. [default: 2]", show_default=False)]
Workers = Annotated[
    int | None,
    typer.Option(help="Processes that share the work and the memory. [default: 1]", show_default=False),
]
MaxRate = Annotated[
    float | None,
    typer.Option(help="Documents per second, at most. [default: no limit]", show_default=False),
]
MetricsPort = Annotated[
    int | None,
    typer.Option(help="Serve Prometheus metrics on this port; 0 is any that is free.", show_default=False),
]
MetricsPush = Annotated[
    str | None,
    typer.Option(
        help="Push the metrics to this Pushgateway in the end.", metavar="<url>", show_default=False
    ),
]
MetricsFile = Annotated[
    str | None,
    typer.Option(
        help="Write the metrics to this file in the end, for node_exporter.",
        metavar="<path>",
        show_default=False,
    ),
]
Notify = Annotated[
    str | None,
    typer.Option(help="Tell this webhook how it ended.", metavar="<url>", show_default=False),
]
Wait = Annotated[
    str, typer.Option(help="How long to wait for another run to end, such as 5m.", metavar="<duration>")
]
Every = Annotated[bool, typer.Option("--all", help="Apply all pending migrations, as without a name.")]
Only = Annotated[
    bool, typer.Option("--only", help="Apply the named one alone; refused while it depends on a pending one.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Read and transform, and write nothing.")]
Sample = Annotated[int | None, typer.Option(help="A dry run of about so many documents.", show_default=False)]
Context = Annotated[
    str | None, typer.Option(help="The kubeconfig's context; else the current one.", show_default=False)
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace", "-n", help="The namespace; else the project's, or the context's.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
ShowValues = Annotated[
    bool,
    typer.Option("--show-values", help="Show what is in documents, and what exceptions say."),
]


def seconds(wait: str) -> float:
    """Return what ``--wait`` says, in seconds; `InvalidSettingError` for what is no duration."""
    try:
        return parse_duration(wait)
    except InvalidSettingError as error:
        message = f"--wait: {error}"
        raise InvalidSettingError(message) from error


def checked(sample: int | None, *, dry_run: bool) -> int | None:
    """Return what ``--sample`` says; `InvalidSettingError` where it says nothing that can be done."""
    if sample is not None and (sample < 1 or not dry_run):
        message = "--sample is how many documents a dry run takes, 1 or more: use it with --dry-run."
        raise InvalidSettingError(message)
    return sample
