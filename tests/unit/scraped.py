"""What a scrape says, as samples by name and labels."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

OURS = {"migration": "cents", "database": "shop"}


def parsed(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample by name and labels, none of them twice."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
    assert len(found) == len(samples)
    return found


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return (f"chunkmigrate_{name}", frozenset((OURS | labels).items()))
