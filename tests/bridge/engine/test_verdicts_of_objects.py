"""An object that the destination had already is a duplicate, not a delivery."""

from __future__ import annotations

import pytest

from bridge.engine.loads import Load
from bridge.engine.progress import Progress
from bridge.engine.verdicts import judge
from bridge.sinks import DELIVERED, DUPLICATE


@pytest.mark.parametrize(
    ("outcomes", "delivered", "duplicates"),
    [
        ([DELIVERED, DELIVERED], 5, 0),
        ([DUPLICATE, DUPLICATE], 0, 5),
        ([DUPLICATE, DELIVERED], 5, 0),
    ],
)
def test_an_object_counts_once_as_what_it_was(outcomes, delivered, duplicates):
    ticket = Progress().issue("log", 0, 5)
    load = Load([], [b"a", b"b"], [], 2, 5, ticket=ticket)
    judgement = judge(load, outcomes)
    assert (judgement.delivered, judgement.duplicates) == (delivered, duplicates)
