"""Text: nothing that is a text can be read as something else."""

from __future__ import annotations

import pytest

from chunkmigrate.kubernetes import text

# Kubernetes' parser takes y and n for truth values and 1e3 for a number; the one that writes does not.
OTHERWISE = ["y", "N", "yes", "Off", "TRUE", "null", "NaN", "inf", "1e3", "1", "0o7", "1_0", "-1", "+1", ".5"]


@pytest.mark.parametrize("word", OTHERWISE)
def test_quoted(word: str) -> None:
    """What any YAML takes for a number, a truth value or nothing stands in quotes, as key and as value."""
    assert text.of([{word: word}]) == f'"{word}": "{word}"\n'


@pytest.mark.parametrize(
    "word", ["chunkmigrate", "app.kubernetes.io/name", "/srv/alive", "batch/v1", "yesterday"]
)
def test_plain(word: str) -> None:
    """What is a text to all of them stands as it is."""
    assert text.of([{word: word}]) == f"{word}: {word}\n"


def test_several() -> None:
    """Objects are documents of one text, in order, as are their fields; what is there twice is written so."""
    same = {"a": 1}

    assert text.of([{"b": same, "a": [same]}, {"c": True}]) == "b:\n  a: 1\na:\n- a: 1\n---\nc: true\n"


def test_lines() -> None:
    """Lines are written as lines, in any alphabet; where that cannot be, what they say is kept."""
    assert text.of([{"a": "def é():\n    pass\n"}]) == "a: |\n  def é():\n      pass\n"
    assert text.of([{"a": "x \n\ty\n"}]) == 'a: "x \\n\\ty\\n"\n'
