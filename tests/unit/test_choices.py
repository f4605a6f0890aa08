"""Choices: flags over the project's table, and a sentence for each that cannot be used."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.kubernetes.choices import Choices, choose
from chunkmigrate.settings import kubernetes
from tests.unit.workloads import workload

TABLE = "[tool.chunkmigrate.kubernetes]"


def test_nothing_chosen() -> None:
    """Where nothing is said the choices are those of the documentation."""
    assert choose({}, {}) == Choices()


def test_flag_wins() -> None:
    """A flag wins over the project, list against list, and of pairs each one by itself."""
    table = {
        "image": "a:1",
        "cpu": "2",
        "labels": {"a": "1", "b": "1"},
        "pull_secrets": ["x", "y"],
        "pods": 3,
    }
    flags = {"image": "b:1", "labels": ["b=2", "c=2"], "pull_secrets": ["z"]}
    found = choose(table, flags)

    assert (found.image, found.cpu, found.pods) == ("b:1", "2", 3)
    assert found.labels == {"a": "1", "b": "2", "c": "2"}
    assert found.pull_secrets == ["z"]


def test_documented(tmp_path: Path) -> None:
    """The table in the documentation can be used as printed, and it has a word on every choice there is."""
    text = (Path(__file__).parents[2] / "docs" / "kubernetes.md").read_text("utf-8")
    project = tomllib.loads(text.partition("```toml\n")[2].partition("```")[0])["tool"]["chunkmigrate"]
    found = workload(tmp_path, table=project["kubernetes"], image=None).choices

    assert (found.image, found.labels) == ("registry.example.com/shop/migrations:1.4.0", {"team": "shop"})
    for name in Choices.__struct_fields__:
        assert re.search(rf"\b{name.replace('_', '[-_]')}\b", text), name


def test_value_with_an_equals_sign() -> None:
    """Of a pair only the first equals sign divides."""
    assert choose({}, {"env": ["A=b=c", "B="]}).env == {"A": "b=c", "B": ""}


def test_table(tmp_path: Path) -> None:
    """The table is read from the project's pyproject.toml; without one there are no choices."""
    assert kubernetes(tmp_path) == {}
    (tmp_path / "pyproject.toml").write_text('[tool.chunkmigrate.kubernetes]\nimage = "a:1"\n[tool.x]\n')
    assert kubernetes(tmp_path) == {"image": "a:1"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"imag": "a:1"},
            f"{TABLE} has no setting imag; it has annotations, cpu, database, deadline, env, env_from_config",
        ),
        ({"image": 5}, f"{TABLE}: the setting image is a text in quotes."),
        ({"pods": "3"}, f"{TABLE}: the setting pods is a whole number."),
        ({"pods": 2.5}, f"{TABLE}: the setting pods is a whole number."),
        ({"mount": "yes"}, f"{TABLE}: the setting mount is true or false."),
        ({"pull_secrets": "a"}, f"{TABLE}: the setting pull_secrets is a list."),
        ({"pull_secrets": [1]}, f"{TABLE}: the setting pull_secrets[0] is a text in quotes."),
        ({"labels": ["a=1"]}, f"{TABLE}: the setting labels is a table."),
        ({"labels": {"a": 1}}, f"{TABLE}: the setting labels is a text in quotes."),
        ({"format": "yaml"}, "The format setting: it is job, helm-hook, argocd-hook, cronjob or airflow."),
        (
            {"memory": "1Gi"},
            f"{TABLE} has no setting memory: it is a migration's own. Use `tune`, or a line in its file.",
        ),
    ],
)
def test_wrong_kind(table: dict[str, Any], message: str) -> None:
    """What is of the wrong kind, or not known, is refused with its name and what it should be."""
    with pytest.raises(InvalidSettingError) as caught:
        choose(table, {})

    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"image": ""}, "The image setting: its flag is there, and has no value."),
        ({"memory": ""}, "The memory setting: its flag is there, and has no value."),
        ({"env": ["hunter2"]}, "The env setting: one of its flags has no '='; write NAME=VALUE."),
        ({"image": None}, f"No image is named. Use --image, or image in {TABLE} of pyproject.toml: "),
        (
            {"image": "Shop:1"},
            "The image setting: 'Shop:1' is not an image; write HOST/NAME:TAG or HOST/NAME@",
        ),
        ({"image": "shop:1 "}, "The image setting: 'shop:1 ' is not an image; write"),
        ({"image": "{{ .Values.image }}"}, "The image setting: '{{ .Values.image }}' is not an image; write"),
        ({"image": "shop@sha256:abc"}, "The image setting: 'shop@sha256:abc' is not an image; write"),
        (
            {"memory": "512MB"},
            "The memory setting: 512MB is not a memory quantity; write 512Mi (or 512M for ",
        ),
        ({"memory_limit": "1 Gi"}, "The memory limit setting: '1 Gi' is not a memory quantity; write 1Gi"),
        (
            {"cpu": "0"},
            "The cpu setting: '0' is not an amount of CPU; write cores such as 1 or 0.5, or thousandths",
        ),
        ({"cpu": "1.0001"}, "The cpu setting: '1.0001' is not an amount of CPU; write"),
        (
            {"namespace": "Shop"},
            "The namespace setting: 'Shop' is not a name; write lower-case letters, digits",
        ),
        ({"namespace": "a" * 64}, f"The namespace setting: '{'a' * 63}...' is not a name; write"),
        ({"secret": "a_b"}, "The secret setting: 'a_b' is not an object's name; write lower-case letters"),
        ({"secret_key": "a/b"}, "The secret key setting: 'a/b' is not a key; write letters, digits, dashes"),
        ({"secret_key": "..a"}, "The secret key setting: '..a' is not a key; write"),
        ({"service_account": "-"}, "The service account setting: '-' is not an object's name; write"),
        ({"pull_secrets": ["ok", "A"]}, "The pull secrets setting: 'A' is not an object's name; write"),
        ({"priority_class": "a b"}, "The priority class setting: 'a b' is not an object's name; write"),
        (
            {"node_selector": ["a=b c"]},
            "The node selector setting: 'b c' is not a label's value; write letters",
        ),
        ({"node_selector": ["=b"]}, "The node selector setting: '' is not a label's name; write letters"),
        ({"labels": ["a/b/c=1"]}, "The labels setting: 'a/b' is not an object's name; write"),
        ({"labels": [f"a={'1' * 64}"]}, f"The labels setting: '{'1' * 63}...' is not a label's value; write"),
        (
            {"labels": ["job-name=x"]},
            "The labels setting: job-name is written by chunkmigrate, or by what runs",
        ),
        (
            {"labels": ["app.kubernetes.io/name=x"]},
            "The labels setting: app.kubernetes.io/name is written by",
        ),
        (
            {"annotations": ["helm.sh/hook=x"]},
            "The annotations setting: helm.sh/hook is written by chunkmigrate",
        ),
        (
            {"annotations": ["a=\udcff"]},
            "The annotations setting: it holds a character that no manifest can hold.",
        ),
        (
            {"annotations": [f"a={'x' * 131_072}"]},
            "The annotations setting: they are 131,073 bytes, and there is room for 131,072.",
        ),
        (
            {"tolerations": ["a=b:Never"]},
            "The tolerations setting: 'Never' is not an effect; it is NoSchedule, ",
        ),
        ({"tolerations": ["=b"]}, "The tolerations setting: '' is not a label's name; write"),
        ({"env": ["A B=1"]}, "The env setting: 'A B' is not a variable's name; write letters, digits and"),
        ({"env": ["1A=1"]}, "The env setting: '1A' is not a variable's name; write"),
        ({"env": ["CHUNKMIGRATE_POD=x"]}, "The env setting: CHUNKMIGRATE_POD is set by chunkmigrate."),
        (
            {"env": ["CHUNKMIGRATE_DIR=x"], "mount": True},
            "The env setting: CHUNKMIGRATE_DIR is set by chunkmigrate.",
        ),
        ({"env": ["A=1"], "env_from_secrets": ["A=b/c"]}, "The env setting: A is given more than once."),
        (
            {"env": ["DB_PASSWORD=x"]},
            "The env setting: DB_PASSWORD is a secret by its name, and many may read a manifest; put it into",
        ),
        (
            {"env_from_secrets": ["MONGODB_URI=a/b"]},
            "The env setting: MONGODB_URI comes from a Secret; say which with --secret, and its key with",
        ),
        (
            {"env_from_secrets": ["A=b"]},
            "The env from secrets setting: it names an object and no key of it; write",
        ),
        (
            {"env_from_configmaps": ["A=B/c"]},
            "The env from configmaps setting: 'B' is not an object's name; write",
        ),
        ({"deadline": "5"}, "The deadline setting: 5 is not a duration; write 5s."),
        (
            {"deadline": "0.5s"},
            "The deadline setting: 0.5s is not a time a Job could take; write one such as 6h.",
        ),
        ({"deadline": "600000h"}, "The deadline setting: 600000h is not a time a Job could take; write"),
        (
            {"schedule": "@daily"},
            "The schedule setting: --format job has none; use --format cronjob or airflow.",
        ),
        ({"hook": "PreSync"}, "The hook setting: it needs --format helm-hook or argocd-hook."),
        ({"weight": 1}, "The weight setting: it needs --format helm-hook or argocd-hook."),
        (
            {"format": "helm-hook", "hook": "pre-upgrade,PreSync"},
            "The hook setting: 'PreSync' is not one of pre-upgrade, post-upgrade, pre-install, post-install.",
        ),
        (
            {"format": "helm-hook", "weight": 10**9},
            "The weight setting: 1000000000 is more than any order needs.",
        ),
        (
            {"format": "airflow", "mount": True},
            "The mount setting: a DAG mounts nothing; put the migration into",
        ),
        (
            {"format": "airflow", "pods": 2},
            "The pods setting: a DAG starts one pod; use another --format for",
        ),
        ({"pods": 0}, "The pods setting: 0 is not a number of pods; there may be 1 to 100."),
        ({"pods": 101}, "The pods setting: 101 is not a number of pods; there may be 1 to 100."),
    ],
)
def test_unusable(tmp_path: Path, flags: dict[str, Any], message: str) -> None:
    """What cannot be used is refused with its name and what may be written instead."""
    with pytest.raises(InvalidSettingError) as caught:
        workload(tmp_path, **flags)

    assert str(caught.value).startswith(message)
    assert str(caught.value).endswith(".")


def test_other_names_of_variables(tmp_path: Path) -> None:
    """A variable that only sounds like a secret, or an empty one, may stand in the manifest."""
    env = ["TOKEN_TTL=5", "DB_PASSWORD=", "CHUNKMIGRATE_DIR=/srv/migrations", "CHUNKMIGRATE_MAX_RATE=500"]

    assert len(workload(tmp_path, env=env).choices.env) == 4


@pytest.mark.parametrize(
    "schedule",
    ["0 3 * * *", "*/5 0-6 1,15 jan-mar MON-FRI", "59 23 31 12 6", "? ? ? ? ?", "0 3/2 * * sun", "@daily"],
)
def test_schedule(tmp_path: Path, schedule: str) -> None:
    """A schedule of five fields, or a shorthand, is taken."""
    assert workload(tmp_path, format="cronjob", schedule=schedule).choices.schedule == schedule


@pytest.mark.parametrize(
    ("schedule", "what"),
    [
        ("0 3 * *", "'0 3 * *' is not a schedule; write five fields such as '0 3 * * *', or @daily"),
        ("0 3 * * * *", "'0 3 * * * *' is not a schedule"),
        ("@every 5m", "'@every 5m' is not a schedule"),
        ("0  3 * * *", "'0  3 * * *' is not a schedule"),
        ("60 3 * * *", "'60' is not a minute; write *, */5, 1-3, or a number from 0 to 59"),
        ("0 24 * * *", "'24' is not a hour"),
        ("0 3 0 * *", "'0' is not a day of the month"),
        ("0 3 * 13 *", "'13' is not a month"),
        ("0 3 * * 7", "'7' is not a day of the week"),
        ("0 3 * * fri-mon", "'fri-mon' is not a day of the week"),
        ("*/0 3 * * *", "'*/0' is not a minute"),
        ("5, 3 * * *", "'5,' is not a minute"),
        ("0 3 * * -", "'-' is not a day of the week"),
    ],
)
def test_no_schedule(tmp_path: Path, schedule: str, what: str) -> None:
    """What is no schedule is refused with the field that is none."""
    with pytest.raises(InvalidSettingError) as caught:
        workload(tmp_path, format="cronjob", schedule=schedule)

    assert str(caught.value).startswith(f"The schedule setting: {what}")
