"""The client against an API server on real sockets: who asks, what is sent, and what breaks."""

from __future__ import annotations

import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from chunkmigrate.errors import ClusterError, ClusterRefusedError, NoClusterError
from chunkmigrate.kubernetes import client
from chunkmigrate.kubernetes.client import Api, connect
from chunkmigrate.kubernetes.cluster import Cluster
from chunkmigrate.kubernetes.logs import log
from chunkmigrate.kubernetes.watching import Watch
from tests.apiserver import line, refusal, reply, serving, stream
from tests.recorded import recorded, scenario

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests import apiserver

PATH = "/apis/batch/v1/namespaces/migrations/jobs"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No cluster, and no proxy, of the machine this runs on."""
    for name in (
        "KUBECONFIG",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "http_proxy",
        "https_proxy",
        "KUBERNETES_SERVICE_HOST",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(client, "ACCOUNT", tmp_path / "no account")


@pytest.fixture
def server() -> Iterator[apiserver.Cluster]:
    with serving() as cluster:
        yield cluster


@pytest.fixture
def api(server: apiserver.Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Api]:
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path)))
    api = connect()
    yield api
    api.close()


def test_who_asks(api: Api, server: apiserver.Cluster) -> None:
    """A request bears the token of the kubeconfig's user, and goes to its context's namespace."""
    server.plan("GET /jobs", reply(200, {"items": []}))

    assert Cluster(api).jobs() == []
    asked = server.asked[0]
    assert asked.path == PATH
    assert asked.headers["authorization"] == "Bearer the-token"
    assert asked.query == {"labelSelector": "app.kubernetes.io/name=chunkmigrate"}


def test_contexts(server: apiserver.Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another context is another namespace, a namespace given is the one; a wrong context is said to be."""
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path)))

    assert connect().namespace == "migrations"
    assert connect(context="elsewhere").namespace == "migrations-quota"
    assert connect(context="elsewhere", namespace="n").namespace == "n"
    with pytest.raises(NoClusterError, match="context nowhere of"):
        connect(context="nowhere")


def test_several_kubeconfigs(
    server: apiserver.Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """KUBECONFIG may name several files, some of which are not there."""
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'absent'}:{server.kubeconfig(tmp_path)}")

    assert connect().namespace == "migrations"


def test_default_kubeconfig(server: apiserver.Cluster, tmp_path: Path) -> None:
    """Without KUBECONFIG it is the file in the home folder."""
    (tmp_path / ".kube").mkdir()
    server.kubeconfig(tmp_path).rename(tmp_path / ".kube" / "config")

    assert connect().namespace == "migrations"


@pytest.mark.parametrize(
    "written", ["", "[]", "a: [", "contexts: 7\nclusters: []\ncurrent-context: x\n", "\x00"]
)
def test_broken_kubeconfig(written: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A kubeconfig that is none ends in a sentence that names it."""
    file = tmp_path / "broken"
    file.write_text(written, "utf-8")
    monkeypatch.setenv("KUBECONFIG", str(file))

    with pytest.raises(NoClusterError, match="broken cannot be used"):
        connect()


def test_no_cluster() -> None:
    """Where there is neither a kubeconfig nor a service account that is said."""
    with pytest.raises(NoClusterError, match=r"there is no kubeconfig at ~/\.kube/config"):
        connect()


def test_in_a_pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a pod its service account is used, and its namespace."""
    from kubernetes.config import incluster_config

    for name, text in {"token": "the-token", "ca.crt": "a certificate", "namespace": "migrations\n"}.items():
        (tmp_path / name).write_text(text, "utf-8")
    monkeypatch.setattr(client, "ACCOUNT", tmp_path)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    api = connect()

    assert api.namespace == "migrations"
    assert api._client.configuration.host == "https://10.0.0.1:443"
    assert api._headers()["authorization"].lower() == "bearer the-token"


def test_library_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the library there is a sentence that says how to get it."""
    monkeypatch.setitem(sys.modules, "kubernetes", None)

    with pytest.raises(NoClusterError, match=r"pip install 'chunkmigrate\[kubernetes\]'"):
        connect()


@pytest.mark.parametrize("name", ["401-bad-token.json", "403-list-pods.json", "404-namespace.json"])
def test_refusals(name: str, api: Api, server: apiserver.Cluster) -> None:
    """What the server refuses arrives with its status and its reason."""
    server.plan("GET /jobs", refusal(name))

    with pytest.raises(ClusterRefusedError) as raised:
        Cluster(api).jobs()
    assert raised.value.status == recorded("api-errors")[name]["status"]


def test_warnings(api: Api, server: apiserver.Cluster) -> None:
    """What the server warns of is told; a field nobody knows is asked to be refused."""
    server.plan("POST /jobs", refusal("201-unknown-field-warned.json"))

    assert Cluster(api).create({"metadata": {"name": "bad"}}).warnings == (
        'unknown field "spec.backofLimit"',
    )
    assert server.asked[0].query == {"fieldManager": "chunkmigrate", "fieldValidation": "Strict"}


def test_redirects(api: Api, server: apiserver.Cluster) -> None:
    """A redirect is not followed: the token is for this server alone."""
    server.plan("GET /jobs", reply(302, "", Location="http://example.invalid/"))

    with pytest.raises(ClusterRefusedError, match="302"):
        Cluster(api).jobs()


def test_nobody_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A server that is not there is one that did not answer."""
    with serving() as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path)))

    with pytest.raises(ClusterError, match="did not answer when asked to list Jobs"):
        Cluster(connect()).jobs()


def test_one_drop(api: Api, server: apiserver.Cluster) -> None:
    """What is only read is asked for again when the connection breaks off, once."""
    server.plan(
        "GET /jobs", lambda handler: handler.connection.shutdown(socket.SHUT_RDWR), reply(200, {"items": []})
    )

    assert Cluster(api).jobs() == []


def test_no_json(api: Api, server: apiserver.Cluster) -> None:
    """An answer that is no JSON is told of as such."""
    server.plan("GET /jobs", reply(200, "<html>"), reply(200, "<html>"))

    with pytest.raises(ClusterError, match="is no JSON"):
        Cluster(api).jobs()


def test_not_known_to_be_done(api: Api, server: apiserver.Cluster) -> None:
    """When the connection breaks off before the answer, what was asked for may have been done."""
    server.plan("POST /jobs", lambda handler: handler.connection.shutdown(socket.SHUT_RDWR))

    with pytest.raises(ClusterError, match="It may have been done all the same"):
        Cluster(api).create({"metadata": {"name": "m"}})


@pytest.mark.parametrize("chunked", [True, False])
def test_slow_stream(chunked: bool, api: Api, server: apiserver.Cluster) -> None:  # noqa: FBT001
    """What comes in small pieces is there as it comes, not only at the end."""
    more = threading.Event()
    server.plan("watch /jobs", stream([b"on", b"e\n"], until=more, chunked=chunked))
    came = api.stream(PATH, "watch Jobs", seconds=30.0, watch=1)

    read = b""
    while b"one\n" not in read:
        read += next(came)
    more.set()
    assert b"".join(came) == b""


def test_silence(api: Api, server: apiserver.Cluster) -> None:
    """A stream that says nothing for too long has failed."""
    server.plan("watch /jobs", stream([b"one\n"], until=server.closing))

    with pytest.raises(ClusterError, match="ReadTimeoutError"):
        list(api.stream(PATH, "watch Jobs", seconds=0.2, watch=1))


def events(name: str) -> list[bytes]:
    return [line(event) for event in scenario(name).watch if event["object"]["kind"] == "Pod"]


def test_watch_through_faults(api: Api, server: apiserver.Cluster) -> None:
    """A watch survives drops in the middle of a line, errors, and an expired version."""
    sent = events("oomkilled")
    expired = recorded("api-errors")["watch-410-expired.jsonl"]["body"].encode()
    listed = {"metadata": {"resourceVersion": "400"}, "items": []}
    last = scenario("oomkilled").ended()
    server.plan(
        "GET /pods", reply(200, listed), reply(200, {"metadata": {"resourceVersion": "900"}, "items": last})
    )
    server.plan(
        "watch /pods",
        stream([sent[0], sent[1][:50]], drop=True),
        reply(500, "etcd is away"),
        stream([sent[1] + sent[2][:9], sent[2][9:]]),
        refusal("504-list-future-version.json"),
        stream([sent[3][:-1]], drop=True, chunked=False),
        stream([expired]),
        stream([], until=server.closing),
    )
    seen: list[str] = []
    watch = Watch(
        api, Cluster(api).pods_of("oomkilled"), sleep=lambda _: None, stopped=lambda: len(seen) >= 5
    )
    for change in watch:
        seen.append(change.object["metadata"]["resourceVersion"])
        if len(seen) == 5:
            break

    versions = [event["metadata"]["resourceVersion"] for event in scenario("oomkilled").versions("Pod")]
    assert seen == [*versions[:3], *(pod["metadata"]["resourceVersion"] for pod in last)]


def test_log_follows(api: Api, server: apiserver.Cluster) -> None:
    """A log is read from the container that was asked for, as it is written."""
    server.plan("GET /log", stream([recorded("logs")["log-timestamps.txt"].encode()]))
    found = [*log(api, Cluster(api).log_of("p", "c"))]

    assert found == recorded("logs")["log.txt"].splitlines()
    assert server.asked[0].query == {"container": "c", "follow": "true", "timestamps": "true"}


def test_delete(api: Api, server: apiserver.Cluster) -> None:
    """A Job is deleted once its pods have stopped, and no later Job of its name."""
    server.plan("DELETE /m", reply(200, {}))
    Cluster(api).delete({"metadata": {"name": "m", "uid": "u"}})

    body: Any = server.asked[0].body
    assert (body["propagationPolicy"], body["preconditions"]) == ("Foreground", {"uid": "u"})
