"""Small real events and pages for the engine's tests."""

from __future__ import annotations

import json

import pytest

from bridge.journals.base import Page
from bridge.validation import Decoder, Level

ANY = Decoder(Level.ENVELOPE)


def raw_event(n, eid="LOG", channel="in.test", producer="test.app", **edata):
    event = {
        "eid": eid,
        "ets": 1_700_000_000_000 + n,
        "ver": "3.0",
        "mid": f"{eid}:{n}",
        "actor": {"id": "u1", "type": "User"},
        "context": {"channel": channel, "env": "home", "pdata": {"id": producer}, "did": "d1"},
        "edata": {"type": "system", "level": "INFO", "message": f"m{n}", **edata},
    }
    return json.dumps(event).encode()


@pytest.fixture
def make_raw():
    return raw_event


@pytest.fixture
def make_event():
    return lambda n, **kw: ANY.event(raw_event(n, **kw))


@pytest.fixture
def make_page():
    def page(first, count, stream="s"):
        """Records at positions first, first + 10, …: positions have gaps."""
        payloads = [raw_event(first + i) for i in range(count)]
        afters = [first + 10 * (i + 1) for i in range(count)]
        return Page(stream, first, afters[-1] if afters else first, payloads, sum(map(len, payloads)), afters)

    return page
