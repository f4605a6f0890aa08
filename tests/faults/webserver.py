"""A web server on loopback that answers as a test wants, and keeps what it was asked."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class WebServer:
    """Answers with each of ``codes`` in turn, then with the last one; 0 is no answer until all is over."""

    codes: list[int] = field(default_factory=lambda: [200])
    asked: list[Asked] = field(default_factory=list)
    location: str = ""
    port: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def next_code(self) -> int:
        return self.codes.pop(0) if len(self.codes) > 1 else self.codes[0]


@contextmanager
def web_server(*codes: int, location: str = "") -> Iterator[WebServer]:
    """A server on a port of its own, gone afterwards."""
    given = WebServer(codes=[*codes] or [200], location=location)

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            given.asked.append(Asked(self.command, self.path, dict(self.headers), body))
            code = given.next_code()
            if not code:
                given.over.wait(60)
                self.close_connection = True
                return
            self.send_response(code)
            if given.location:
                self.send_header("Location", given.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = do_PUT = handle_any  # noqa: N815 - the names http.server looks for

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        given.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield given
        finally:
            given.over.set()
            server.shutdown()
            thread.join()
