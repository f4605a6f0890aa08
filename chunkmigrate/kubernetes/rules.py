"""Rules: what a Kubernetes API server takes for a name, a label or a quantity, and a kubelet for an image.

Each function raises `InvalidSettingError`, with what may be written instead, for a text that may not be used.
Whose text it is, the caller says. What no manifest may hold is ruled here, too: a secret.
"""

from __future__ import annotations

import re
from decimal import Decimal

from chunkmigrate.errors import InvalidSettingError

MOST_LABEL = 63
MOST_SUBDOMAIN = 253

_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_LABEL.pattern}(?:\.{_LABEL.pattern})*")
_WORD = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?")
_KEY = re.compile(r"(?!\.\.)[-._A-Za-z0-9]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CPU = re.compile(r"[0-9]{1,6}m|[0-9]{1,4}(?:\.[0-9]{1,3})?")

_HOST = r"[A-Za-z0-9](?:[-A-Za-z0-9]*[A-Za-z0-9])?"
_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:{_HOST}(?:\.{_HOST})*(?::[0-9]{{1,5}})?/)?{_PART}(?:/{_PART})*"
    r"(?P<tag>:[A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?(?P<digest>@sha256:[0-9a-f]{64})?"
)
# How a chart's author writes a value of the chart.
_HELM_VALUE = re.compile(r"\{\{ ?\.Values(?:\.[A-Za-z_][A-Za-z0-9_]*)+ ?\}\}")

# A name and a password before a host, whatever it is a host of; a token in their place, or behind a question
# mark; and the keys that name themselves.
_SECRET = re.compile(
    r"://[^\s/@:]{0,999}:[^\s@]{0,999}@|https?://[^\s/?#@]{1,999}@|-----BEGIN [A-Z ]{0,30}PRIVATE KEY"
    r"|[?&](?:(?:access|auth)_?)?(?:token|sig|signature|password|secret|api_?key)=",
    re.IGNORECASE,
)
# Also without a password: the next person to edit it puts one in.
_SERVER = re.compile(r"mongodb(?:\+srv)?://", re.IGNORECASE)
# What people call them. A webhook's address is as good as a password, and one of our own variables holds one.
_SECRET_NAME = re.compile(
    r"(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIALS?|WEBHOOK(?:_?UR[LI])?|CONNECTION_?STRING"
    r"|(?:API|ACCESS|PRIVATE|SECRET|SIGNING|ENCRYPTION)_?KEY|SECRET_KEY_BASE|_(?:PASS|PWD|PAT|DSN|CREDS)"
    r"|CHUNKMIGRATE_NOTIFY)$",
    re.IGNORECASE,
)

_WORDS = (
    f"letters, digits, dashes, underscores and dots, at most {MOST_LABEL}, a letter or digit at both ends"
)


def label(text: str) -> None:
    """Rule on the name of a namespace, which becomes part of hosts' names."""
    if not _LABEL.fullmatch(text) or len(text) > MOST_LABEL:
        raise _refused(text, "a name", f"lower-case letters, digits and dashes, at most {MOST_LABEL}")


def subdomain(text: str) -> None:
    """Rule on the name of an object: a Secret, a ServiceAccount."""
    if not _SUBDOMAIN.fullmatch(text) or len(text) > MOST_SUBDOMAIN:
        instead = f"lower-case letters, digits, dashes and dots, at most {MOST_SUBDOMAIN}"
        raise _refused(text, "an object's name", instead)


def label_value(text: str) -> None:
    """Rule on the value of a label, which may be empty."""
    if text and (not _WORD.fullmatch(text) or len(text) > MOST_LABEL):
        raise _refused(text, "a label's value", _WORDS)


def qualified(text: str) -> None:
    """Rule on the name of a label or an annotation: a word, maybe behind a domain and a slash."""
    domain, slash, word = text.rpartition("/")
    if not _WORD.fullmatch(word) or len(word) > MOST_LABEL:
        raise _refused(text, "a label's name", _WORDS)
    if slash:
        subdomain(domain)


def data_key(text: str) -> None:
    """Rule on a key of a Secret or a ConfigMap."""
    if not _KEY.fullmatch(text) or len(text) > MOST_SUBDOMAIN or text == ".":
        raise _refused(
            text, "a key", f"letters, digits, dashes, dots and underscores, at most {MOST_SUBDOMAIN}"
        )


def variable(text: str) -> None:
    """Rule on the name of an environment variable.

    Kubernetes takes nearly anything. What no shell can name is a slip of the keyboard.
    """
    if not _VARIABLE.fullmatch(text):
        raise _refused(text, "a variable's name", "letters, digits and underscores, no digit first")


def cpu(text: str) -> None:
    """Rule on an amount of CPU, in cores or thousandths of one."""
    if not _CPU.fullmatch(text) or not Decimal(text.removesuffix("m")):
        raise _refused(text, "an amount of CPU", "cores such as 1 or 0.5, or thousandths such as 500m")


def image(text: str) -> None:
    """Rule on a reference of an image."""
    if not _IMAGE.fullmatch(text):
        raise _refused(text, "an image", "HOST/NAME:TAG or HOST/NAME@sha256:DIGEST")


def is_settled(text: str) -> bool:
    """Say whether a reference means the same image tomorrow, as far as whoever writes it can see to that."""
    match = _IMAGE.fullmatch(text)
    return match is None or bool(match["digest"]) or match["tag"] not in (None, ":latest")


def is_helm_value(text: str) -> bool:
    """Say whether it is a value of a chart, as its templates name it: ``{{ .Values.image }}``."""
    return bool(_HELM_VALUE.fullmatch(text))


def plain(text: str) -> None:
    """Rule on a text that stands in the manifest, for all to read."""
    if "\0" in text or text != text.encode("utf-8", "replace").decode():
        raise InvalidSettingError("it holds a character that no manifest can hold")
    if _SERVER.search(text):
        raise InvalidSettingError(
            "a server's address, maybe with its password, belongs into a Secret: many may read a manifest"
        )
    if has_secret(text):
        raise InvalidSettingError(
            "a password, a token or a key, as in it, belongs into a Secret: many may read a manifest"
        )


def has_secret(text: str) -> bool:
    """Say whether there is a password, a token or a private key in a text, by the looks of it."""
    return bool(_SECRET.search(text))


def is_secret(name: str) -> bool:
    """Say whether a variable of this name holds a secret, by what people call them."""
    return bool(_SECRET_NAME.search(name))


def _refused(text: str, what: str, instead: str) -> InvalidSettingError:
    shown = text if len(text) <= MOST_LABEL else f"{text[:MOST_LABEL]}..."
    return InvalidSettingError(f"{shown!r} is not {what}; write {instead}")
