"""Plain: text from outside, so that it can be shown: on a terminal, or on a page.

Control characters move a cursor, and bidirectional ones turn around what stands beside them; both are shown
as Python spells them. That a text is not taken for markup is the page's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# More names than so many nobody reads in a sentence.
_LISTED = 8

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


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence has them: the first few, and how many more there are.

    >>> listed("abcdefghij")
    'a, b, c, d, e, f, g, h and 2 more'
    """
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(map(in_line, names[:_LISTED])) + more


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode()
