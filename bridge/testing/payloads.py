"""The golden files of a sink: what each official event becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from bridge.errors import EventError
from bridge.events import decode
from bridge.testing.events import encode, samples
from bridge.testing.fitting import Fitting
from bridge.testing.golden import UPDATE, Golden, updating
from bridge.testing.lessons import Breach, check, require

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["GoldenContract"]

DECLINED = "(declined)"


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
