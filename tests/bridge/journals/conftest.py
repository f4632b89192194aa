"""A state file and a context for journals."""

from __future__ import annotations

import pytest

from bridge.journals.base import JournalContext
from bridge.state import State


@pytest.fixture
def state(tmp_path):
    with State(tmp_path / "state" / "s.db") as state:
        yield state


@pytest.fixture
def context(state):
    return JournalContext(state, "test", ("a", "b"))


@pytest.fixture
def read_all():
    def read(reader):
        payloads = []
        while (page := reader.read(0)) is not None:
            payloads += page.payloads
            reader.commit({page.stream: page.end})
        return payloads

    return read
