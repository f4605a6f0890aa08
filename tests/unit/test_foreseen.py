"""What a dry run prints on a terminal, beside the tables of its steps."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from chunkmigrate import foreseen


@pytest.mark.parametrize("verifies", [True, False])
def test_verification(verifies: bool) -> None:  # noqa: FBT001
    """Whether a run would verify is said, and that a dry run has not."""
    out = StringIO()
    foreseen.show("m", [], Console(file=out, width=80), verifies=verifies)

    assert ("verify(db), which is not called here" in out.getvalue()) is verifies
