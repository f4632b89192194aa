"""The sink keeps the contract, and prints what the golden files say."""

from __future__ import annotations

import io
import sys

import pytest
from bridge_console import ConsoleConfig, ConsoleSink

from bridge import DELIVERED, Batch
from bridge.errors import SetupError
from bridge.events import decode
from bridge.testing import GoldenContract, SinkContract, encode, make_event


class TestConsole(SinkContract):
    """Every check of the contract, with standard output as the destination."""

    sink_type = ConsoleSink
    config = {"colour": True}


class TestConsoleLines(GoldenContract):
    """What each official event becomes: tests/golden/."""

    sink_type = ConsoleSink


def printed(config, *events):
    sink = ConsoleSink(ConsoleConfig(**config))
    events = [decode(encode(event)) for event in events]
    return sink, Batch(sink.map_batch(events), events, "console")


def test_a_batch_is_printed_in_order(capfdbinary):
    sink, batch = printed({}, make_event("START"), make_event("END"))
    assert sink.send(batch) == [DELIVERED, DELIVERED]
    first, second = capfdbinary.readouterr().out.splitlines()
    assert b" START " in first
    assert b" END " in second


def test_an_event_cannot_move_the_cursor():
    _, batch = printed({"colour": True}, make_event("ERROR", {"actor.id": "a\nb\x07c"}))
    assert batch.payloads[0].count(b"\n") == 1
    assert b"a?b?c" in batch.payloads[0]
    _, batch = printed({"colour": True}, make_event("LOG", {"edata.message": "\x1b[2J"}))
    assert b"\x1b" not in batch.payloads[0]


def test_types_are_coloured_where_that_is_wanted():
    _, batch = printed({"colour": True}, make_event("ERROR"))
    assert b" \x1b[31mERROR\x1b[0m " in batch.payloads[0]


def test_a_closed_stream_is_a_set_up_problem(monkeypatch):
    closed = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stderr", closed)
    closed.close()
    sink, batch = printed({"stream": "stderr"}, make_event())
    with pytest.raises(SetupError, match="nobody reads stderr"):
        sink.send(batch)
