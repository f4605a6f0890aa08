"""Control groups, as files in a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chunkmigrate.cgroups import Cgroup, find_cgroup

if TYPE_CHECKING:
    from pathlib import Path

MI = 1024 * 1024
POD = "/kubepods/burstable/podd756c8fc-bd36-41a0-950b-a3a38f36b478/70df8870279b"
UNLIMITED_V1 = "9223372036854771712\n"

# What a container with a limit of 96Mi was shown on a version 1 node.
CONTAINER_V1 = {
    "memory.limit_in_bytes": "100663296\n",
    "memory.usage_in_bytes": "59371520\n",
    "memory.max_usage_in_bytes": "59371520\n",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
    "memory.stat": "cache 11427840\nrss 47095808\ninactive_file 7\nhierarchical_memory_limit 100663296\n"
    "hierarchical_memsw_limit 100663296\ntotal_cache 11427840\ntotal_inactive_file 11374592\n",
}
CONTAINER_V2 = {
    "cgroup.controllers": "cpuset cpu io memory pids\n",
    "memory.max": f"{96 * MI}\n",
    "memory.high": "max\n",
    "memory.current": f"{60 * MI}\n",
    "memory.peak": f"{70 * MI}\n",
    "memory.events": "low 0\nhigh 0\nmax 12\noom 2\noom_kill 3\noom_group_kill 0\n",
    "memory.stat": f"anon {45 * MI}\nfile {12 * MI}\ninactive_anon 1\ninactive_file {10 * MI}\n",
}


def write(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def belongs_to(root: Path, lines: str) -> None:
    write(root / "proc/self", {"cgroup": lines})


def found(root: Path) -> Cgroup:
    cgroup = find_cgroup(root)
    assert cgroup is not None
    return cgroup


def measures(cgroup: Cgroup) -> tuple[int | None, ...]:
    return cgroup.limit(), cgroup.working_set(), cgroup.oom_kills(), cgroup.peak()


@pytest.mark.parametrize("path", ["/", POD, "/../../kubelet.slice"])
def test_v2_container(tmp_path: Path, path: str) -> None:
    """Inside a version 2 container the mount is the group, whatever path the kernel gives."""
    belongs_to(tmp_path, f"0::{path}\n")
    mount = write(tmp_path / "sys/fs/cgroup", CONTAINER_V2)
    (tmp_path / "sys/kubelet.slice").mkdir()  # where the path that climbs would lead
    assert found(tmp_path) == Cgroup(version=2, folder=mount, mount=mount)
    assert measures(found(tmp_path)) == (96 * MI, 50 * MI, 3, 70 * MI)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"pod/app/memory.max": "300", "pod/memory.max": "200", "memory.max": "400"}, 200),
        ({"pod/app/memory.max": "300", "pod/memory.max": "max"}, 300),
        ({"pod/app/memory.max": "300", "pod/app/memory.high": "250"}, 250),
        ({"pod/app/memory.max": "max", "pod/memory.high": "150"}, 150),
        ({"pod/app/memory.max": "max", "pod/memory.max": "max"}, None),
        ({"pod/memory.max": "200"}, 200),
        ({}, None),
    ],
)
def test_v2_nested(tmp_path: Path, limits: dict[str, str], expected: int | None) -> None:
    """On a version 2 host the tightest limit counts, of this group and of every group around it."""
    belongs_to(tmp_path, "0::/pod/app\n")
    mount = write(tmp_path / "sys/fs/cgroup", {"cgroup.controllers": "memory\n"})
    (mount / "pod/app").mkdir(parents=True)
    write(mount, limits)
    write(mount.parent, {"memory.max": "1"})  # above the mount: not a control group
    assert found(tmp_path).folder == mount / "pod/app"
    assert found(tmp_path).limit() == expected


def test_v1_host(tmp_path: Path) -> None:
    """On a version 1 host the group is found under the memory mount, and its parents' limit counts."""
    belongs_to(tmp_path, "5:cpu,cpuacct:/x\n4:memory:/user/a:b\n0::/\n")
    mount = write(tmp_path / "sys/fs/cgroup/memory", {"memory.limit_in_bytes": UNLIMITED_V1})
    folder = write(mount / "user/a:b", CONTAINER_V1 | {"memory.limit_in_bytes": UNLIMITED_V1})
    assert found(tmp_path) == Cgroup(version=1, folder=folder, mount=mount)
    assert found(tmp_path).limit() == 100663296


def test_v1_container(tmp_path: Path) -> None:
    """Inside a version 1 container the path is the host's, and the mount itself is the group."""
    belongs_to(tmp_path, f"9:name=systemd:{POD}\n4:memory:{POD}\n3:cpuset:{POD}\n0::{POD}\n")
    mount = write(tmp_path / "sys/fs/cgroup/memory", CONTAINER_V1)
    assert found(tmp_path) == Cgroup(version=1, folder=mount, mount=mount)
    assert measures(found(tmp_path)) == (100663296, 59371520 - 11374592, 1, 59371520)


@pytest.mark.parametrize("mounted", ["memory", "cpu,memory"])
def test_v1_controllers_together(tmp_path: Path, mounted: str) -> None:
    """A version 1 line that names several controllers is recognised, under either name of its mount."""
    belongs_to(tmp_path, "5:cpu,memory:/x\n")
    folder = write(tmp_path / "sys/fs/cgroup" / mounted / "x", CONTAINER_V1)
    assert found(tmp_path).folder == folder


def test_hybrid(tmp_path: Path) -> None:
    """Where both versions are mounted, the one that counts memory is read."""
    belongs_to(tmp_path, "4:memory:/job\n1:cpu:/\n0::/\n")
    write(tmp_path / "sys/fs/cgroup/unified", {"cgroup.controllers": "\n"})
    folder = write(tmp_path / "sys/fs/cgroup/memory/job", CONTAINER_V1)
    assert (found(tmp_path).version, found(tmp_path).folder) == (1, folder)


@pytest.mark.parametrize("lines", [None, "", "nonsense\n", "0::/\n", "4:memory:/\n"])
def test_none(tmp_path: Path, lines: str | None) -> None:
    """Without a memory control group to read there is none, and no error."""
    if lines is not None:
        belongs_to(tmp_path, lines)
    assert find_cgroup(tmp_path) is None


def test_v2_without_memory(tmp_path: Path) -> None:
    """A version 2 mount that does not count memory is no memory control group."""
    belongs_to(tmp_path, "0::/\n")
    write(tmp_path / "sys/fs/cgroup", CONTAINER_V2 | {"cgroup.controllers": "cpu pids\n"})
    assert find_cgroup(tmp_path) is None


def test_v1_unlimited(tmp_path: Path) -> None:
    """The huge number version 1 writes for "no limit" is no limit."""
    stat = f"hierarchical_memory_limit {UNLIMITED_V1}"
    folder = write(tmp_path, {"memory.limit_in_bytes": UNLIMITED_V1, "memory.stat": stat})
    assert Cgroup(version=1, folder=folder, mount=folder).limit(last=5) is None


@pytest.mark.parametrize(
    ("version", "files", "expected"),
    [
        (2, {"memory.current": "100", "memory.stat": "inactive_file 130"}, 0),
        (1, {"memory.usage_in_bytes": "100", "memory.stat": "total_inactive_file 30"}, 70),
        (2, {"memory.current": "100", "memory.stat": "anon 1"}, None),
        (2, {"memory.current": "", "memory.stat": "inactive_file 1"}, None),
        (1, {"memory.usage_in_bytes": "100"}, None),
    ],
)
def test_working_set(tmp_path: Path, version: int, files: dict[str, str], expected: int | None) -> None:
    """The working set is what is used less what can be dropped: never below 0, unknown when unreadable."""
    assert Cgroup(version=version, folder=write(tmp_path, files), mount=tmp_path).working_set() == expected


@pytest.mark.parametrize("version", [1, 2])
def test_empty_folder(tmp_path: Path, version: int) -> None:
    """A group without files answers None to everything."""
    assert measures(Cgroup(version=version, folder=tmp_path, mount=tmp_path)) == (None, None, None, None)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("garbage", [None, "", "many\n"])
def test_unreadable_limit(tmp_path: Path, version: int, garbage: str | None) -> None:
    """A limit that can no longer be read stays what it was last seen to be."""
    name = "memory.max" if version == 2 else "memory.limit_in_bytes"
    if garbage is not None:
        write(tmp_path, {name: garbage})
    assert Cgroup(version=version, folder=tmp_path, mount=tmp_path).limit(last=7) == 7


def test_group_gone(tmp_path: Path) -> None:
    """A group that was removed does not hand over to its parent's wider limit."""
    write(tmp_path, {"memory.max": "900"})
    assert Cgroup(version=2, folder=tmp_path / "gone", mount=tmp_path).limit(last=7) == 7
