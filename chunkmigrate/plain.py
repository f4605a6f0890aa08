"""Plain: text from outside, so that it can be shown: on a terminal, or on a page.

Control characters move a cursor, and bidirectional ones turn around what stands beside them; both are shown
as Python spells them. That a text is not taken for markup is the page's business.
"""

from __future__ import annotations

# Lines and columns are what a text may have.
_LAYOUT = "\n\t"


def visible(text: str) -> str:
    r"""Return the text with everything in it that cannot be seen spelled out.

    >>> visible("caf\u00e9"), visible("a\u202eb"), visible("\x1b[31m")
    ('café', 'a\\u202eb', '\\x1b[31m')
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in _LAYOUT else _spelled(one) for one in text)


def in_line(text: str) -> str:
    r"""Return the text in one line.

    >>> in_line("a\n  b\tc")
    'a b c'
    """
    return " ".join(visible(text).split())


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode()
