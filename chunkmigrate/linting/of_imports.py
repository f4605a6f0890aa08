"""Rules of imports: what a module does when it is imported, which is before anybody asked for it.

A dry run, a profile, a test and each attempt of a pod import it; what it found then is old once the run
begins.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from chunkmigrate.linting.findings import Finding
from chunkmigrate.linting.scopes import FUNCTIONS, own
from chunkmigrate.linting.values import dotted, function_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkmigrate.linting.scopes import Function
    from chunkmigrate.linting.source import Source

_VERBS = "delete get head options patch post put request stream"
_CALLS = {
    "asks the network": {
        "http.client": "HTTPConnection HTTPSConnection",
        "httpx": _VERBS,
        "requests": _VERBS,
        "smtplib": "SMTP SMTP_SSL",
        "socket": "create_connection getaddrinfo gethostbyname socket",
        "urllib.request": "urlopen urlretrieve",
        "urllib3": "request",
    },
    "connects to a server": {
        "boto3": "client resource",
        "mongoengine": "connect",
        "motor.motor_asyncio": "AsyncIOMotorClient",
        "psycopg": "connect",
        "psycopg2": "connect",
        "pymongo": "AsyncMongoClient MongoClient",
        "pymongo.mongo_client": "MongoClient",
        "redis": "Redis from_url",
    },
    "starts a process": {
        "os": "popen system",
        "subprocess": "Popen call check_call check_output getoutput run",
    },
    "reads the clock": {
        "datetime.date": "today",
        "datetime.datetime": "now today utcnow",
        "django.utils.timezone": "now",
        "time": "gmtime localtime time time_ns",
    },
    "sleeps": {"time": "sleep"},
    "opens a file": {"builtins": "open", "io": "open"},
}
_DOES = {
    f"{module}.{name}".removeprefix("builtins."): does
    for does, modules in _CALLS.items()
    for module, names in modules.items()
    for name in names.split()
}


def at_import(source: Source) -> Iterator[Finding]:
    """CM105: the network, a process, a file or the clock at import."""
    for node, name in sorted(_called(source), key=lambda pair: (pair[0].lineno, pair[0].col_offset)):
        if name in _DOES and not (_DOES[name] == "opens a file" and _is_beside(node)):
            what = f"{name}() {_DOES[name]} when the file is imported: also for a dry run, and in each pod"
            yield Finding(source.path, node.lineno, "CM105", f"{what}. Do that in upgrade(db).")


def _called(source: Source) -> Iterator[tuple[ast.Call, str]]:
    """Yield the calls that importing the file does, and the full names of what is called."""
    functions: list[ast.Module | Function] = [source.tree]
    for caller in functions:
        scope, left_out = source.scopes[caller], _not_imported(caller)
        for node in own(caller):
            if not isinstance(node, ast.Call) or node in left_out:
                continue
            yield node, dotted(node.func, scope)
            found = function_of(node.func, scope) if isinstance(node.func, ast.Name) else None
            if found and found[0] not in functions:
                functions.append(found[0])


def _not_imported(tree: ast.AST) -> set[ast.AST]:
    """Return what is there for a program or for types only: ``if __name__ == "__main__"``."""
    if isinstance(tree, FUNCTIONS):
        return set()
    tests = [node for node in own(tree) if isinstance(node, ast.If) and _NOT_IMPORTED & _names(node.test)]
    return {inner for node in tests for statement in node.body for inner in ast.walk(statement)}


_NOT_IMPORTED = {"__name__", "TYPE_CHECKING"}


def _names(node: ast.AST) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}


def _is_beside(call: ast.Call) -> bool:
    """Whether a file is opened that comes with the module: a path made of ``__file__``."""
    return "__file__" in _names(call)
