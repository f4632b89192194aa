"""Golden files: what an event becomes, kept beside the tests, so that a change shows up in a diff."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from bridge.errors import EventError
from bridge.events import decode
from bridge.testing.events import encode, samples
from bridge.testing.fitting import Fitting
from bridge.testing.lessons import Breach, check, require

__all__ = ["Golden", "GoldenContract", "updating"]

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

UPDATE = "--update-golden"
DECLINED = "(declined)"


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


class GoldenContract(Fitting):
    """One golden file for each official event type, in `folder` beside the test's file.

    Subclass it as `Test…`, set `sink_type` and `config`, and run `pytest --update-golden` once.
    `changes` are made to every event, as in `make_event`.
    """

    folder: ClassVar[str] = "golden"
    changes: ClassVar[Mapping[str, Any]] = {}

    @check
    @pytest.mark.parametrize("eid", list(samples()))
    def test_an_event_becomes_what_its_golden_file_says(
        self, request: pytest.FixtureRequest, tmp_path: Path, eid: str
    ) -> None:
        """What an event becomes changes only on purpose: its golden file shows it to the reviewer."""
        event = {**samples()[eid], **self.changes}
        try:
            payload = self.make(tmp_path).map(decode(encode(event)))
        except EventError as error:
            payload = f"EventError {error.code}"
        golden = Golden(request.path.parent / self.folder, update=updating(request.config))
        try:
            golden.check(f"{eid}.txt", DECLINED if payload is None else payload)
        except AssertionError as error:
            raise Breach(str(error), f"the mapping as it was, or accept it: pytest {UPDATE}") from None

    @check
    def test_no_golden_file_is_left_over(self, request: pytest.FixtureRequest) -> None:
        """Every golden file belongs to an official event type."""
        folder = request.path.parent / self.folder
        strangers = {path.stem for path in folder.glob("*.txt")} - set(samples())
        require(
            not strangers, f"in {folder}: {', '.join(sorted(strangers))}", "nothing there, or delete them"
        )


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
