"""Memory limits that the kernel enforces, on real processes."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from chunkmigrate.limits import Limiter, available

MI = 1024 * 1024
LIMIT = 64 * MI


@pytest.fixture(scope="module")
def limiter() -> Limiter:
    found = available()
    if found is None:
        pytest.skip("this machine lets us make no memory control group")
    return found


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


def groups(limiter: Limiter) -> set[str]:
    return {folder.name for folder in limiter.parent.folder.glob("chunkmigrate-*")}


def test_over(limiter: Limiter) -> None:
    """What goes over is killed, as a pod's container is: 137, and the kernel says that it was it."""
    ended = limiter.run(python("print('begun', flush=True); held = b'x' * (200 << 20)"), LIMIT)
    assert (ended.returncode, ended.killed_by_kernel, ended.stdout) == (137, True, "begun\n")
    assert LIMIT * 0.9 <= ended.peak <= LIMIT


def test_under(limiter: Limiter) -> None:
    """What stays under finishes, and its memory is counted from its first byte."""
    ended = limiter.run(python("import sys; held = b'x' * (40 << 20); sys.exit('done')"), LIMIT)
    assert (ended.returncode, ended.killed_by_kernel, ended.stderr) == (1, False, "done\n")
    assert 40 * MI <= ended.peak <= LIMIT


def test_killed_by_another(limiter: Limiter) -> None:
    """137 alone blames nobody: a process killed by somebody else was not killed for memory."""
    ended = limiter.run(python("import os; os.kill(os.getpid(), 9)"), LIMIT)
    assert (ended.returncode, ended.killed_by_kernel) == (137, False)


def test_environment(limiter: Limiter) -> None:
    """A command gets the environment it is given."""
    ended = limiter.run(["/bin/sh", "-c", "echo $COLOUR"], LIMIT, env={"COLOUR": "blue"})
    assert ended.stdout == "blue\n"


def test_nothing_remains(limiter: Limiter) -> None:
    """No group and no process remains, however the command ended."""
    before = groups(limiter)
    ended = limiter.run(["/bin/sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $!"], LIMIT)
    with pytest.raises(subprocess.TimeoutExpired):
        limiter.run(["sleep", "600"], LIMIT, timeout=0.2)
    assert groups(limiter) == before
    assert not _runs(int(ended.stdout))


def test_nothing_remains_of_what_was_interrupted(limiter: Limiter) -> None:
    """Ctrl-C leaves no group behind."""
    before = groups(limiter)
    code = (
        "import _thread, threading\n"
        "from chunkmigrate.limits import available\n"
        "threading.Timer(0.5, _thread.interrupt_main).start()\n"
        f"available().run(['sleep', '3'], {LIMIT})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "KeyboardInterrupt" in done.stderr
    assert groups(limiter) == before


def _runs(pid: int) -> bool:
    # Killed, it may wait a while for somebody to collect it.
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
