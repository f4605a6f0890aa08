"""The sensor and the budget, with a clock, a process and files of the test's own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chunkmigrate.cgroups import Cgroup
from chunkmigrate.memory import SHARE, Reading, Sensor, Share, find_budget, trim

PROJECT = Path(__file__).parents[2]
MI = 1024 * 1024
HOST = 8192 * MI


class Machine:
    """A version 2 container in a folder: a clock to turn, memory to set."""

    def __init__(self, root: Path, limit: str = f"{512 * MI}") -> None:
        self.root, self.now, self.rss = root, 100.0, 40 * MI
        self.folder = root / "sys/fs/cgroup"
        self.folder.mkdir(parents=True)
        (root / "proc/self").mkdir(parents=True)
        (root / "proc/self/cgroup").write_text("0::/\n")
        (root / "proc/meminfo").write_text(f"MemTotal:       {HOST // 1024} kB\nMemFree: 1 kB\n")
        (self.folder / "cgroup.controllers").write_text("memory\n")
        self.limit(limit)
        self.count(50 * MI)

    def limit(self, text: str) -> None:
        (self.folder / "memory.max").write_text(text)

    def count(self, working_set: int) -> None:
        (self.folder / "memory.current").write_text(str(working_set + 1000))
        (self.folder / "memory.stat").write_text("anon 1\ninactive_file 1000\n")

    def sensor(self, *, memory: int | None = None, request: int | None = None) -> Sensor:
        return Sensor(
            memory=memory, request=request, root=self.root, clock=lambda: self.now, rss=lambda: self.rss
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def limited(folder: Path, limit: int | None) -> Cgroup | None:
    if limit is None:
        return None
    (folder / "memory.max").write_text(str(limit))
    return Cgroup(version=2, folder=folder, mount=folder)


@pytest.mark.parametrize(
    ("given", "size", "source"),
    [
        ((64, None, None), 64, "--memory 64Mi"),
        ((None, 256, None), 256, "memory request 256 MiB"),
        ((None, None, 512), 512, "cgroup limit 512 MiB"),
        ((None, 512, 512), 512, "memory request 512 MiB"),
        ((64, 256, 512), 64, "--memory 64Mi"),
        ((256, 256, 512), 256, "--memory 256Mi"),
        ((64, 64, 64), 64, "--memory 64Mi"),
        ((None, 256, 128), 128, "cgroup limit 128 MiB"),
        ((None, 0, 128), 128, "cgroup limit 128 MiB"),
    ],
)
def test_smallest_wins(tmp_path: Path, given: tuple[int | None, ...], size: int, source: str) -> None:
    """The budget is the smallest of setting, request and limit, and says which; nothing needs a warning."""
    memory, request, limit = (None if n is None else n * MI for n in given)
    budget = find_budget(memory=memory, request=request, cgroup=limited(tmp_path, limit), host=HOST)
    assert (budget.size, budget.source, budget.warnings) == (size * MI, source, ())


def test_request_below_limit(tmp_path: Path) -> None:
    """When request and limit differ the request is the budget, and the warning says why."""
    budget = find_budget(memory=None, request=256 * MI, cgroup=limited(tmp_path, 512 * MI), host=HOST)
    assert (budget.size, budget.source) == (256 * MI, "memory request 256 MiB")
    (warning,) = budget.warnings
    assert warning == (
        "the memory request (256 MiB) is the budget, not the limit (512 MiB): only the request is "
        "guaranteed; memory above it is borrowed from the node, and can be taken back by killing the pod"
    )


@pytest.mark.parametrize(
    ("memory", "request_", "limit", "first"),
    [
        (1024 * MI, None, 512 * MI, "--memory 1024Mi is more than the cgroup limit 512 MiB"),
        (1024 * MI, 256 * MI, 512 * MI, "--memory 1024Mi is more than the memory request 256 MiB"),
        (10**9, None, 512 * MI, "--memory 1000000000 is more than the cgroup limit 512 MiB"),
    ],
)
def test_memory_too_large(tmp_path: Path, memory: int, request_: int | None, limit: int, first: str) -> None:
    """A setting above what the pod has cannot raise the budget, and the warning says what took its place."""
    budget = find_budget(memory=memory, request=request_, cgroup=limited(tmp_path, limit), host=HOST)
    assert budget.size == (request_ or limit)
    assert budget.warnings[0] == f"{first}, which is the budget instead"


def test_nothing_found() -> None:
    """Without any bound the budget is a quarter of the host, and the warning says how to set one."""
    budget = find_budget(memory=None, request=None, cgroup=None, host=HOST)
    assert (budget.size, budget.source) == (2048 * MI, "a quarter of this host")
    (warning,) = budget.warnings
    assert warning == (
        "no memory limit was found, so a quarter of this host (2 GiB of 8 GiB) is the budget; "
        "set one with --memory, such as --memory 512Mi"
    )


def test_reading() -> None:
    """A reading knows the share used and the room left, which is never negative."""
    half, over = Reading(rss=1, used=50, budget=100), Reading(rss=1, used=150, budget=100)
    assert (half.fraction, half.room) == (0.5, 50)
    assert (over.fraction, over.room) == (1.5, 0)


def test_used_is_the_larger(machine: Machine) -> None:
    """What counts is the process or its group, whichever is larger."""
    sensor = machine.sensor()
    assert sensor.read() == Reading(rss=40 * MI, used=50 * MI, budget=512 * MI)
    machine.rss, machine.now = 60 * MI, machine.now + 1
    assert sensor.read() == Reading(rss=60 * MI, used=60 * MI, budget=512 * MI)


def test_between_group_readings(machine: Machine) -> None:
    """Within 0.1 s the group is not asked again: what it had beyond the process is added to a fresh RSS."""
    sensor = machine.sensor()
    sensor.read()
    machine.rss, machine.now = 45 * MI, machine.now + 0.05
    machine.count(90 * MI)
    assert sensor.read().used == 55 * MI
    machine.now += 0.06
    assert sensor.read().used == 90 * MI


def test_unlimited_group(tmp_path: Path) -> None:
    """A group without a limit is not held against this process, and a setting is the budget."""
    assert Machine(tmp_path, limit="max").sensor(memory=64 * MI).read() == Reading(
        rss=40 * MI, used=40 * MI, budget=64 * MI
    )


def test_no_group(tmp_path: Path) -> None:
    """Without control groups the process alone counts, against a quarter of the host."""
    machine = Machine(tmp_path)
    (tmp_path / "proc/self/cgroup").unlink()
    assert machine.sensor().read() == Reading(rss=40 * MI, used=40 * MI, budget=HOST // 4)


def test_resized(machine: Machine) -> None:
    """A limit changed while running is the budget within 5 s, and the files are not read more often."""
    sensor = machine.sensor()
    machine.limit(f"{256 * MI}")
    machine.now += 4.9
    assert sensor.read().budget == 512 * MI
    machine.now += 0.2
    assert sensor.read().budget == 256 * MI
    assert sensor.budget.source == "cgroup limit 256 MiB"


def test_limit(machine: Machine) -> None:
    """What the kernel enforces is known beside the budget, where that is smaller, and as current."""
    sensor = machine.sensor(memory=128 * MI)
    assert (sensor.budget.size, sensor.limit) == (128 * MI, 512 * MI)
    machine.limit("max\n")
    machine.now += 5
    assert (sensor.budget.size, sensor.limit) == (128 * MI, None)


def test_shared(machine: Machine) -> None:
    """One of four workers has a quarter of what their parent leaves, and what others use is theirs."""
    share = Share.of({SHARE: Share(2, 4, 112 * MI).spelled()})
    sensor = Sensor(share=share, root=machine.root, clock=lambda: machine.now, rss=lambda: machine.rss)
    machine.count(400 * MI)
    machine.now += 1

    assert sensor.budget.size == 100 * MI
    assert sensor.budget.source == "shared by 4 workers: cgroup limit 512 MiB"
    assert sensor.read().used == machine.rss
    assert Share.of({}) is None


def test_limit_lifted(machine: Machine) -> None:
    """A limit that is taken away, and says so, no longer binds."""
    sensor = machine.sensor()
    machine.limit("max\n")
    machine.now += 5
    assert sensor.read() == Reading(rss=40 * MI, used=40 * MI, budget=HOST // 4)


@pytest.mark.parametrize("name", ["memory.max", "memory.current", "memory.stat"])
@pytest.mark.parametrize("text", [None, "", "many\n"])
def test_unreadable(machine: Machine, name: str, text: str | None) -> None:
    """A file that vanishes or makes no sense leaves the last value standing."""
    sensor = machine.sensor()
    before = sensor.read()
    (machine.folder / name).unlink() if text is None else (machine.folder / name).write_text(text)
    machine.now += 10
    assert sensor.read() == before


def test_group_gone(machine: Machine) -> None:
    """Even when the whole group vanishes, the last values stand and RSS stays fresh."""
    sensor = machine.sensor()
    sensor.read()
    shutil.rmtree(machine.folder)
    machine.now, machine.rss = machine.now + 10, 44 * MI
    assert sensor.read() == Reading(rss=44 * MI, used=54 * MI, budget=512 * MI)


def test_start(machine: Machine) -> None:
    """The resident size the process started with is remembered."""
    sensor = machine.sensor()
    machine.rss = 99 * MI
    assert sensor.rss_start == 40 * MI


def test_peak(machine: Machine) -> None:
    """The peak is the process's own high-water mark, with or without the file that says it."""
    assert machine.sensor().peak() > MI
    (machine.root / "proc/self/status").write_text("VmPeak:\t   56800 kB\nVmHWM:\t   51880 kB\n")
    assert machine.sensor().peak() == 51880 * 1024


def test_this_process() -> None:
    """With nothing injected the sensor reads the process it runs in."""
    sensor = Sensor(memory=10 * HOST)
    reading = sensor.read()
    assert MI < reading.rss <= reading.used
    assert sensor.peak() >= reading.rss // 2


@pytest.mark.skipif(sys.platform != "linux", reason="glibc gives memory back on request, others do not")
def test_trim() -> None:
    """Memory that was freed in small pieces is resident until it is trimmed."""
    code = """
from chunkmigrate.memory import process_rss, trim
rss = process_rss()
trim()
pieces = [bytes(2000) for _ in range(30_000)]
last = bytes(2000)  # keeps the end of the heap in use, so that freeing alone returns nothing
del pieces
before = rss()
trim()
print(before - rss())
"""
    freed = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert int(freed.stdout) > 20 * MI


def test_trim_returns() -> None:
    """Trimming is safe to call at any time."""
    trim()


def test_import_is_light() -> None:
    """Importing the sensor loads neither psutil nor ctypes: a small pod pays for what it uses."""
    code = (
        "import sys\n"
        "import chunkmigrate.errors, chunkmigrate.units\n"
        "before = set(sys.modules)\n"
        "import chunkmigrate.memory\n"
        "print(sorted({'psutil', 'ctypes', 'resource'} & (set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
