"""Text: objects as YAML that every parser reads as the same, byte for byte the same each time.

Kubernetes reads YAML with another library, and by other rules, than the one that writes it here: 1e3 is a
text to one and a number to the other. So a text goes without quotes only where nobody takes it for more.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

_STRING = "tag:yaml.org,2002:str"
_PLAIN = re.compile(r"[A-Za-z/][-A-Za-z0-9_./]*")
# They end a line in YAML 1.1 alone; between quotes they are spelled out.
_OTHER_BREAKS = re.compile("[\x85\u2028\u2029]")
# In one version of YAML or another.
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}


def of(objects: Sequence[dict[str, Any]]) -> str:
    """Return the objects as one text of YAML documents."""
    return "---\n".join(
        yaml.dump(one, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1 << 20) for one in objects
    )


class _Dumper(yaml.SafeDumper):
    """Writes a text in quotes, in lines where it has some, and nothing by reference."""

    def ignore_aliases(self, _: Any) -> bool:
        return True


def _represent(dumper: _Dumper, text: str) -> yaml.Node:
    if "\n" in text and not _OTHER_BREAKS.search(text):
        return dumper.represent_scalar(_STRING, text, style="|")
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return dumper.represent_scalar(_STRING, text, style=None if plain else '"')


_Dumper.add_representer(str, _represent)
