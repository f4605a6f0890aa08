"""Renderings: whatever is chosen, it is what a cluster takes, and what each starter of Jobs asks for."""

from __future__ import annotations

import ast
import random
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

from chunkmigrate.errors import InvalidSettingError
from chunkmigrate.kubernetes import manifest, pod
from chunkmigrate.kubernetes.renderings import rendered
from tests.unit.cluster import (
    CRON_JOB,
    METADATA,
    POD,
    job_problems,
    metadata_problems,
    pod_problems,
    problems,
    schema_problems,
    specification_problems,
)
from tests.unit.workloads import NAME, SOURCE, of_dag, parsed, pod_of, without_helm, workload, written

if TYPE_CHECKING:
    from pathlib import Path

SEED = 20260101
COMBINATIONS = 400

# What is said of nobody, and means something to YAML, to a shell, to Kubernetes, to Helm or to Airflow.
HOSTILE = [
    "",
    " ",
    "1e3",
    "0x1f",
    "0o17",
    "1_000",
    "12:30:45",
    "2026-01-01",
    ".5",
    "~",
    "null",
    "NO",
    "on",
    "y",
    "-",
    "- a",
    "a: b",
    "a #b",
    "#",
    "&a",
    "*a",
    "!!int 5",
    "%YAML 1.1",
    "---",
    "...",
    "\n---\nkind: Pod\n",
    "{a: b}",
    "[a",
    "'",
    '"',
    "\\",
    "`id`",
    "$(id)",
    "$(MONGODB_URI)",
    "$$(HOME)",
    "${HOME}",
    "; rm -rf /",
    "{{ .Values.image }}",
    "{{ ds }}",
    "{% raw %}",
    "a.yaml",
    "\t",
    "a\tb",
    "a\r\nb",
    " a\n b \n\n",
    "\u2028",
    "a\u2028kind: Pod\nb\n",
    "a\x85b\nc\u2029d\n",
    "\ufeff",
    "\x1b[0m",
    "äöü \U0001f600",
    "'''",
    '"""',
    "x" * 1000,
]
MIGRATIONS = [
    NAME,
    "1e3",
    "true",
    "a" * 120,
    "Größe ändern",
    "a b'; rm -rf / #",
    "$(MONGODB_URI)",
    "{{ .Values.x }}",
    "---",
    "-rf",
    "a\nb",
    '"quoted"',
]


def chosen(dice: random.Random) -> dict[str, Any]:
    """Some of everything that may be chosen, as it is typed."""
    format_ = dice.choice(["job", "job", "helm-hook", "argocd-hook", "cronjob", "airflow"])
    airflow = format_ == "airflow"
    ranges: dict[str, list[Any]] = {
        "image": ["a:1", "reg.example.org:5000/shop/migrate:v1.2-rc.1", f"a/b@sha256:{'0' * 64}"],
        "memory": ["64Mi", "1.5Gi", "67108864", "100M", "5e8", "1Gi"],
        "cpu": ["1", "0.5", "250m", "2"],
        "pods": [1] if airflow else [1, 2, 3, 100],
        "mount": [False] if airflow else [True, False],
        "namespace": ["shop", "n" * 63],
        "database": ["shop", *HOSTILE[1:]],
        "secret": ["mongo.db", "s"],
        "secret_key": ["MONGODB_URI", "connection.string", "a_b-c"],
        "service_account": ["migrations"],
        "pull_secrets": [["a"], ["a", "b"]],
        "node_selector": [["disk=ssd", "kubernetes.io/arch=amd64"], ["a=1"], ["a="]],
        "tolerations": [["dedicated=batch:NoSchedule"], ["spot", "a=true:NoExecute"], ["x:PreferNoSchedule"]],
        "priority_class": ["low"],
        "labels": [["team=shop", "example.org/cost=1e3"], ["a=true"]],
        "annotations": [[f"a.b/c{n}={text}" for n, text in enumerate(dice.sample(HOSTILE, 3))]],
        "env": [[f"V{n}={text}" for n, text in enumerate(dice.sample(HOSTILE, 5))]],
        "env_from_secrets": [["PASSWORD=other/password"], ["A=b/c", "B=b/d"]],
        "env_from_configmaps": [["C=settings/c.d"]],
        "deadline": ["6h", "1h30m", "90s"],
        "schedule": ["0 3 * * *", "@daily"] if format_ in ("cronjob", "airflow") else [None],
        "hook": {
            "helm-hook": ["pre-upgrade", "pre-install,pre-upgrade", "post-upgrade"],
            "argocd-hook": ["PreSync", "Sync", "PostSync"],
        }.get(format_, [None]),
        "weight": [-5, 7] if format_.endswith("hook") else [None],
    }
    picked = {name: dice.choice(options) for name, options in ranges.items() if dice.random() < 0.5}
    return {"format": format_} | {name: value for name, value in picked.items() if value is not None}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("project")
    for name in MIGRATIONS:
        if "/" not in name:
            written(made, name, SOURCE)
    return made


def objects_of(text: str, format_: str) -> list[Any]:
    if format_ == "airflow":
        return [of_dag(text)]
    return parsed(without_helm(text) if format_ == "helm-hook" else text)


def judged(one: Any) -> list[str]:
    """What a cluster finds wrong with an object, whatever it is."""
    match one["kind"]:
        case "Job":
            return problems(one)
        case "CronJob":
            spec = one["spec"]["jobTemplate"]["spec"]
            found = [*specification_problems(spec), *metadata_problems(one["metadata"], most=52)]
            return schema_problems(one, CRON_JOB) + found
        case "Pod":
            pod = {"metadata": one["metadata"], "spec": one["spec"]}
            return [
                *schema_problems(pod, POD),
                *pod_problems(one["spec"]),
                *metadata_problems(one["metadata"]),
            ]
        case "ConfigMap":
            assert set(one) == {"apiVersion", "kind", "metadata", "immutable", "data"}
            return [*schema_problems(one["metadata"], METADATA), *metadata_problems(one["metadata"])]
    return [f"{one['kind']} is not expected"]


@pytest.mark.parametrize("number", range(COMBINATIONS))
def test_combination(folder: Path, number: int) -> None:
    """Whatever is chosen together, what is rendered passes the schema and its rules, the same each time."""
    dice = random.Random(f"{SEED} {number}")
    flags = chosen(dice)
    names = [NAME] if flags.get("mount") else [name for name in MIGRATIONS if "/" not in name]
    made = workload(folder, dice.choice(names), **flags)
    text = rendered(made)
    found = objects_of(text, flags["format"])

    assert [problem for one in found for problem in judged(one)] == []
    assert [one["kind"] for one in found] == (["ConfigMap"] if flags.get("mount") else []) + [
        {"cronjob": "CronJob", "airflow": "Pod"}.get(flags["format"], "Job")
    ]
    assert rendered(made) == text


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("format_", ["job", "helm-hook", "argocd-hook", "cronjob", "airflow"])
def test_text_stays(folder: Path, format_: str, text: str) -> None:
    """A text that means something elsewhere reaches the pod as it was typed."""
    flags = {"env": [f"V={text}"], "annotations": [f"a={text}"], "format": format_}
    [one] = objects_of(rendered(workload(folder, **flags)), format_)
    job = one["spec"]["jobTemplate"] if format_ == "cronjob" else one
    container = (one["spec"] if format_ == "airflow" else pod_of(job))["containers"][0]

    assert one["metadata"]["annotations"]["a"] == text
    # Kubernetes puts variables in, and takes $$ for $.
    assert container["env"][-1] == {"name": "V", "value": text.replace("$", "$$")}


@pytest.mark.parametrize("name", [name for name in MIGRATIONS if "/" not in name])
def test_migration_name_stays(folder: Path, name: str) -> None:
    """Whatever a migration is called, its pod is told that name, and takes it for a name."""
    [job] = parsed(rendered(workload(folder, name)))

    assert pod_of(job)["containers"][0]["args"][-2:] == ["--", name.replace("$", "$$")]
    assert job["metadata"]["annotations"]["chunkmigrate/migration"] == name


def test_name_of_bytes(folder: Path) -> None:
    """A migration whose name is no text is refused: no manifest could hold it."""
    with pytest.raises(
        InvalidSettingError, match=r"^The name setting: it holds a character that no manifest"
    ):
        workload(folder, "a\udcff")


@pytest.mark.parametrize("text", HOSTILE)
def test_other_parsers(folder: Path, text: str) -> None:
    """A parser of YAML 1.2, of other authors, reads what one of YAML 1.1 reads."""
    flags = {"env": [f"V={text}"], "labels": ["a=1e3", "b=true", "c=0o17"], "memory": "5e8", "mount": True}
    written_ = rendered(workload(folder, **flags))

    assert list(YAML(typ="safe", pure=True).load_all(written_)) == parsed(written_)


def test_round_trip(folder: Path) -> None:
    """Read again, the text is what was written."""
    made = workload(folder, mount=True, pods=3)

    assert parsed(rendered(made)) == manifest.objects(made)


def test_lines_of_another_yaml(tmp_path: Path) -> None:
    """A module in which characters stand that end a line to some parsers is mounted as it is, to the byte."""
    source = f"{SOURCE}\n# a\u2028b: c\n# d\x85e\n"
    written(tmp_path, source=source)
    text = rendered(workload(tmp_path, mount=True))

    for found in (parsed(text), list(YAML(typ="safe", pure=True).load_all(text))):
        assert found[0]["data"][f"{NAME}.py"] == source


def test_lines(folder: Path) -> None:
    """A module is written in lines, as it stands in its file."""
    text = rendered(workload(folder, mount=True))

    assert f'  "{NAME}.py": |\n    """Count."""\n\n\n    def upgrade(db):\n        return None\n' in text


def test_order(folder: Path) -> None:
    """Neither the order of flags nor where they were said changes a byte."""
    one = workload(folder, env=["B=2", "A=1"], labels=["b=2", "a=1"], node_selector=["y=1", "x=2"])
    table = {"env": {"A": "1"}, "labels": {"a": "1"}, "node_selector": {"x": "2", "y": "1"}}
    other = workload(folder, table=table, env=["B=2"], labels=["b=2"])

    assert rendered(one) == rendered(other)


def test_helm(folder: Path) -> None:
    """For Helm the Job is a hook that stays until the next, and what it mounts is there before it."""
    made = workload(folder, format="helm-hook", mount=True, hook="post-upgrade", weight=3)
    config_map, job = parsed(rendered(made))

    assert hook_of(job, "helm.sh") == ("post-upgrade", "3", "before-hook-creation")
    assert hook_of(config_map, "helm.sh") == ("post-upgrade", "2", "before-hook-creation")


def hook_of(one: dict[str, Any], domain: str) -> tuple[str, ...]:
    return tuple(
        value for name, value in one["metadata"]["annotations"].items() if name.startswith(f"{domain}/hook")
    )


def test_helm_image(folder: Path) -> None:
    """An image that is a value of the chart stays a template, and nothing else becomes one."""
    image = "{{ .Values.migrations.image }}"
    text = rendered(workload(folder, format="helm-hook", image=image, env=[f"A={image}", "B={{"]))

    assert text.count("{{ .Values.migrations.image }}") == 1
    [job] = parsed(without_helm(text.replace(image, "shop:1", 1)))
    container = pod_of(job)["containers"][0]
    assert container["image"] == "shop:1"
    assert [one["value"] for one in container["env"][-2:]] == [image, "{{"]


def test_argo_cd(folder: Path) -> None:
    """For Argo CD the Job is a hook, in a wave behind what it mounts, and does not go away by itself."""
    config_map, job = parsed(rendered(workload(folder, format="argocd-hook", mount=True)))

    for one, wave in ((config_map, "-1"), (job, "0")):
        annotations = one["metadata"]["annotations"]
        assert annotations["argocd.argoproj.io/hook"] == "PreSync"
        assert annotations["argocd.argoproj.io/sync-wave"] == wave
        assert annotations["argocd.argoproj.io/hook-delete-policy"] == "BeforeHookCreation"
    assert "ttlSecondsAfterFinished" not in job["spec"]
    assert "ttlSecondsAfterFinished" in manifest.job(workload(folder))["spec"]


@pytest.mark.parametrize("schedule", ["", "0 3 * * *"])
def test_cron_job(folder: Path, schedule: str) -> None:
    """A CronJob without a schedule waits to be started by hand; with one it goes, never two at a time."""
    flags = {"schedule": schedule} if schedule else {}
    [found] = parsed(rendered(workload(folder, format="cronjob", **flags)))
    spec = found["spec"]

    assert (spec["suspend"], spec["timeZone"], spec["concurrencyPolicy"]) == (
        not schedule,
        "Etc/UTC",
        "Forbid",
    )
    assert not schedule or spec["schedule"] == schedule
    assert spec["jobTemplate"]["spec"] == manifest.job(workload(folder))["spec"]


def test_airflow(folder: Path) -> None:
    """A DAG's file is Python that starts the same pod, and sets nothing of it otherwise."""
    made = workload(folder, format="airflow", schedule="@daily", namespace="shop")
    text = rendered(made)
    [call] = [
        node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call) and is_operator(node.func)
    ]
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    found = of_dag(text)

    assert found["spec"] == pod.template(made)["spec"]
    assert found["metadata"] == made.metadata()
    assert given["full_pod_spec"] == "PodGenerator.deserialize_model_dict(POD)"
    assert given["base_container_name"] == repr(found["spec"]["containers"][0]["name"])
    assert given["termination_grace_period"] == str(found["spec"]["terminationGracePeriodSeconds"])
    assert given["automount_service_account_token"] == "False"
    assert given["termination_message_policy"] == repr(
        found["spec"]["containers"][0]["terminationMessagePolicy"]
    )
    assert given["retries"] == str(manifest.job(workload(folder))["spec"]["backoffLimit"])
    assert "schedule='@daily'" in text


def is_operator(node: ast.expr) -> bool:
    return ast.unparse(node) == "KubernetesPodOperator"


def test_airflow_deadline(folder: Path) -> None:
    """In a DAG the deadline is the pod's, for there is no Job."""
    text = rendered(workload(folder, format="airflow", deadline="6h"))

    assert of_dag(text)["spec"]["activeDeadlineSeconds"] == 6 * 3600


def test_judge_of_jobs(folder: Path) -> None:
    """The judge that lets all of this pass stops at what is wrong with one."""
    job = manifest.job(workload(folder, pods=3))
    job["spec"]["maxFailedIndexes"] = 4
    pod_of(job)["containers"][0]["volumeMounts"] = [{"name": "x", "mountPath": "/x"}]

    assert list(job_problems(job)) == ["maxFailedIndexes over completions", "x is not there to be mounted"]
