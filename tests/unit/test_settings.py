"""Settings: which source wins, and what cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.server import database_of
from chunkmigrate.settings import MAX_WRITERS, kubernetes, resolve

if TYPE_CHECKING:
    from pathlib import Path

MI = 1024 * 1024


def project(folder: Path, text: str) -> None:
    (folder / "pyproject.toml").write_text(f"[project]\nname = 'shop'\n\n[tool.chunkmigrate]\n{text}\n")


def test_defaults(tmp_path: Path) -> None:
    """With nothing said there is no server, no limit, no number of writers, and the folder migrations."""
    found = resolve({}, {}, tmp_path)

    assert (found.uri, found.database, found.memory, found.request) == (None, None, None, None)
    assert (found.folder, found.writers) == (tmp_path / "migrations", None)
    assert found.max_rate is None
    assert (found.metrics_port, found.metrics_push, found.metrics_file, found.notify) == (None,) * 4


@pytest.mark.parametrize(
    ("name", "variable", "values", "expected"),
    [
        ("uri", "MONGODB_URI", ("mongodb://f", "mongodb://e", "mongodb://p"), None),
        ("database", "CHUNKMIGRATE_DATABASE", ("f", "e", "p"), None),
        ("memory", "CHUNKMIGRATE_MEMORY", ("1Mi", "2Mi", "3Mi"), (MI, 2 * MI, 3 * MI)),
        ("writers", "CHUNKMIGRATE_WRITERS", (1, "3", 4), (1, 3, 4)),
        ("max_rate", "CHUNKMIGRATE_MAX_RATE", (0.5, "2e3", 4), (0.5, 2000.0, 4.0)),
        ("dir", "CHUNKMIGRATE_DIR", ("f", "e", "p"), None),
        ("metrics_port", "CHUNKMIGRATE_METRICS_PORT", (0, "9464", 9465), (0, 9464, 9465)),
        ("metrics_push", "CHUNKMIGRATE_METRICS_PUSH", ("http://f", "https://e:1", "http://p/x"), None),
        ("notify", "CHUNKMIGRATE_NOTIFY", ("https://f/x", "https://e/x?y=1", "http://u:p@p/"), None),
        ("metrics_file", "CHUNKMIGRATE_METRICS_FILE", ("/f.prom", "/e.prom", "/p.prom"), None),
    ],
)
def test_order(tmp_path: Path, name: str, variable: str, values: tuple[Any, ...], expected: Any) -> None:
    """A flag wins over the environment, and that over pyproject.toml; an empty variable is none."""
    project(tmp_path, f"{name} = {values[2]!r}")
    flags, environment = {name: values[0]}, {variable: values[1]}
    all_three = [resolve(flags, environment, tmp_path), resolve({}, environment, tmp_path)]
    all_three += [resolve({name: None}, {}, tmp_path), resolve({}, {variable: ""}, tmp_path)]
    if name == "dir":
        found = [one.folder.name for one in all_three]
    else:
        found = [getattr(one, name) for one in all_three]
    if name == "metrics_file":
        found = [*map(str, found)]
    first, second, third = expected or values

    assert found == [first, second, third, third]


@pytest.mark.parametrize(
    ("request_", "expected"), [("0", None), ("", None), ("64Mi", 64 * MI), ("67108864", 64 * MI)]
)
def test_request(tmp_path: Path, request_: str, expected: int | None) -> None:
    """The pod's memory request is read; 0 is what Kubernetes says when none was made."""
    assert resolve({}, {"CHUNKMIGRATE_MEMORY_REQUEST": request_}, tmp_path).request == expected


@pytest.mark.parametrize("end", ["\n", "\r\n", " "])
def test_end_of_a_secret(tmp_path: Path, end: str) -> None:
    """A Secret that was made of a file ends with its newline, and that is no part of a database's name."""
    found = resolve({}, {"MONGODB_URI": f"mongodb://u:p@host/shop{end}"}, tmp_path)

    assert (found.uri, found.database) == ("mongodb://u:p@host/shop", "shop")
    assert resolve({}, {"MONGODB_URI": end}, tmp_path).uri is None


def test_metrics_file(tmp_path: Path) -> None:
    """A file that is not absolute lies where the command was called."""
    assert resolve({"metrics_file": "x/y.prom"}, {}, tmp_path).metrics_file == tmp_path / "x/y.prom"


def test_absolute_folder(tmp_path: Path) -> None:
    """A folder that is absolute stays where it is."""
    assert resolve({"dir": tmp_path / "x"}, {}, tmp_path / "y").folder == tmp_path / "x"


@pytest.mark.parametrize("writers", ["0", "5", "-1", "two", "1.5", "", 0, MAX_WRITERS + 1])
def test_writers(tmp_path: Path, writers: Any) -> None:
    """A number of writers outside 1 to 4 is refused with the bounds."""
    with pytest.raises(InvalidSettingError) as caught:
        resolve({"writers": writers}, {}, tmp_path)

    assert str(caught.value) == f"{writers} is not a number of writers; there may be 1 to 4."


@pytest.mark.parametrize("rate", ["0", "-1", "fast", "nan", "inf", "1,000", "5/s", "", 0, -0.5])
def test_max_rate(tmp_path: Path, rate: Any) -> None:
    """A rate that is no positive number of documents a second is refused with one that would do."""
    with pytest.raises(InvalidSettingError) as caught:
        resolve({"max_rate": rate}, {}, tmp_path)

    assert str(caught.value) == (
        f"{rate} is not a rate; write a number of documents a second above 0, such as 500."
    )


@pytest.mark.parametrize(
    ("flags", "environment", "text", "message"),
    [
        ({"memory": "512MB"}, {}, "", "The memory setting: 512MB is not a memory quantity; write 512Mi"),
        ({"memory": "0"}, {}, "", "The memory setting: 0 is no amount of memory; write"),
        ({}, {"CHUNKMIGRATE_MEMORY": "lots"}, "", "The memory setting: lots is not a memory quantity; write"),
        ({}, {}, "memory = true", "The memory setting: True is not a memory quantity; write"),
        (
            {},
            {"CHUNKMIGRATE_MEMORY_REQUEST": "1 Gi"},
            "",
            "The memory request setting: '1 Gi' is not a memory quantity; write 1Gi",
        ),
        ({}, {}, "writers = 2.5", "2.5 is not a number of writers; there may be 1 to 4."),
        ({}, {}, "writers = true", "True is not a number of writers; there may be 1 to 4."),
        ({}, {}, "max_rate = 0", "0 is not a rate; write a number of documents a second above 0"),
        ({}, {}, "max_rate = true", "True is not a rate; write a number of documents a second above 0"),
        ({}, {"CHUNKMIGRATE_MAX_RATE": "x"}, "", "x is not a rate; write a number of documents a second"),
        (
            {},
            {},
            "metrics_port = true",
            "True is not a port; write a number up to 65535, where 0 is any that",
        ),
        ({}, {"CHUNKMIGRATE_METRICS_PORT": "http"}, "", "http is not a port; write a number up to 65535"),
        ({"metrics_port": 65_536}, {}, "", "65536 is not a port; write a number up to 65535"),
        ({"metrics_port": -1}, {}, "", "-1 is not a port; write a number up to 65535"),
        ({}, {}, "metrics_file = 5", "PYPROJECT: the setting metrics_file is a text in quotes, not 5."),
        ({}, {}, "metrics_push = 5", "The metrics push setting is not an address to send to: it is no text."),
        (
            {"metrics_push": "pushgateway:9091"},
            {},
            "",
            "The metrics push setting is not an address to send to: it does not begin with http:// or https://.",
        ),
        (
            {"metrics_push": "http://u:hush@pushgateway:9091?x=1"},
            {},
            "",
            "The metrics push setting is the Pushgateway itself, without ? or #: http://pushgateway:9091.",
        ),
        (
            {},
            {"CHUNKMIGRATE_NOTIFY": "hooks.example.com/services/hush"},
            "",
            "The notify setting is not an address to send to: it does not begin with http:// or https://.",
        ),
        ({}, {}, "writers = [1]", "[1] is not a number of writers; there may be 1 to 4."),
        ({}, {}, "uri = 5", "PYPROJECT: the setting uri is a text in quotes, not 5."),
        ({}, {}, "database = ['a']", "PYPROJECT: the setting database is a text in quotes, not ['a']."),
        ({}, {}, "dir = 7", "PYPROJECT: the setting dir is a text in quotes, not 7."),
        (
            {},
            {},
            "uris = 'x'\nzoo = 1",
            "PYPROJECT: [tool.chunkmigrate] has no setting uris; it has database, dir, kubernetes, max_rate",
        ),
        ({}, {}, "kubernetes = 'x'", "PYPROJECT: [tool.chunkmigrate.kubernetes] is a table, not x."),
        ({}, {}, "uri = ", "PYPROJECT cannot be read: "),
    ],
)
def test_refused(
    tmp_path: Path, flags: dict[str, Any], environment: dict[str, str], text: str, message: str
) -> None:
    """A setting that cannot be used is refused with its name, its value and what would be taken."""
    project(tmp_path, text)
    with pytest.raises(InvalidSettingError) as caught:
        resolve(flags, environment, tmp_path)

    assert str(caught.value).startswith(message.replace("PYPROJECT", str(tmp_path / "pyproject.toml")))


def test_kubernetes(tmp_path: Path) -> None:
    """The table for Kubernetes is handed on as it stands: a pod that reads the file has no use for it."""
    project(tmp_path, "writers = 3\n[tool.chunkmigrate.kubernetes]\nunheard_of = 5")

    assert kubernetes(tmp_path) == {"unheard_of": 5}
    assert resolve({}, {}, tmp_path).writers == 3


@pytest.mark.parametrize("text", ["", "[tool]\nx = 1", "[tool.ruff]\nselect = []"])
def test_project_without_a_section(tmp_path: Path, text: str) -> None:
    """A pyproject.toml that says nothing about chunkmigrate says nothing."""
    (tmp_path / "pyproject.toml").write_text(text)

    assert resolve({}, {}, tmp_path).writers is None


@pytest.mark.parametrize(
    ("uri", "database"),
    [
        ("mongodb://localhost", None),
        ("mongodb://localhost/", None),
        ("mongodb://localhost/?replicaSet=r", None),
        ("mongodb://localhost/shop", "shop"),
        ("mongodb://localhost/shop?retryWrites=true&authSource=admin", "shop"),
        ("mongodb://user:p%2Fw@a:1,b:2/shop?replicaSet=r", "shop"),
        ("mongodb://localhost/my%2Dshop", "my-shop"),
        ("mongodb://user:a+srv@localhost/shop", "shop"),
        ("mongodb+srv://user:pw@cluster.example.net/shop", "shop"),
        ("mongodb+srv://cluster.example.net/shop?retryWrites=true&w=majority", "shop"),
        ("mongodb+srv://cluster.example.net/shop?srvServiceName=x&appName=a/b", "shop"),
        ("mongodb+srv://cluster.example.net/my%2Dshop", "my-shop"),
        ("mongodb+srv://cluster.example.net/", None),
        ("mongodb+srv://cluster.example.net", None),
        ("mongodb+srv://cluster.example.net?x=/shop", None),
    ],
)
def test_database_of(tmp_path: Path, uri: str, database: str | None) -> None:
    """The database is the one the connection string names, found without asking the DNS."""
    assert database_of(uri) == database
    assert resolve({"uri": uri}, {}, tmp_path).database == database
    assert resolve({"uri": uri, "database": "other"}, {}, tmp_path).database == "other"


@pytest.mark.parametrize("uri", ["postgres://localhost/shop", "mongodb://", "mongodb://localhost:port/shop"])
def test_no_connection_string(tmp_path: Path, uri: str) -> None:
    """What is no connection string is refused before anything is asked of a network."""
    with pytest.raises(InvalidSettingError, match="is not a connection string"):
        resolve({"uri": uri}, {}, tmp_path)
