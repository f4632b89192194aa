"""Golden files: what an event becomes, kept beside the tests, so that a change shows up in a diff."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

__all__ = ["UPDATE", "Golden", "updating"]

UPDATE = "--update-golden"


class Golden:
    """A folder of golden files; `update` writes instead of comparing."""

    def __init__(self, folder: Path, *, update: bool = False) -> None:
        self.folder = folder
        self.update = update

    def check(self, name: str, found: Any) -> None:
        """Compare with the file `name`; `AssertionError` says how they differ and how to accept it.

        `found` is text, bytes (JSON is laid out, so that a diff can be read) or anything JSON can hold.
        """
        __tracebackhide__ = True
        text, path = readable(found), self.folder / name
        if self.update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        if not path.is_file():
            raise AssertionError(f"there is no {path}; run pytest {UPDATE}, then read what it wrote")
        known = path.read_text(encoding="utf-8")
        if text != known:
            raise AssertionError(f"{path} differs (pytest {UPDATE} accepts it):\n{_difference(known, text)}")


def updating(config: pytest.Config) -> bool:
    """Whether golden files are to be written; never where the kit's pytest plugin is switched off."""
    return bool(config.getoption(UPDATE, default=False))


def readable(found: Any) -> str:
    """The value as text that ends with a newline, JSON with one key a line."""
    if isinstance(found, bytes):
        found = found.decode("utf-8", "backslashreplace")
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except ValueError:
            return found if found.endswith("\n") else f"{found}\n"
    return json.dumps(found, ensure_ascii=False, indent=2) + "\n"


def _difference(known: str, found: str) -> str:
    import difflib  # noqa: PLC0415 - needed for failures alone

    lines = difflib.unified_diff(known.splitlines(), found.splitlines(), "golden", "now", lineterm="", n=1)
    return "\n".join(lines)
