"""The schemas of what is printed as JSON, and docs/json.md, which `make docs` writes from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parents[1] / "docs" / "schemas"

# In the order of the page; the fields of the last two stand in pages of their own.
NAMES = [
    *("status", "plan", "history", "quarantine-list", "undo-list", "lint", "verify", "import", "tune"),
    *("run", "dry-run", "job-diagnose", "job-watch", "profile", "report"),
]
ELSEWHERE = {"profile": "[profiling](profiling.md)", "report": "[reports](report.md#json)"}

HEAD = """# JSON

What `--json` prints, and `run` where stdout is no terminal. Each has a [JSON Schema](schemas/), which tests
hold real output against, both ways: a field that it does not name fails them, and one that is missing does.
`make docs` writes this page from them.

- Where there are rows, each is one line, an object of its own. Warnings and errors are sentences on stderr.
- Bytes are whole numbers, durations seconds, times UTC in ISO 8601. An `_id` is text, as Python writes it.
- What is not known is `null`; a text that has nothing to say is empty. A field is always there, unless it is
  "optional".
- A field may be added in any version, and so may a word of `event`, `status` or `kind`: pass by what you do
  not know. That a field goes, or means something else, takes a new major version and a line in the changelog.
  The schemas are those of this version, and strict.
- What documents hold is nowhere, unless `--show-values` asks for it; their `_id`s may be.
"""


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return found


def page() -> str:
    """What docs/json.md says."""
    return "\n".join([HEAD, *(line for name in NAMES for line in section(name, read(name)))]).rstrip() + "\n"


def section(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"## {schema['title'].removeprefix('chunkmigrate ')}\n"
    yield f"{schema['description']} Schema: [{name}.json](schemas/{name}.json).\n"
    if name in ELSEWHERE:
        yield f"Its fields are described in {ELSEWHERE[name]}.\n"
        return
    for variant in schema.get("anyOf", [schema]):
        if variant is not schema:
            yield f"{variant['title']}:\n"
        yield "| field | type | |"
        yield "|---|---|---|"
        yield from rows(variant, "")
        yield ""


def rows(schema: dict[str, Any], before: str) -> Iterator[str]:
    for name, field in schema["properties"].items():
        optional = "" if name in schema["required"] else ", optional"
        yield f"| `{before}{name}` | {kind(field)}{optional} | {field.get('description', '')} |"
        inner = field.get("items", field)
        if "properties" in inner:
            yield from rows(inner, f"{before}{name}[]." if inner is not field else f"{before}{name}.")


def kind(field: dict[str, Any]) -> str:
    if "enum" in field:
        return ", ".join(f"`{value}`" if value else "empty" for value in field["enum"])
    types = field["type"] if isinstance(field["type"], list) else [field["type"]]
    words = {"integer": "whole number", "string": "text", "array": "list"}
    return " or ".join(words.get(one, one) for one in types)


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Every object that a schema describes."""
    if isinstance(schema, dict):
        if "object" in schema.get("type", ()):
            yield schema
        for value in schema.values():
            yield from objects(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from objects(value)


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 (it is what the page is written with)
