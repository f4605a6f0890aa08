"""The command `chunkmigrate lint`: which files it looks at, what it prints, and its exit codes."""

from __future__ import annotations

import ast
import json
import random
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pytest

from chunkmigrate import cli, scaffolding
from chunkmigrate.linting.checking import File, check
from chunkmigrate.linting.findings import RULES
from tests.unit.test_lint_docs import EXAMPLES
from tests.unit.test_lint_rules import FOUND, HEADER, LEFT_ALONE

if TYPE_CHECKING:
    from collections.abc import Iterator

GOOD = '"""Index."""\n\n\ndef upgrade(db):\n    db.a.create_index("x")\n\n\ndef downgrade(db):\n    pass\n'
BAD = GOOD.replace('db.a.create_index("x")', 'db.a.update_many({}, {"$inc": {"n": 1}})')


class Done(NamedTuple):
    code: int
    out: str
    err: str


class Lint(Protocol):
    def __call__(self, *arguments: str) -> Done: ...


@pytest.fixture
def lint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lint:
    """The command line in a project that has a folder of migrations, and no server."""
    (tmp_path / "migrations").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MONGODB_URI", raising=False)

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["chunkmigrate", "lint", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return run


def write(**sources: str) -> None:
    for name, source in sources.items():
        Path("migrations", f"{name}.py").write_text(source, "utf-8")


def git(*arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], check=True, capture_output=True)


def test_clean(lint: Lint) -> None:
    """Where nothing is found, nothing is printed but a line on stderr, and the exit code is 0."""
    write(m1=GOOD, m2=GOOD, _helpers="x = 1")

    assert lint() == (0, "", "Nothing found in 2 files.\n")


def test_tests(lint: Lint) -> None:
    """Tests beside migrations are passed over, as by a run; what has an ``upgrade`` is none."""
    write(m1=GOOD, test_m1="x = 1", m1_test="x = 1", conftest="x = 1", test_2=GOOD)

    assert lint() == (0, "", "Nothing found in 2 files.\n")


def test_found(lint: Lint) -> None:
    """A finding is a line with file, line, code and sentence; the exit code is 1."""
    write(m1=GOOD, m2=BAD)
    code, out, err = lint()

    assert code == 1
    assert out.startswith("migrations/m2.py:5: CM201 changes n again each time it is done")
    assert out.count("\n") == 1
    assert err == "1 finding, in 1 of 2 files.\n"


def test_json(lint: Lint) -> None:
    """With `--json` a finding is an object a line."""
    write(m1=BAD, m2="")
    found = [json.loads(line) for line in lint("--json").out.splitlines()]

    assert [sorted(row) for row in found] == [["code", "line", "message", "path"]] * 3
    assert [(row["path"], row["line"], row["code"]) for row in found] == [
        ("migrations/m1.py", 5, "CM201"),
        ("migrations/m2.py", 1, "CM101"),
        ("migrations/m2.py", 1, "CM104"),
    ]


def test_syntax_error(lint: Lint) -> None:
    """A file that cannot be parsed is a finding, and the others are looked at nevertheless."""
    write(m1="def upgrade(db:", m2=BAD)

    assert [line.split()[1] for line in lint().out.splitlines()] == ["CM001", "CM201"]


@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        (["m1_prices"], ["m1_prices"]),
        (["prices"], ["m1_prices"]),
        (["migrations/m2_names.py", "prices"], ["m1_prices", "m2_names"]),
        (["migrations"], ["m1_prices", "m2_names"]),
        (["--dir", "migrations"], ["m1_prices", "m2_names"]),
        (["prices", "migrations/m1_prices.py"], ["m1_prices"]),
    ],
)
def test_which(lint: Lint, arguments: list[str], files: list[str]) -> None:
    """Migrations, files and folders may be named; each file is looked at once."""
    write(m1_prices=BAD, m2_names=BAD)
    out = lint(*arguments).out

    assert [Path(line.partition(":")[0]).stem for line in out.splitlines()] == files


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--select", "CM9"], "--select: no rule is called 'CM9'. There are CM001, CM002, "),
        (["--ignore", "CM101,,"], "--ignore: no rule is called ''."),
        (["nope"], "There is no migration nope. There is m1."),
        (["--dir", "elsewhere"], "There is no folder elsewhere with migrations."),
        (["--since", "HEAD"], "--since asks git what has changed in "),
        (
            ["--uri", "mongodb://127.0.0.1:1/x?serverSelectionTimeoutMS=10"],
            "To lint without a server, name none, or leave its rules out with --ignore CM4.",
        ),
        (["--uri", "mongodb://h"], "No database is named"),
    ],
)
def test_misuse(lint: Lint, arguments: list[str], sentence: str) -> None:
    """What cannot be done as asked gets a sentence, and exit code 2."""
    write(m1=GOOD)
    code, out, err = lint(*arguments)

    assert (code, out) == (2, "")
    assert sentence in err


def test_select(lint: Lint) -> None:
    """Only the rules that are selected and not ignored are looked at; a server is asked only for its own."""
    write(m1=BAD, m2="")

    assert lint("--select", "CM1", "--ignore", "CM104").out.count("CM101") == 1
    assert lint("--select", "CM4").code == 0
    assert lint("--ignore", "CM4", "--uri", "mongodb://127.0.0.1:1/x").err == "3 findings, in 2 of 2 files.\n"


def test_new(lint: Lint, tmp_path: Path) -> None:
    """In what `chunkmigrate new` writes nothing is found."""
    from datetime import UTC, datetime

    scaffolding.write(tmp_path / "migrations", "prices", datetime(2026, 1, 5, tzinfo=UTC))

    assert lint().err == "Nothing found in 1 file.\n"


@pytest.fixture
def repository(lint: Lint) -> Lint:
    """A repository of git with two migrations and a tag."""
    write(m1=BAD, m2=BAD)
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "one")
    git("tag", "before")
    return lint


def test_since(repository: Lint) -> None:
    """With `--since` only files are looked at that have changed since then, or that git does not know."""
    write(m2=BAD + "\n", m3=BAD)
    Path("migrations", "m1.py").unlink()
    git("add", "migrations/m2.py")
    git("commit", "--quiet", "--message", "two")

    assert [line[:16] for line in repository("--since", "before").out.splitlines()] == [
        "migrations/m2.py",
        "migrations/m3.py",
    ]
    assert [line[:16] for line in repository("--since", "HEAD").out.splitlines()] == ["migrations/m3.py"]
    assert repository("m2", "--since", "HEAD").err == "Nothing found in 0 files.\n"


@pytest.mark.parametrize("revision", ["nope", "--output=x", "HEAD:migrations", "; touch x", ""])
def test_no_revision(repository: Lint, revision: str) -> None:
    """What git knows no revision by gets a sentence and exit code 2, and is never an option or a command."""
    code, _, err = repository(f"--since={revision}")

    assert code == 2
    assert f"--since {revision}: git knows no such revision" in err
    assert not Path("x").exists()


def test_no_git(repository: Lint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without git, `--since` says so."""
    monkeypatch.setenv("PATH", "/nonexistent")

    assert repository("--since", "HEAD")[0::2] == (
        2,
        "Error: --since asks git what has changed, and there is no git on PATH.\n",
    )


STAMPED = {
    "twins": ({"20260105090000_a": "", "20260105090000_b": ""}, ["20260105090000_b"]),
    "three": ({"007_a": "", "007_b": "", "7_c": "", "007-d": ""}, ["007_a", "007_b"]),
    "different": ({"20260105090000_a": "", "20260105090001_b": ""}, []),
    "dates": ({"20260105_a": "", "20260105_b": ""}, []),
    "no timestamp": ({"a": "", "b": "", "1a": "", "1b": ""}, []),
    "in order": ({"20260105090000_a": "", "20260105090000_b": "dependencies = ['20260105090000_a']"}, []),
}


@pytest.mark.parametrize("name", STAMPED)
def test_timestamps(lint: Lint, name: str) -> None:
    """Of two files with one timestamp the later one is told, unless it says that it follows the other."""
    sources, expected = STAMPED[name]
    write(**sources)

    found = lint("--select", "CM103").out.splitlines()
    assert [Path(line.partition(":")[0]).stem for line in found] == expected


def test_timestamp_of_what_is_looked_at(lint: Lint) -> None:
    """Where only the earlier of the two is looked at, it is told."""
    write(**{"20260105090000_a": "", "20260105090000_b": ""})
    out = lint("_a", "--select", "CM103").out

    assert out.startswith(
        "migrations/20260105090000_a.py:1: CM103 has the timestamp of 20260105090000_b.py, "
    )


def expressions(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.expr]]:
    """Every place in a tree at which an expression stands: its parent, the field, and the place in a list."""
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            for place, inner in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if isinstance(inner, ast.expr) and isinstance(getattr(inner, "ctx", ast.Load()), ast.Load):
                    yield parent, field, place, inner


SOURCES = [source for _, source in FOUND + LEFT_ALONE] + [
    source for code, sources in EXAMPLES.items() if code != "CM001" for source in sources
]
TREES = [tree for tree in map(ast.parse, SOURCES) if any(expressions(tree))]


@pytest.mark.parametrize(
    "line",
    ["a{} = [a{}, a{}, a{}]", "a{} = {{'$set': {{'x': a{}, 'y': a{}, 'z': a{}}}}}", "a{} = a{} + a{} + a{}"],
)
def test_names_of_names(line: str) -> None:
    """Names that stand for names many times over are not followed to their end."""
    names = [line.format(number, *[number + 1] * 3) for number in range(30)]
    acts = "def upgrade(db):\n    db.c.update_many({}, a0)\n    db.c.update_many({}, {'$set': {'x': a0}})\n"
    source = "\n".join(["import uuid", *names, "a30 = uuid.uuid4()", "b = c", "c = b", acts])

    assert check(File(Path("m.py"), source.encode()), frozenset({"CM301"})) == []


@pytest.mark.parametrize("seed", range(20))
def test_any_python(seed: int) -> None:
    """Whatever expressions stand wherever they may, lint comes to its end without raising."""
    chance = random.Random(seed)
    for _ in range(25):
        tree, other = deepcopy(chance.choice(TREES)), chance.choice(TREES)
        spare = [inner for *_, inner in expressions(other)]
        for _ in range(chance.randint(1, 5)):
            parent, field, place, _ = chance.choice(list(expressions(tree)))
            inner = deepcopy(chance.choice(spare))  # a tree that holds itself has no end
            if place is None:
                setattr(parent, field, inner)
            else:
                getattr(parent, field)[place] = inner
        try:
            source = f"{ast.unparse(tree)}\n{HEADER}"
            compile(source, "m.py", "exec")
        except (SyntaxError, ValueError, RecursionError):
            continue  # that was no Python

        found = check(File(Path("m.py"), source.encode()), frozenset(RULES))
        assert {finding.code for finding in found} <= set(RULES) - {"CM001"}, source
