"""A kubelet for one container: it runs what a Job's manifest says, as the manifest says, without a cluster.

The container has a root file system of its own in which nothing may be written, a user without a name or a
home, no capabilities, the memory of its limit, enforced by the kernel, and of writable places only those the
manifest mounts. What an image holds is this machine's: its programs, Python and the project, at their places.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chunkmigrate import limits
from chunkmigrate.units import parse_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROJECT = Path(__file__).parents[2]

# What the Dockerfile sets, and nothing else is in the environment of a container: no HOME for one.
IMAGE = {"PATH": os.environ.get("PATH", ""), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}

_UNSHARED = ("unshare", "--mount", "sh", "-c")
_TRIED = "mount -t tmpfs tried /tmp && setpriv --dump"

# "$1" is the root, "$2" user:group, "$3" a list of mounts: how, from where, to where. Then the command.
_CONTAINER = r"""
set -eu
root=$1 user=${2%:*} group=${2#*:} mounts=$3; shift 3
mount -t tmpfs -o mode=0755 root "$root"
while read -r how from to; do
    if [ -d "$from" ]; then mkdir -p "$root$to"; else mkdir -p "$root${to%/*}"; : > "$root$to"; fi
    case $how in
        link) rm -r "$root$to"; ln -s "$(readlink "$from")" "$root$to" ;;
        tree) mount --rbind "$from" "$root$to" ;;
        ro) mount --bind "$from" "$root$to"; mount -o remount,bind,ro "$root$to" ;;
        rw) mount --bind "$from" "$root$to" ;;
    esac
done < "$mounts"
mount -o remount,ro "$root"
exec chroot "$root" setpriv --reuid="$user" --regid="$group" --clear-groups --no-new-privs \
    --inh-caps=-all --bounding-set=-all env -i "$@"
"""


@dataclass(frozen=True)
class Kubelet:
    """Runs containers; ``folder`` is where it keeps what they write."""

    folder: Path
    limiter: limits.Limiter
    secret: str

    @property
    def scratch(self) -> Path:
        """What the pod's emptyDir holds."""
        return self.folder / "empty"

    @property
    def termination_log(self) -> Path:
        """What the container has left as its last word."""
        return self.folder / "termination-log"

    def run(
        self, job: Mapping[str, Any], config_map: Mapping[str, Any], *instead: str, timeout: float = 120
    ) -> limits.Ended:
        """Run the only container of a Job to its end, or another program in its place."""
        pod = job["spec"]["template"]["spec"]
        [container] = pod["containers"]
        mounts = [*_image(), *self._volumes(pod, container, config_map["data"])]
        listed = self.folder / "mounts"
        listed.write_text("".join(f"{how} {source} {place}\n" for how, source, place in mounts), "utf-8")
        (self.folder / "root").mkdir(exist_ok=True)
        context = pod["securityContext"]
        user = f"{context['runAsUser']}:{context['runAsGroup']}"
        entry = instead or (sys.executable, "-m", "chunkmigrate", *map(_said, container["args"]))
        environment = [f"{name}={value}" for name, value in (IMAGE | self._variables(container)).items()]
        inside = [*_UNSHARED, _CONTAINER, "container", str(self.folder / "root"), user]
        return self.limiter.run(
            [*inside, str(listed), *environment, *entry],
            parse_bytes(container["resources"]["limits"]["memory"]),
            timeout=timeout,
        )

    def _volumes(
        self, pod: Mapping[str, Any], container: Mapping[str, Any], files: Mapping[str, str]
    ) -> Iterator[tuple[str, Path, str]]:
        places = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        for volume in pod["volumes"]:
            if "emptyDir" in volume:
                self.scratch.mkdir(exist_ok=True)
                self.scratch.chmod(0o777)
                yield "rw", self.scratch, places[volume["name"]]
            else:
                yield "ro", self._config_map(files), places[volume["name"]]
        # Last: they may lie below one of those.
        yield from (("ro", path, str(path)) for path in _python())
        self.termination_log.write_bytes(b"")
        self.termination_log.chmod(0o666)
        yield "rw", self.termination_log, container["terminationMessagePath"]

    def _config_map(self, files: Mapping[str, str]) -> Path:
        """Write a ConfigMap as a volume has it: links through a link, so that all change at once."""
        folder = self.folder / "config-map"
        held = folder / "..2026_01_01_00_00_00.1"
        if not folder.exists():
            held.mkdir(parents=True)
            (folder / "..data").symlink_to(held.name)
            for name in files:
                (folder / name).symlink_to(f"..data/{name}")
        for name, text in files.items():
            (held / name).write_text(text, "utf-8")
        return folder

    def _variables(self, container: Mapping[str, Any]) -> dict[str, str]:
        return {one["name"]: self._value(one, container) for one in container["env"]}

    def _value(self, variable: Mapping[str, Any], container: Mapping[str, Any]) -> str:
        source = variable.get("valueFrom", {})
        if "secretKeyRef" in source:
            return self.secret
        if "resourceFieldRef" in source:
            asked, _, what = source["resourceFieldRef"]["resource"].partition(".")
            return str(parse_bytes(container["resources"][asked][what]))
        return str(source["fieldRef"]["fieldPath"]) if source else _said(variable["value"])


def ready(folder: Path, uri: str) -> Kubelet | str:
    """Return a kubelet, or why there can be none on this machine."""
    limiter = limits.available()
    if limiter is None:
        return "no memory cgroup can be made on this machine"
    if sys.platform != "linux" or os.geteuid() != 0:
        return "only root may give a process another root and another user"
    try:
        tried = subprocess.run([*_UNSHARED, _TRIED], capture_output=True, check=False)
    except OSError as error:
        return f"no container can be made on this machine: {error}"
    if tried.returncode:
        return f"no container can be made on this machine: {tried.stderr.decode().strip()}"
    return Kubelet(folder, limiter, uri)


def _image() -> Iterator[tuple[str, Path, str]]:
    for name in ("usr", "bin", "sbin", "lib", "lib64", "etc"):
        if (path := Path("/", name)).exists():
            yield "link" if path.is_symlink() else "ro", path, str(path)
    for tree in ("/proc", "/sys"):
        yield "tree", Path(tree), tree
    for device in ("/dev/null", "/dev/zero", "/dev/urandom"):
        yield "rw", Path(device), device


def _python() -> list[Path]:
    """Return where Python, its packages and the project are, the outermost of them alone."""
    paths = [PROJECT, *(Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix))]
    return [
        path
        for path in dict.fromkeys(paths)
        if not path.is_relative_to("/usr")
        and not any(path.is_relative_to(one) for one in paths if one != path)
    ]


def _said(text: str) -> str:
    """Return a text as Kubernetes hands it on: two dollars are one."""
    return text.replace("$$", "$")
