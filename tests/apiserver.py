"""An API server that replays recordings, over real sockets on loopback, with the faults a test asks for."""

from __future__ import annotations

import json
import sys
import threading
from collections import defaultdict, deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from tests.recorded import recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.recorded import Scenario

# How long a test waits for what must come, on the busiest machine.
PATIENCE = 60.0

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: here
contexts:
- {name: here, context: {cluster: here, user: operator, namespace: migrations}}
- {name: elsewhere, context: {cluster: here, user: operator, namespace: migrations-quota}}
clusters:
- {name: here, cluster: {server: "%s"}}
users:
- {name: operator, user: {token: the-token}}
"""

JOBS, PODS = "/apis/batch/v1/namespaces/migrations/jobs", "/api/v1/namespaces/migrations/pods"


@dataclass(frozen=True)
class Asked:
    """One request, as the server got it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


class Server(ThreadingHTTPServer):
    """A client that goes away is nothing to tell of."""

    daemon_threads = True
    cluster: Cluster

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers a request as the server has it."""

    protocol_version = "HTTP/1.1"
    server: Any

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        read = self.rfile.read(length)
        body = json.loads(read) if read else None
        asked = Asked(
            self.command,
            parts.path,
            dict(parse_qsl(parts.query)),
            {k.lower(): v for k, v in self.headers.items()},
            body,
        )
        self.server.cluster.answer(asked)(self)

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _answer  # noqa: N815 (as http.server names them)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


def reply(status: int, body: Any = None, **headers: str) -> Callable[[Handler], None]:
    """An answer that comes whole."""

    def answer(handler: Handler) -> None:
        sent = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(sent)))
        handler.end_headers()
        handler.wfile.write(sent)

    return answer


def refusal(name: str) -> Callable[[Handler], None]:
    """A recorded refusal."""
    found = recorded("api-errors")[name]
    return reply(found["status"], found["body"], **found["headers"])


def stream(
    chunks: Sequence[bytes], *, until: threading.Event | None = None, drop: bool = False, chunked: bool = True
) -> Callable[[Handler], None]:
    """A stream. It ends when ``until`` is set, at once without; ``drop``: the connection breaks off."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        if chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        else:
            handler.send_header("Connection", "close")
        handler.end_headers()
        for chunk in chunks:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk) if chunked else chunk)
            handler.wfile.flush()
        if until:
            until.wait(PATIENCE)
        if chunked and not drop:
            handler.wfile.write(b"0\r\n\r\n")
        handler.close_connection = True

    return answer


def line(event: Any) -> bytes:
    return json.dumps(event).encode() + b"\n"


@dataclass
class Cluster:
    """What the server answers: first what a test has planned, else what was recorded.

    A watch whose events are all told stays open until ``closing`` is set. ``over``: all is as it was at last,
    and nothing happens any more.
    """

    scenario: Scenario | None = None
    planned: dict[tuple[str, str], deque[Callable[[Handler], None]]] = field(
        default_factory=lambda: defaultdict(deque)
    )
    asked: list[Asked] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    deleted: bool = False
    over: bool = False
    _news: threading.Condition = field(default_factory=threading.Condition)

    def plan(self, what: str, *answers: Callable[[Handler], None]) -> None:
        """Answer so the next times: ``what`` is a method, or watch, and the end of a path: ``GET /jobs``."""
        method, _, path = what.partition(" ")
        self.planned[method, path].extend(answers)

    def answer(self, asked: Asked) -> Callable[[Handler], None]:
        with self._news:
            self.asked.append(asked)
            self._news.notify_all()
            for (method, path), answers in self.planned.items():
                if method == _method(asked) and asked.path.endswith(path) and answers:
                    return answers.popleft()
        return self._recorded(asked)

    def wait_for(self, method: str, path: str, times: int = 1) -> Asked:
        """Wait until something was asked for so often; return it."""

        def found() -> list[Asked]:
            return [one for one in self.asked if _method(one) == method and one.path.endswith(path)]

        with self._news:
            assert self._news.wait_for(lambda: len(found()) >= times, PATIENCE), self.asked
            return found()[times - 1]

    def kubeconfig(self, folder: Path) -> Path:
        path = folder / "kubeconfig"
        path.write_text(KUBECONFIG % self.url, "utf-8")
        return path

    def _recorded(self, asked: Asked) -> Callable[[Handler], None]:
        if self.scenario is None:
            return refusal("404-job.json")
        if asked.path.endswith("/events"):
            named = "involvedObject.name={}".format
            chosen = [
                event
                for event in self.scenario.events
                if named(event["involvedObject"]["name"]) in asked.query["fieldSelector"].split(",")
            ]
            return reply(200, {"kind": "EventList", "metadata": {"resourceVersion": "1"}, "items": chosen})
        if asked.path.endswith("/log"):
            return self._log(asked.path.split("/")[-2])
        kind = "Job" if "/jobs" in asked.path else "Pod"
        if asked.method == "DELETE":
            self.deleted = True
            return reply(200, self.scenario.job)
        if "watch" in asked.query:
            return self._watch(kind, int(asked.query["resourceVersion"]))
        if asked.path.endswith(("/jobs", "/pods")):
            return self._list(kind)
        if asked.path.endswith(f"/jobs/{self.scenario.job['metadata']['name']}") and not self.deleted:
            return reply(200, self._job())
        return refusal("404-job.json")

    def _log(self, pod: str) -> Callable[[Handler], None]:
        found = (
            {name.partition(".")[0]: text for name, text in self.scenario.logs.items()}
            if self.scenario
            else {}
        )
        stamped = [
            f"2026-11-22T02:27:{n:02}.0Z {said}\n" for n, said in enumerate(found.get(pod, "").splitlines())
        ]
        return stream([part.encode() for part in stamped])

    def _job(self) -> dict[str, Any]:
        assert self.scenario
        return self.scenario.job if self.over else self.scenario.versions("Job")[0]

    def _list(self, kind: str) -> Callable[[Handler], None]:
        """Only the Job is there at first; its pods come."""
        assert self.scenario
        there = [self._job()] if kind == "Job" and not self.deleted else []
        if kind == "Pod" and self.over:
            there = self.scenario.pods
        version = self._job()["metadata"]["resourceVersion"] if there else "1"
        return reply(200, {"kind": f"{kind}List", "metadata": {"resourceVersion": version}, "items": there})

    def _watch(self, kind: str, version: int) -> Callable[[Handler], None]:
        assert self.scenario
        events = [
            event
            for event in self.scenario.watch
            if event["object"]["kind"] == kind
            and int(event["object"]["metadata"]["resourceVersion"]) > version
        ]
        return stream([line(event) for event in events], until=self.closing)


def _method(asked: Asked) -> str:
    return "watch" if "watch" in asked.query else asked.method


@contextmanager
def serving(scenario: Scenario | None = None) -> Iterator[Cluster]:
    """An API server of one's own."""
    cluster = Cluster(scenario)
    server = Server(("127.0.0.1", 0), Handler)
    server.cluster = cluster
    cluster.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield cluster
    finally:
        cluster.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
