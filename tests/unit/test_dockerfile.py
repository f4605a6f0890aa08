"""The Dockerfile: what can be known of an image without building it."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from chunkmigrate.kubernetes import pod

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

# The image is made for it, whatever Python runs the tests.
IMAGE = {"python_version": "3.12", "python_full_version": "3.12.0", "sys_platform": "linux", "extra": ""}
LOCKS = {
    "requirements.lock": PROJECT["project"]["dependencies"],
    "requirements-build.lock": PROJECT["build-system"]["requires"],
}


def instructions() -> list[tuple[str, str]]:
    lines = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE)).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines) if word]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append((word, rest))
    return found


def copied() -> list[str]:
    """What is copied from the project, a path each."""
    sources = [rest.split()[:-1] for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    return [path for group in sources for path in group]


def lock(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text("utf-8")
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", text, re.MULTILINE))


def test_sources_exist() -> None:
    """Everything that is copied is in the project."""
    assert len(copied()) > 5
    assert [path for path in copied() if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("path", copied())
def test_sources_are_sent(path: str) -> None:
    """Nothing that is copied is kept from the build by .dockerignore."""
    ignored = True
    for line in (ROOT / ".dockerignore").read_text("utf-8").split():
        if fnmatch(path.rstrip("/"), line.lstrip("!").rstrip("/")):
            ignored = not line.startswith("!")

    assert not ignored


def test_package_is_whole() -> None:
    """What the package is built from is copied before it is built."""
    build = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    needed = {*build, "pyproject.toml", PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]}

    assert needed <= {path.rstrip("/") for path in copied()}


def test_nobodys_root() -> None:
    """The last stage runs as a user by number, the one the manifests name, who is made in it."""
    last = stages()[-1]
    users = [rest for word, rest in last if word == "USER"]

    assert users == [f"{pod.USER}:{pod.USER}"]
    assert any(word == "RUN" and f"useradd --uid {pod.USER} " in rest for word, rest in last)


def test_last_stage_installs_nothing() -> None:
    """The last stage installs nothing: no compiler, no cache of pip is in the image."""
    commands = [rest for word, rest in stages()[-1] if word == "RUN"]

    assert len(commands) == 1
    assert not re.search(r"pip|apt|gcc", commands[0])


def test_migrations_last() -> None:
    """A changed migration changes nothing but the last layer."""
    assert instructions()[-1] == ("COPY", "migrations/ migrations/")


def test_nothing_unlocked() -> None:
    """What is installed is in a lock file, by hash, or was built from the project; nothing is compiled."""
    [run, build] = [rest for word, rest in stages()[0] if word == "RUN"]
    installs = re.findall(r"(?:^|&& )\S*pip (?:--python \S+ )?install (.*?)(?= && |$)", run)

    assert len(installs) == 2
    for install in installs:
        assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(install.split())
    assert "--no-build-isolation" in build
    assert "--no-index /wheels/*.whl" in build


def test_labels() -> None:
    """The image says what it is, in the OCI's words; its version is the project's."""
    [labels] = [rest for word, rest in stages()[-1] if word == "LABEL"]

    for name in ("title", "description", "version", "licenses"):
        assert f"org.opencontainers.image.{name}=" in labels
    assert ("ARG", f"VERSION={PROJECT['project']['version']}") in stages()[-1]


def test_command_is_a_runs() -> None:
    """The image's entry point is the command, to which the manifests give arguments."""
    last = dict(stages()[-1])

    assert last["ENTRYPOINT"] == '["chunkmigrate"]'
    assert "chunkmigrate" in PROJECT["project"]["scripts"]
    assert "HEALTHCHECK" not in last


@pytest.mark.parametrize("name", LOCKS)
def test_lock_fits(name: str) -> None:
    """Each dependency of the project is locked, in a version the project asks for."""
    locked = lock(name)
    for text in LOCKS[name]:
        wanted = Requirement(text)
        if wanted.marker is None or wanted.marker.evaluate(IMAGE):
            assert wanted.specifier.contains(locked[canonicalize_name(wanted.name)]), text


@pytest.mark.parametrize("name", LOCKS)
def test_lock_is_hashed(name: str) -> None:
    """Every locked package has hashes, and the lock says nothing of where it was got."""
    text = (ROOT / name).read_text("utf-8")
    entries = re.split(r"^(?=[a-z0-9.-]+==)", text, flags=re.MULTILINE)[1:]

    assert len(entries) == len(lock(name)) >= 5
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)
    assert "://" not in text
    assert not re.search(r"--(extra-)?index|--find-links", text)
