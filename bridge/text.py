"""Text from elsewhere made fit for a terminal or a log. Pure."""

from __future__ import annotations

import re

__all__ = ["printable"]

# Controls, line separators, the marks that turn writing direction, and lone surrogates; the
# joiners U+200C and U+200D stay, because Indic scripts need them.
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""The text on one line, with what could move a cursor or forge a line written as `\x1b`."""
    return UNPRINTABLE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "surrogatepass").decode()
