"""Rules choose events by eid, channel and producer."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bridge.engine import routing
from bridge.engine.routing import Router


def rules(**given):
    exclude = SimpleNamespace(eids=(), channels=(), producers=())
    for name, value in given.pop("exclude", {}).items():
        setattr(exclude, name, value)
    return SimpleNamespace(**{"eids": (), "channels": (), "producers": (), **given}, exclude=exclude)


@pytest.fixture
def events(make_event):
    return [
        make_event(1, eid="ASSESS", channel="state-ka", producer="prod.app"),
        make_event(2, eid="IMPRESSION", channel="state-tn", producer="prod.portal"),
        make_event(3, eid="LOG", channel="test", producer="staging.app"),
    ]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, None),
        ({"eids": ["*"]}, None),
        ({"eids": ["ASSESS"]}, [True, False, False]),
        ({"eids": ["ASS*", "LOG"]}, [True, False, True]),
        ({"channels": ["state-*"]}, [True, True, False]),
        ({"producers": ["*.app"]}, [True, False, True]),
        ({"channels": ["state-*"], "producers": ["*.app"]}, [True, False, False]),
        ({"exclude": {"eids": ["LOG"]}}, [True, True, False]),
        ({"eids": ["*S*"], "exclude": {"channels": ["state-tn"]}}, [True, False, False]),
        ({"eids": ["assess"]}, [False, False, False]),
        ({"channels": ["state-[kt]?"]}, [True, True, False]),
    ],
)
def test_an_event_must_match_every_field_that_has_globs(events, given, wanted):
    assert Router(rules(**given)).select(events) == wanted


def test_verdicts_are_remembered_but_not_without_bound(make_event, monkeypatch):
    monkeypatch.setattr(routing, "MAX_MEMORY", 5)
    router = Router(rules(channels=["c1*"]))
    wanted = router.select([make_event(n, channel=f"c{n}") for n in range(20)])
    assert wanted == [n == 1 or n >= 10 for n in range(20)]
    assert len(router._tests[0][1]) == 5
