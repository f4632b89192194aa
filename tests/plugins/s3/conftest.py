"""Sinks, batches and owners for the tests of the s3 sink."""

from __future__ import annotations

import gzip
import importlib.util
import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bridge.events import Decoder, Level
from bridge.sinks import Batch, Span
from bridge.testing import ABSENT, encode, make_event
from bridge_s3 import S3Config, S3Sink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.events import Event

NOON = 1_787_313_600_000  # 2026-08-21T12:00:00Z
HOUR = 3_600_000
STREAM = "telemetry[3]"
ENVELOPE = Decoder(Level.ENVELOPE)  # what real devices send, sound or not


@pytest.fixture(scope="module")
def model():
    """The module beside this file: tests are no package, so it is loaded from its path."""
    spec = importlib.util.spec_from_file_location("s3_model", Path(__file__).with_name("model.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules["s3_model"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["s3_model"]


def event_at(position: int, eid: str = "INTERACT", syncts: object = NOON, **changes: object) -> Event:
    """The event at a position of the journal: the same whenever and by whomever it is read."""
    server = {} if syncts is ABSENT else {"syncts": syncts}
    return ENVELOPE.event(encode(make_event(eid, {"mid": f"m-{position}", **server, **changes})))


@pytest.fixture
def event():
    return event_at


def batch_of(
    sink: S3Sink, events: Sequence[Event], start: int, stream: str = STREAM, attempt: int = 1
) -> Batch:
    """What the host hands over: the events packed in runs of 100."""
    packs = []
    for begin in range(0, len(events), 100):
        run = events[begin : begin + 100]
        packs += sink.pack(run, sink.map_batch(run))
    span = Span(stream, start, start + max(1, len(events)), len(events))
    return Batch(packs, (), "archive", attempt, (span,))


@pytest.fixture
def batch():
    return batch_of


@pytest.fixture(scope="session")
def journal():
    """Positions 0 to 999 of one stream; one event a minute, from noon."""
    return [event_at(position, syncts=NOON + position * 60_000) for position in range(1_000)]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "archive"


@pytest.fixture
def owner(folder):
    """Makes sinks, each a process of its own as far as the archive can tell."""
    opened = []

    def make(**settings) -> S3Sink:
        sink = S3Sink(S3Config.model_validate({"url": f"file://{folder}", **settings}))
        opened.append(sink.__enter__())
        return sink

    yield make
    for sink in opened:
        sink.__exit__(None, None, None)


@pytest.fixture
def tree(folder):
    """The archive as {key: bytes}."""

    def read() -> dict[str, bytes]:
        files = (path for path in folder.rglob("*") if path.is_file() and ".staged" not in path.parts)
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    return read


@pytest.fixture
def contents(tree):
    """How often each mid is in the archive."""

    def count() -> Counter[str]:
        bodies = [gzip.decompress(body) for key, body in tree().items() if key.startswith("data/")]
        return Counter(json.loads(line)["mid"] for body in bodies for line in body.splitlines())

    return count


@pytest.fixture
def mids():
    """The mids of a range of positions, each once."""
    return lambda start, end: Counter(f"m-{position}" for position in range(start, end))
