"""Opening: what becomes of the client once a command is done."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pymongo
import pytest

from chunkmigrate import server, settings
from chunkmigrate.opening import opened


@dataclass
class Client:
    """A client that keeps how many seconds it was given to close."""

    given: list[float | None] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get_database(self, name: str, **_: Any) -> str:
        return name

    def close(self) -> None:
        self.given.append(pymongo._csot.remaining())


@pytest.mark.parametrize("failure", [None, ValueError])
def test_closed(monkeypatch: pytest.MonkeyPatch, failure: type[Exception] | None) -> None:
    """However a command ends its client is closed, without waiting long for a server that does not answer."""
    client = Client()
    monkeypatch.setattr(server, "connect", lambda *_: client)
    given = settings.resolve({"uri": "mongodb://localhost/shop"}, {}, Path("nowhere"))
    try:
        with opened(given) as database:
            assert (database, client.given) == ("shop", [])
            if failure:
                raise failure
    except ValueError:
        assert failure

    [seconds] = client.given
    assert seconds is not None
    assert seconds <= server.CLOSE_SECONDS
