"""Resources: who says how much memory a pod gets, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chunkmigrate import tuned
from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.migration import Migration
from chunkmigrate.tuned import Tuned
from tests.unit.workloads import NAME, SOURCE, workload, written

if TYPE_CHECKING:
    from pathlib import Path

MI = 1024 * 1024
UNUSED = f"{NAME}.tuning.json is of another version of the migration and is not used; renew it with"


def settle(path: Path, memory: int) -> None:
    found = Tuned(memory=memory, chunk_bytes=MI, page_bytes=MI, chunk_documents=1000, writers=2)
    tuned.save(Migration.read(path), found, ())


def test_who_says(tmp_path: Path) -> None:
    """The operator's word counts before what was settled, and that before what the migration says itself."""
    path = written(tmp_path, source=f'{SOURCE}memory = "128Mi"\n')
    own = workload(tmp_path, memory=None).resources.request
    settle(path, 200 * MI)
    settled = workload(tmp_path, memory=None).resources.request
    given = workload(tmp_path, memory="96Mi").resources.request

    assert (own, settled, given) == (128 * MI, 200 * MI, 96 * MI)


def test_settled_for_another(tmp_path: Path) -> None:
    """What was settled for another version of the file is not used, and that is said."""
    path = written(tmp_path)
    settle(path, 200 * MI)
    written(tmp_path, source=f'{SOURCE}memory = "128Mi"\n')
    found = workload(tmp_path, memory=None)

    assert found.resources.request == 128 * MI
    assert found.warnings[0].startswith(UNUSED)


def test_nobody_says(tmp_path: Path) -> None:
    """Where nothing says how much memory, the sentence says how to find out."""
    with pytest.raises(InvalidSettingError) as caught:
        workload(tmp_path, memory=None)

    assert str(caught.value) == (
        f"Nothing says how much memory {NAME} needs. Measure it with `chunkmigrate profile {NAME}`, then "
        f'`chunkmigrate tune {NAME} --write`. Or give it: --memory 512Mi, or a line memory = "512Mi" in the '
        "migration."
    )


def test_computed(tmp_path: Path) -> None:
    """Memory that the migration computes is not run to find out: it says nothing."""
    written(tmp_path, source=f"{SOURCE}memory = compute()\n")
    with pytest.raises(InvalidSettingError, match=r"^Nothing says how much memory"):
        workload(tmp_path, memory=None)


def test_wrong_of_its_own(tmp_path: Path) -> None:
    """Memory the migration misspells is shown with its file."""
    path = written(tmp_path, source=f'{SOURCE}memory = "512MB"\n')
    with pytest.raises(InvalidSettingError) as caught:
        workload(tmp_path, memory=None)

    assert str(caught.value).startswith(
        f"{path}: memory = '512MB': 512MB is not a memory quantity; write 512Mi"
    )


@pytest.mark.parametrize(
    ("memory", "written_"),
    [("512Mi", "512Mi"), ("1Gi", "1024Mi"), ("1.5Gi", "1536Mi"), ("64M", "64000000"), ("1e9", "1000000000")],
)
def test_guaranteed(tmp_path: Path, memory: str, written_: str) -> None:
    """Requests equal limits, of memory to the byte and of CPU: the pod's class is Guaranteed."""
    found = workload(tmp_path, memory=memory, cpu="500m").resources.document()

    assert found["requests"] == found["limits"] == {"cpu": "500m", "memory": written_}


def test_limit_above(tmp_path: Path) -> None:
    """A limit above the request is rendered, with a warning that says what it costs."""
    found = workload(tmp_path, memory="64Mi", memory_limit="1Gi")

    assert found.resources.document()["requests"]["memory"] == "64Mi"
    assert found.resources.document()["limits"]["memory"] == "1024Mi"
    [warning] = found.warnings
    assert warning == (
        "the memory limit (1 GiB) is more than the request (64 MiB), and only the request is guaranteed. "
        "What is used above it is borrowed from the node, which takes it back by killing the pod. A run "
        "keeps to its request anyway: leave --memory-limit out"
    )


def test_limit_equal(tmp_path: Path) -> None:
    """A limit that says the same as the request is nothing to warn of."""
    assert workload(tmp_path, memory="64Mi", memory_limit="65536Ki").warnings == ()


def test_limit_below(tmp_path: Path) -> None:
    """A limit below what is to be guaranteed is refused."""
    with pytest.raises(InvalidSettingError, match=r"--memory-limit 64 MiB is less than the 128 MiB"):
        workload(tmp_path, memory="128Mi", memory_limit="64Mi")


def test_too_little(tmp_path: Path) -> None:
    """Memory no run can begin in is refused before a cluster is asked; a forgotten unit is such."""
    with pytest.raises(
        InvalidSettingError, match=r"^512 B of memory are too little: .* Give it 64Mi or more\.$"
    ):
        workload(tmp_path, memory="512")


@pytest.mark.parametrize(
    ("image", "warned"),
    [("shop", True), ("shop:latest", True), ("shop:1.2", False), (f"shop@sha256:{'a' * 64}", False)],
)
def test_image_may_change(tmp_path: Path, image: str, warned: bool) -> None:  # noqa: FBT001
    """An image that may be another one tomorrow is warned of."""
    assert bool(workload(tmp_path, image=image).warnings) == warned
