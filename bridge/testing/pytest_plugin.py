"""The kit's pytest plugin, loaded through the entry point group `pytest11`: one option, two fixtures.

It is loaded in every test run of an environment that has the bridge, so it imports nothing until a
fixture is asked for.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.testing.destination import Destination
    from bridge.testing.golden import Golden

__all__ = ["bridge_destination", "bridge_golden", "pytest_addoption"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--update-golden`; another plugin that has it already is asked instead."""
    with contextlib.suppress(ValueError):
        parser.addoption(
            "--update-golden",
            action="store_true",
            default=False,
            help="write the golden files of sunbird-bridge plugins instead of comparing with them",
        )


@pytest.fixture
def bridge_destination() -> Iterator[Destination]:
    """Start a scripted HTTP destination; `bridge_destination.answer` decides what it answers."""
    from bridge.testing.destination import Destination  # noqa: PLC0415 - see above

    with Destination() as destination:
        yield destination


@pytest.fixture
def bridge_golden(request: pytest.FixtureRequest) -> Golden:
    """Compare with files in `golden/` beside the test: `bridge_golden.check("start.json", payload)`."""
    from bridge.testing.golden import Golden, updating  # noqa: PLC0415 - see above

    return Golden(request.path.parent / "golden", update=updating(request.config))
