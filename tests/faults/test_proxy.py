"""The proxy itself, on a server that answers what it is sent."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.faults.proxy import HOST, Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with suppress(ConnectionResetError):
            while data := self.request.recv(65_536):
                self.request.sendall(data)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with socketserver.ThreadingTCPServer((HOST, 0), Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        with Proxy(server.server_address[1]) as proxy:
            yield proxy
        server.shutdown()


def connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), timeout=5)


def answer(connection: socket.socket, sent: bytes = b"ping") -> bytes:
    connection.sendall(sent)
    received = b""
    while len(received) < len(sent) and (data := connection.recv(65_536)):
        received += data
    return received


def test_forwards(proxy: Proxy) -> None:
    """Whatever is sent arrives, both ways."""
    large = bytes(range(256)) * 4_096
    with connected(proxy) as one, connected(proxy) as other:
        assert answer(one, large) == large
        assert answer(other) == b"ping"


def test_cut(proxy: Proxy) -> None:
    """A cut resets every connection, and a new one works."""
    with connected(proxy) as one, connected(proxy) as other:
        assert answer(one) == answer(other) == b"ping"
        proxy.cut()
        for connection in (one, other):
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
    with connected(proxy) as one:
        assert answer(one) == b"ping"


def test_cut_after(proxy: Proxy) -> None:
    """A cut after some bytes comes in the middle of a message, and lets no more than those pass."""
    with connected(proxy) as one:
        answer(one)
        before = proxy.forwarded
        proxy.cut_after(100)
        one.sendall(b"x" * 75)
        with pytest.raises(ConnectionResetError):
            everything(one)
        assert proxy.forwarded - before == 100
    with connected(proxy) as one:
        assert answer(one) == b"ping"


def everything(connection: socket.socket) -> None:
    while connection.recv(1):
        pass


def test_refusing(proxy: Proxy) -> None:
    """While it refuses, nobody can connect; afterwards the same port works again."""
    port = proxy.port
    with connected(proxy) as one:
        answer(one)
        with proxy.refusing():
            with pytest.raises(ConnectionResetError):
                one.recv(1)
            with pytest.raises(ConnectionRefusedError):
                connected(proxy)
    with connected(proxy) as one:
        assert (answer(one), proxy.port) == (b"ping", port)


def test_stalled(proxy: Proxy) -> None:
    """While it stalls, connections are taken and nothing comes; afterwards nothing was lost."""
    with connected(proxy) as one:
        answer(one)
        with proxy.stalled(), connected(proxy) as other:
            for connection in (one, other):
                connection.sendall(b"late")
                connection.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    connection.recv(1)
        one.settimeout(5)
        assert one.recv(10) == b"late"


def test_delayed(proxy: Proxy) -> None:
    """While it delays, an answer takes twice as long, once for each way."""
    with connected(proxy) as one:
        answer(one)
        with proxy.delayed(0.1):
            began = time.monotonic()
            answer(one)
            assert time.monotonic() - began >= 0.2


def test_server_away(proxy: Proxy) -> None:
    """Where the server is away, a connection ends at once: while it is made, or with the first read."""
    with Proxy(1) as alone, pytest.raises(ConnectionResetError), connected(alone) as one:
        one.recv(1)
