"""Mounting: what goes into a ConfigMap, and what cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chunkmigrate import tuned
from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.kubernetes import manifest
from chunkmigrate.migration import Migration, discover, find
from chunkmigrate.tuned import Tuned
from tests.unit.workloads import NAME, SOURCE, pod_of, workload, written

if TYPE_CHECKING:
    from pathlib import Path

MI = 1024 * 1024


def mounted(folder: Path) -> dict[str, str]:
    """The files of the ConfigMap."""
    data: dict[str, str] = manifest.objects(workload(folder, mount=True))[0]["data"]
    return data


def test_what_goes(tmp_path: Path) -> None:
    """The migration goes, what it depends on, however far away, and what was settled for it: no more."""
    path = written(tmp_path, source=f"{SOURCE}dependencies = ['second']\n")
    written(tmp_path, "b", f"{SOURCE}name = 'second'\ndependencies = ['a']\n")
    written(tmp_path, "a")
    written(tmp_path, "unrelated")
    settled = Tuned(memory=64 * MI, chunk_bytes=MI, page_bytes=MI, chunk_documents=9, writers=2)
    tuned.save(Migration.read(path), settled, ())

    assert list(mounted(tmp_path)) == [f"{NAME}.py", "a.py", "b.py", f"{NAME}.tuning.json"]


def test_can_be_run(tmp_path: Path) -> None:
    """What is mounted is a folder of migrations with that one in it, as it was: a ledger cannot tell."""
    path = written(tmp_path, source=f"{SOURCE}dependencies = ['a']\n".replace("\n", "\r\n"))
    written(tmp_path, "a")
    (tmp_path / "pod").mkdir()
    for name, text in mounted(tmp_path).items():
        (tmp_path / "pod" / name).write_text(text, "utf-8", newline="")
    found = find(discover(tmp_path / "pod"), NAME)

    assert found.checksum == Migration.read(path).checksum


def test_mounted_where_it_is_looked_for(tmp_path: Path) -> None:
    """The pod looks for migrations where the ConfigMap is mounted, which it cannot write to."""
    config_map, job = manifest.objects(workload(tmp_path, mount=True))
    pod, [container] = pod_of(job), pod_of(job)["containers"]
    folder = {one["name"]: one.get("value") for one in container["env"]}["CHUNKMIGRATE_DIR"]

    assert pod["volumes"][1] == {"name": "migrations", "configMap": {"name": config_map["metadata"]["name"]}}
    assert container["volumeMounts"][1] == {"name": "migrations", "mountPath": folder, "readOnly": True}
    assert config_map["immutable"] is True


def test_another_text_another_name(tmp_path: Path) -> None:
    """Another text has another ConfigMap: a pod that is replaced finds what its Job was made with."""
    first = manifest.objects(workload(tmp_path, mount=True))[0]["metadata"]["name"]
    again = manifest.objects(workload(tmp_path, mount=True))[0]["metadata"]["name"]
    written(tmp_path, source=f"{SOURCE}# later\n")
    second = manifest.objects(workload(tmp_path, mount=True))[0]["metadata"]["name"]

    assert first == again != second
    assert len(second) <= 63


def test_too_large(tmp_path: Path) -> None:
    """What does not fit into a ConfigMap is refused with its size; what just fits is not."""
    room = MI - len(f"{NAME}.py") - len(SOURCE)
    written(tmp_path, source=SOURCE + "#" * room)
    assert workload(tmp_path, mount=True).files
    written(tmp_path, source=SOURCE + "#" * (room + 1))
    with pytest.raises(InvalidSettingError) as caught:
        workload(tmp_path, mount=True)

    assert str(caught.value) == (
        f"{NAME} cannot be mounted: its files are 1 MiB, and a ConfigMap may hold 1 MiB. Put it into the "
        "image, and leave --mount out."
    )


def test_large(tmp_path: Path) -> None:
    """What fits, and is more than `kubectl apply` can keep a copy of, is warned of."""
    written(tmp_path, source=SOURCE + "#" * 250_000)

    assert workload(tmp_path, mount=True).warnings == (
        "the ConfigMap is too large for a plain `kubectl apply`: use `kubectl apply --server-side`",
    )


@pytest.mark.parametrize(
    "source",
    [
        f'{SOURCE}URI = "mongodb://root:hunter2@db/shop"\n',
        f'{SOURCE}API = "https://hunter2@prices.example.com/"\n',
        f'{SOURCE}KEY = """-----BEGIN PRIVATE KEY-----\nhunter2"""\n',
    ],
)
def test_secret(tmp_path: Path, source: str) -> None:
    """A module with a password, a token or a key in it is not mounted; the sentence does not repeat it."""
    path = written(tmp_path, source=source)
    with pytest.raises(InvalidSettingError) as caught:
        workload(tmp_path, mount=True)

    assert str(caught.value).startswith(f"{path} cannot be mounted: it holds an address with a password")
    assert "hunter2" not in str(caught.value)


def test_no_text(tmp_path: Path) -> None:
    """A module that is not UTF-8 is refused: a ConfigMap could not hold it as it is."""
    path = written(tmp_path)
    path.write_bytes(b"# -*- coding: latin-1 -*-\n# \xe4\n" + SOURCE.encode())
    with pytest.raises(InvalidSettingError, match="cannot be mounted: it is not UTF-8"):
        workload(tmp_path, mount=True)


def test_no_key(tmp_path: Path) -> None:
    """A file whose name no ConfigMap can have for a key is refused, with what to do."""
    written(tmp_path, "Größe ändern")
    with pytest.raises(
        InvalidSettingError, match=r"is not a key; write .*\. Rename it, or put it into the image\.$"
    ):
        workload(tmp_path, "Größe ändern", mount=True)


def test_imports(tmp_path: Path) -> None:
    """A module that imports from beside its folder is mounted with a warning: that does not come along."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "models.py").touch()
    (tmp_path / "prices.py").touch()
    (tmp_path / "unused.py").touch()
    written(tmp_path, source=f"import os\nfrom shop import models\n{SOURCE}    import prices.cents\n")

    [warning] = workload(tmp_path, mount=True).warnings
    assert warning == (
        f"--mount takes {NAME} along, and not what it imports from beside its folder (prices, shop): that "
        "has to be installed in the image"
    )
    assert workload(tmp_path).warnings == ()
