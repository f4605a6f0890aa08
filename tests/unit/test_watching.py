from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest

from chunkmigrate.errors import ClusterError, ClusterRefusedError
from chunkmigrate.kubernetes import watching
from chunkmigrate.kubernetes.cluster import Collection
from chunkmigrate.kubernetes.watching import Change, Watch, lines
from tests.recorded import recorded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkmigrate.kubernetes.client import Api

PODS = Collection("/pods", "pods", {"labelSelector": "job-name=m"})
LOST, REFUSED = ClusterError("lost."), ClusterRefusedError("refused.", 403, "Forbidden")
GONE, TOKEN = ClusterRefusedError("gone.", 410, "Expired"), ClusterRefusedError("who?", 401, "Unauthorized")
EXPIRED = json.loads(recorded("api-errors")["watch-410-expired.jsonl"]["body"])


def pod(name: str, version: int) -> dict[str, Any]:
    return {"kind": "Pod", "metadata": {"name": name, "uid": name, "resourceVersion": str(version)}}


def event(kind: str, name: str, version: int) -> bytes:
    return json.dumps({"type": kind, "object": pod(name, version)}).encode() + b"\n"


def listing(version: int, *pods: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": str(version)}, "items": [*pods]}


@dataclass
class Scripted:
    """An API whose answers are given; a list is a stream, and what is raised in it breaks it off."""

    answers: deque[Any]
    time: float = 0.0
    asked: list[str] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    done: bool = False
    seconds: float = 2.0

    def _next(self, what: str) -> Any:
        self.asked.append(what)
        answer = self.answers.popleft()
        if isinstance(answer, Exception):
            self.done = not self.answers
            raise answer
        return answer

    def get(self, *_: Any, **__: Any) -> Any:
        return self._next("list")

    def stream(self, *_: Any, **query: Any) -> Iterator[bytes]:
        for chunk in self._next(f"watch {query['resourceVersion']}"):
            self.time += self.seconds
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk
        self.time += self.seconds
        self.done = not self.answers

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def watch(self, **more: Any) -> Watch:
        return Watch(
            cast("Api", self),
            PODS,
            say=self.said.append,
            stopped=lambda: self.done,
            clock=lambda: self.time,
            sleep=self.sleep,
            **more,
        )


def watched(*answers: Any, **more: Any) -> tuple[list[tuple[str, str]], Scripted]:
    """What a watch yields until the answers are used up."""
    api = Scripted(deque(answers))
    return [(change.type, change.object["metadata"]["name"]) for change in api.watch(**more)], api


def test_lists_then_watches() -> None:
    """What is there comes first, then each change, from the version of the list on."""
    changes, api = watched(listing(7, pod("a", 3)), [event("ADDED", "b", 8), event("DELETED", "a", 9)])

    assert changes == [("MODIFIED", "a"), ("ADDED", "b"), ("DELETED", "a")]
    assert api.asked == ["list", "watch 7"]


def test_goes_on_where_it_was() -> None:
    """A stream that the server has ended is asked for again from the last version, a bookmark's included."""
    bookmark = (
        json.dumps({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "20"}}}).encode() + b"\n"
    )
    changes, api = watched(listing(7), [event("ADDED", "a", 8)], [bookmark], [event("ADDED", "b", 21)])

    assert changes == [("ADDED", "a"), ("ADDED", "b")]
    assert api.asked == ["list", "watch 7", "watch 8", "watch 20"]
    assert api.slept == []


def test_recorded_bookmarks() -> None:
    """Bookmarks as a server sends them are no changes, and move the version on."""
    sent = [json.dumps(one).encode() + b"\n" for one in recorded("bookmarks")]
    changes, api = watched(listing(1459), sent, [])

    assert [kind for kind, _ in changes] == ["ADDED", "DELETED"]
    assert api.asked == ["list", "watch 1459", "watch 1462"]


def test_cut_in_the_middle_of_a_line() -> None:
    """Half a line of a stream that breaks off is nothing: it comes again, whole."""
    whole, half = event("ADDED", "a", 8), event("ADDED", "b", 9)
    changes, api = watched(listing(7), [whole, half[:40], LOST], [half[:10], half[10:]])

    assert changes == [("ADDED", "a"), ("ADDED", "b")]
    assert api.asked == ["list", "watch 7", "watch 8"]


def test_half_a_line_at_a_clean_end() -> None:
    """Half a line at an end that looks clean is nothing either."""
    half = event("ADDED", "b", 9)

    assert watched(listing(7), [half[:-1]], [half])[0] == [("ADDED", "b")]


@pytest.mark.parametrize("gone", [GONE, [json.dumps(EXPIRED).encode() + b"\n"]], ids=["status", "event"])
def test_expired(gone: Any) -> None:
    """Where the server has forgotten the version all is listed anew, and what has vanished is told."""
    changes, api = watched(
        listing(7, pod("a", 3), pod("b", 4)), gone, listing(30, pod("b", 25), pod("c", 26)), []
    )

    assert changes[2:] == [("DELETED", "a"), ("MODIFIED", "b"), ("MODIFIED", "c")]
    assert api.asked == ["list", "watch 7", "list", "watch 30"]
    assert api.slept == []


def test_deleted_once() -> None:
    """What was seen to be deleted has not vanished once more when all is listed anew."""
    changes, _ = watched(listing(7, pod("a", 3)), [event("DELETED", "a", 8)], GONE, listing(9), [])

    assert changes == [("MODIFIED", "a"), ("DELETED", "a")]


def test_without_a_version() -> None:
    """A change that bears no version leaves the one to go on from as it was."""
    bare = json.dumps({"type": "ADDED", "object": {"metadata": {"name": "a"}}}).encode() + b"\n"

    assert watched(listing(7), [bare], [])[1].asked == ["list", "watch 7", "watch 7"]


def test_vanished_before_the_first_list() -> None:
    """What somebody knew to be there, and is not, was deleted."""
    assert watched(listing(7), [], there={"a": pod("a", 1)})[0] == [("DELETED", "a")]


def test_error_in_the_stream() -> None:
    """An error in the stream that passes is a drop; one that does not is raised."""
    passing = json.dumps({"type": "ERROR", "object": {"code": 500, "message": "etcd"}}).encode() + b"\n"
    final = json.dumps({"type": "ERROR", "object": {"code": 403, "message": "cannot watch"}}).encode() + b"\n"

    assert watched(listing(7), [passing], [event("ADDED", "a", 8)])[0] == [("ADDED", "a")]
    with pytest.raises(ClusterRefusedError):
        watched(listing(7), [final], [])


def test_pauses_grow() -> None:
    """While nobody answers it asks ever more seldom, says so once, and once that it is answered again."""
    _, api = watched(LOST, LOST, LOST, LOST, LOST, LOST, LOST, LOST, listing(7), [])

    assert api.slept == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert api.said == ["lost. Trying again.", "The Kubernetes API answers again."]


def test_one_drop_is_not_told() -> None:
    """One drop is nothing to talk of."""
    assert watched(LOST, listing(7), [])[1].said == []


def test_waits_as_long_as_it_is_told() -> None:
    """A server that names a time is left alone for it, within reason."""
    _, api = watched(ClusterError("busy.", wait=9.0), ClusterError("busy.", wait=9_000.0), listing(7), [])

    assert api.slept == [9.0, 30.0]


def test_patience_ends() -> None:
    """When nobody has answered for ten minutes that is the end."""
    with pytest.raises(ClusterError):
        watched(*[LOST] * 100)
    api = Scripted(deque([LOST] * 100))
    with pytest.raises(ClusterError):
        list(api.watch())
    assert watching.PATIENCE_SECONDS < api.time < 2 * watching.PATIENCE_SECONDS


def test_what_is_refused_is_raised() -> None:
    """What will not be otherwise the next time is raised at once; a token may have run out, once."""
    with pytest.raises(ClusterRefusedError):
        watched(REFUSED, listing(7))
    assert watched(TOKEN, listing(7, pod("a", 3)), [])[0] == [("MODIFIED", "a")]
    with pytest.raises(ClusterRefusedError):
        watched(TOKEN, TOKEN, listing(7))


def test_ended_at_once() -> None:
    """Streams that end at once without a word are asked for with pauses, and then listed anew."""
    api = Scripted(deque([listing(7), [], [], [], listing(8), [event("ADDED", "a", 9)]]), seconds=0.0)

    assert [change.type for change in api.watch()] == ["ADDED"]
    assert api.asked == ["list", "watch 7", "watch 7", "watch 7", "list", "watch 8"]
    assert api.slept == [0.5, 0.5, 0.5]


def test_no_json() -> None:
    """A line that is no JSON is a drop, and never a change."""
    changes, api = watched(
        listing(7), [b"<html>\n"], [b"[]\n", b'{"type":"ADDED"}\n', event("ADDED", "a", 8)]
    )

    assert changes == [("ADDED", "a")]
    assert api.slept == [0.5]


def test_stopped() -> None:
    """Once it is to stop, nothing more is asked for."""
    api = Scripted(deque([listing(7), [event("ADDED", "a", 8), event("ADDED", "b", 9)], []]))
    changes: list[Change] = []
    watch = Watch(
        cast("Api", api), PODS, stopped=lambda: bool(changes), sleep=api.sleep, clock=lambda: api.time
    )
    for change in watch:
        changes.append(change)  # noqa: PERF402 (the watch looks at them)

    assert len(changes) == 1
    assert len(api.asked) == 2


def test_lines() -> None:
    """Lines are put together from pieces of any size; the last without an end counts where it may."""
    pieces = [b"a", b"b\nc", b"\n\n", b"d\ne"]

    assert [*lines(pieces)] == [b"ab", b"c", b"d"]
    assert [*lines(pieces, whole=False)] == [b"ab", b"c", b"d", b"e"]


def test_line_without_an_end() -> None:
    """A line that grows without an end is given up before it fills the memory."""
    with pytest.raises(ClusterError):
        list(lines(b"x" * (1 << 20) for _ in range(1_000)))
