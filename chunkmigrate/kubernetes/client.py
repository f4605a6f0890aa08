"""The client: requests to one cluster's API, with JSON as it is. The only importer of a Kubernetes library.

Of the library nothing is used but what it knows of clusters: kubeconfig files, accounts in a pod, plugins
that log in, certificates and proxies. What to ask for is the business of ``cluster`` and ``watching``.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from chunkmigrate.errors import ClusterError, NoClusterError
from chunkmigrate.kubernetes.fields import at, harmless
from chunkmigrate.kubernetes.refusals import explained

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CONNECT_SECONDS, READ_SECONDS = 5.0, 30.0
AGAIN_SECONDS, MOST_SECONDS = 0.5, 5.0

# What the kubelet puts into each pod.
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

INSTALL = "This needs the Kubernetes client: pip install 'chunkmigrate[kubernetes]'."
_NOWHERE = (
    "No Kubernetes cluster is configured: there is no kubeconfig at {}, and this is no pod with a service "
    "account. Set KUBECONFIG, or copy the file there."
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered, and what it warned of."""

    value: Any
    warnings: tuple[str, ...] = ()


class Api:
    """One cluster's API. ``namespace`` is the one to work in."""

    def __init__(self, client: Any, namespace: str, sleep: Callable[[float], Any] = time.sleep) -> None:
        self._client, self.namespace, self._sleep = client, namespace, sleep

    def get(self, path: str, doing: str, **query: Any) -> Any:
        """Return what is at a path. One drop is nothing to give up for."""
        try:
            return self.send("GET", path, doing, query=query).value
        except ClusterError as error:
            self._sleep(min(error.wait or AGAIN_SECONDS, MOST_SECONDS))
            return self.send("GET", path, doing, query=query).value

    def send(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
    ) -> Answer:
        """Return the answer to a request. ``doing`` is it in words, for the sentence of a failure.

        Raises `ClusterRefusedError` for what will not be otherwise the next time, else `ClusterError`.
        """
        with self._response(method, path, doing, READ_SECONDS, query=query, body=body) as got:
            with _explaining(doing, method):
                read = got.read()
            warnings = tuple(_warning(header) for header in got.headers.getlist("Warning"))
            try:
                return Answer(json.loads(read), warnings)
            except (ValueError, RecursionError) as error:
                raise ClusterError(f"What the Kubernetes API sent, asked to {doing}, is no JSON.") from error

    def stream(self, path: str, doing: str, *, seconds: float, **query: Any) -> Iterator[bytes]:
        """Yield what the API sends, as it comes. Nothing for ``seconds`` is a failure."""
        with self._response("GET", path, doing, seconds, query=query) as got, _explaining(doing):
            yield from got.stream(1 << 16) if got.chunked else iter(lambda: got.read1(1 << 16), b"")

    def close(self) -> None:
        """Let all connections go."""
        self._client.rest_client.pool_manager.clear()

    @contextmanager
    def _response(
        self,
        method: str,
        path: str,
        doing: str,
        seconds: float,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
    ) -> Iterator[Any]:
        from urllib3 import Timeout

        asked = {name: value for name, value in (query or {}).items() if value not in (None, "")}
        url = f"{self._client.configuration.host}{path}{'?' if asked else ''}{urlencode(asked)}"
        with _explaining(doing, method):
            got = self._client.rest_client.pool_manager.request(
                method,
                url,
                body=None if body is None else json.dumps(body),
                headers=self._headers() | ({} if body is None else {"Content-Type": "application/json"}),
                timeout=Timeout(connect=CONNECT_SECONDS, read=seconds),
                preload_content=False,
                retries=False,  # a redirect is not followed either: the token is for this server alone
            )
        try:
            if got.status >= 300:
                with _explaining(doing, method):
                    read = got.read()
                raise explained(got.status, got.headers, read, doing)
            yield got
        finally:
            got.close()

    def _headers(self) -> dict[str, str]:
        """Return who asks. A token that has run out is renewed by the library, where it can be."""
        logins = self._client.configuration.auth_settings().values()
        named = {login["key"]: login["value"] for login in logins if login["in"] == "header"}
        return {"Accept": "application/json", "User-Agent": "chunkmigrate", **named}


def connect(*, context: str | None = None, namespace: str | None = None) -> Api:
    """Return the API of the cluster that ``context`` names, or the current one, or the one this pod is in.

    Asks nothing of it yet. Raises `NoClusterError` where there is none, or its library is not installed.
    """
    try:
        import kubernetes
    except ImportError as error:
        raise NoClusterError(INSTALL) from error
    configuration = kubernetes.client.Configuration()
    files = os.environ.get("KUBECONFIG") or "~/.kube/config"
    if any(Path(file).expanduser().exists() for file in files.split(os.pathsep)):
        own = _from_files(kubernetes.config, configuration, files, context)
    elif context is None and (ACCOUNT / "token").exists():
        own = _from_account(kubernetes.config, configuration)
    else:
        raise NoClusterError(_NOWHERE.format(files))
    return Api(kubernetes.client.ApiClient(configuration), namespace or own or "default")


def _from_files(config: Any, configuration: Any, files: str, context: str | None) -> str | None:
    """Load a kubeconfig; return the namespace its context names."""
    try:
        contexts, current = config.list_kube_config_contexts(config_file=files)
        config.load_kube_config(config_file=files, context=context, client_configuration=configuration)
    except Exception as error:  # whatever may be in a file that somebody has edited
        which = f"context {context} of " if context else ""
        raise NoClusterError(f"Kubernetes: {which}{files} cannot be used: {harmless(str(error))}.") from error
    chosen = next((one for one in contexts if one["name"] == context), current)
    namespace: str | None = at(chosen, "context", "namespace")
    return namespace


def _from_account(config: Any, configuration: Any) -> str | None:
    """Load the service account of this pod; return its namespace."""
    try:
        config.load_incluster_config(client_configuration=configuration)
    except Exception as error:
        raise NoClusterError(f"This pod's service account cannot be used: {harmless(str(error))}.") from error
    try:
        return (ACCOUNT / "namespace").read_text("utf-8").strip()
    except OSError:
        return None


@contextmanager
def _explaining(doing: str, method: str = "GET") -> Iterator[None]:
    """Turn what the library raises when nobody answers into a sentence."""
    from urllib3.exceptions import HTTPError, SSLError

    try:
        yield
    except SSLError as error:
        message = (
            f"The certificate of the Kubernetes API is not trusted, so it was not asked to {doing}: "
            f"{harmless(str(error))}. Is the kubeconfig's certificate-authority the cluster's?"
        )
        raise ClusterError(message) from error
    except (HTTPError, OSError) as error:
        done = "" if method == "GET" else " It may have been done all the same."
        message = (
            f"The Kubernetes API did not answer when asked to {doing} ({type(error).__name__}).{done} Is it "
            "running, and reachable from here?"
        )
        raise ClusterError(message) from error


def _warning(header: str) -> str:
    """Return the text of a Warning header: ``299 - "unknown field"``."""
    return harmless(header.partition('"')[2].rpartition('"')[0].replace('\\"', '"') or header)
