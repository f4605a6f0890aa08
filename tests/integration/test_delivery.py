"""Delivery: tried a few times, in bounded time, and never with a secret in what is said."""

from __future__ import annotations

import base64
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from chunkmigrate.delivery import _is_passing, deliver
from chunkmigrate.errors import UndeliveredError
from chunkmigrate.retry import Retry
from tests.faults.webserver import web_server

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "services/T0/hush"
TEXT = {"Content-Type": "text/plain"}


class Time:
    """Time that passes only in pauses."""

    def __init__(self) -> None:
        self.now = 0.0

    def retry(self) -> Retry:
        return Retry(seconds=1.5, passing=_is_passing, sleep=self.sleep, clock=lambda: self.now)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def sentence(url: str, **options: Any) -> str:
    """What is said where nothing arrives."""
    with pytest.raises(UndeliveredError) as caught:
        deliver(url, b"x", TEXT, retry=Time().retry(), **options)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_delivered() -> None:
    """What is sent arrives once, whole, where it belongs."""
    with web_server() as server:
        deliver(f"{server.url}/{SECRET}?a=b", b"body", TEXT, method="PUT")
        (asked,) = server.asked

    assert (asked.method, asked.path, asked.body) == ("PUT", f"/{SECRET}?a=b", b"body")
    assert asked.headers["Content-Type"] == "text/plain"
    assert asked.headers["User-Agent"] == "chunkmigrate"
    assert "Authorization" not in asked.headers


def test_user() -> None:
    """A user and password in the address are sent as such, decoded."""
    with web_server() as server:
        deliver(server.url.replace("://", "://ada:p%40ss@") + "/x", b"", TEXT)
        (asked,) = server.asked

    assert asked.headers["Authorization"] == f"Basic {base64.b64encode(b'ada:p@ss').decode()}"
    assert asked.headers["Host"] == f"127.0.0.1:{server.port}"


@pytest.mark.parametrize("code", [500, 502, 503, 429, 408])
def test_again(code: int) -> None:
    """What may pass is tried again, and then it is delivered."""
    with web_server(code, code, 204) as server:
        deliver(f"{server.url}/x", b"body", TEXT, retry=Time().retry())

        assert [asked.body for asked in server.asked] == [b"body"] * 3


def test_gives_up() -> None:
    """A server that goes on failing is tried a few times, and named without its secret."""
    with web_server(500) as server:
        said = sentence(f"{server.url}/{SECRET}")

        assert said == f"{server.url} did not take it: it answered 500 Internal Server Error"
        assert 3 <= len(server.asked) <= 8


@pytest.mark.parametrize(("code", "phrase"), [(400, " Bad Request"), (404, " Not Found"), (499, "")])
def test_refused(code: int, phrase: str) -> None:
    """What will not pass is not tried again."""
    with web_server(code) as server:
        said = sentence(f"{server.url}/{SECRET}")

        assert said == f"{server.url} did not take it: it answered {code}{phrase}"
        assert len(server.asked) == 1


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects(code: int) -> None:
    """No redirect is followed, to whatever scheme or host: nothing is sent there."""
    with web_server() as other, web_server(code, location=f"{other.url}/{SECRET}") as server:
        said = sentence(f"{server.url}/{SECRET}")

        assert said == (
            f"{server.url} did not take it: it answered {code}, and redirects are not followed; name the "
            "address it leads to"
        )
        assert not other.asked
        assert len(server.asked) == 1


def test_nobody_there() -> None:
    """A port where nobody listens is named with the system's reason."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        said = sentence(f"{url}/{SECRET}")

    assert said == f"{url} did not take it: Connection refused"


def test_hangs() -> None:
    """A server that never answers is given up after the time there is, whatever a request may take."""
    with web_server(0) as server:
        began = time.monotonic()
        said = sentence(f"{server.url}/{SECRET}", seconds=0.2)

        assert said == f"{server.url} did not take it within 200 ms"
        assert time.monotonic() - began < 30  # its answer takes 60


@pytest.mark.parametrize("answer", [b"", b"no http\r\n\r\n"])
def test_no_http(answer: bytes) -> None:
    """What answers something else than HTTP has not taken it."""
    with answering(answer) as url:
        said = sentence(f"{url}/{SECRET}")

    assert said.startswith(f"{url} did not take it: ")


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A port that gives every connection the same bytes."""

    def answer_all(listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer_all, args=(listening,))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_odd_failures_are_named_by_kind() -> None:
    """What cannot even be asked is said without the text of the exception, which repeats the address."""
    assert sentence(f"http://127.0.0.1:1/{SECRET}\x7f") == ("http://127.0.0.1:1 did not take it: InvalidURL")
