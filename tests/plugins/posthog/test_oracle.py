"""PostHog's own package as the oracle: our requests say what its requests say.

Meant differences, and there are no others:
* times are written with milliseconds and `Z`, the package's with microseconds and `+00:00`;
* the agent is ours, not `posthog-python`;
* V1's request id is derived from the events, the package's is random.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import sys
from datetime import datetime
from pathlib import Path

import pytest
import zstandard
from posthog import capture_v1
from posthog.capture_compression import CaptureCompression
from posthog.capture_mode import CaptureMode
from posthog.consumer import Consumer
from posthog.request import EVENTS_ENDPOINT, reset_sessions

from bridge.events import Decoder
from bridge.sinks import DELIVERED, DUPLICATE, Batch, Reject, Retry

KEY = "phc_" + "t" * 43
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def generated():
    """Six hundred generated events of every type."""
    spec = importlib.util.spec_from_file_location("sample_generator", ROOT / "examples" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    lines = list(module.generate(600, 3, 1_767_587_400_000, clean=True))
    return Decoder().batch(lines).events


@pytest.fixture
def closed_sessions():
    """The package's connections belong to the whole process."""
    yield
    reset_sessions()


def _document(request):
    encoding = request.headers.get("content-encoding", "")
    inflate = {"gzip": gzip.decompress, "zstd": zstandard.ZstdDecompressor().decompress, "": bytes}[encoding]
    return json.loads(inflate(request.body))


def _without_times(document):
    """Take the time of sending away, and read the times of events."""
    for key in ("sent_at", "created_at"):
        document.pop(key, None)
    for event in document["batch"]:
        event["timestamp"] = datetime.fromisoformat(event["timestamp"])
    return document


def _consumer(capture, mode, **options):
    return Consumer(None, KEY, host=capture.url, retries=0, capture_mode=CaptureMode(mode), **options)


@pytest.mark.parametrize("properties", ["flat", "raw"])
@pytest.mark.parametrize("historical", [False, True])
@pytest.mark.parametrize("mode", ["v0", "v1"])
def test_our_requests_equal_those_of_the_package(
    mode, historical, properties, capture, make_sink, generated, closed_sessions
):
    options = {"properties": properties, "historical_migration": historical}
    legacy = make_sink(capture_mode="v0", **options)
    events = [json.loads(legacy.map(event)) for event in generated]
    compression = {"gzip": True} if mode == "v0" else {"capture_compression": CaptureCompression.ZSTD}
    _consumer(capture, mode, historical_migration=historical, **compression).request(events)
    with make_sink(host=capture.url, capture_mode=mode, **options) as sink:
        payloads = sink.map_batch(generated)
        assert sink.send(Batch(payloads, generated, "product")) == [DELIVERED] * len(payloads)
    theirs, ours = capture.requests
    assert ours.path == theirs.path
    assert _without_times(_document(ours)) == _without_times(_document(theirs))
    assert {name.lower() for name in theirs.headers} - _transport(theirs) <= set(ours.headers)
    for name in ("content-type", "content-encoding", "authorization", "posthog-attempt"):
        assert ours.headers.get(name) == theirs.headers.get(name)


def _transport(request):
    return {name for name in request.headers if name in {"connection", "accept-encoding", "accept"}}


def test_the_constants_of_the_protocols_are_those_of_the_package():
    from posthog.consumer import BATCH_SIZE_LIMIT, MAX_MSG_SIZE

    from bridge_posthog.sink import PostHogSink
    from bridge_posthog.wire import PATHS, headers

    assert PATHS == {"v0": EVENTS_ENDPOINT, "v1": capture_v1._CAPTURE_V1_PATH}
    assert PostHogSink.limits.max_payload_bytes == MAX_MSG_SIZE
    assert PostHogSink.limits.max_bytes == BATCH_SIZE_LIMIT
    ours = headers("v1", key="k", agent="a/1", encoding="none", uuids=[b"u"], attempt=1, now=0.0)
    assert {
        capture_v1._HEADER_SDK_INFO,
        capture_v1._HEADER_ATTEMPT,
        capture_v1._HEADER_REQUEST_ID,
        capture_v1._HEADER_REQUEST_TIMESTAMP,
    } <= set(ours)


@pytest.mark.parametrize("mode", ["v0", "v1"])
def test_the_package_as_transport_delivers_the_same(
    mode, capture, make_sink, event, batch_of, closed_sessions
):
    events = [event(mid=mid) for mid in ("a", "b", "a")]
    with make_sink(host=capture.url, capture_mode=mode, transport="sdk", group_identify=True) as sink:
        assert sink.send(batch_of(sink, events)) == [DELIVERED, DELIVERED, DUPLICATE]
    through = capture.events
    with make_sink(host=capture.url, capture_mode=mode, group_identify=True) as sink:
        sink.send(batch_of(sink, events))
    assert _without_times({"batch": capture.events[2:]}) == _without_times({"batch": through})


def test_the_package_as_transport_reports_verdicts(capture, make_sink, event, batch_of, closed_sessions):
    answers = {"b": {"result": "drop", "details": "event_too_big"}, "c": {"result": "retry"}}
    capture.overrule = lambda event: answers.get(event["properties"]["mid"])
    with make_sink(host=capture.url, capture_mode="v1", transport="sdk") as sink:
        first, second, third = sink.send(batch_of(sink, [event(mid=mid) for mid in "abc"]))
    assert first is DELIVERED
    assert second == Reject("event_too_big", "PostHog dropped the event: event_too_big")
    assert isinstance(third, Retry)


def test_the_package_as_transport_fails_as_the_other_does(
    capture, make_sink, server_module, event, batch_of, closed_sessions
):
    from bridge.errors import TransientError

    with make_sink(host=capture.url, capture_mode="v1", transport="sdk") as sink:
        batch = batch_of(sink, [event()])
        for fault in (
            server_module.reset_after_acceptance,
            lambda *_: server_module.Reply(200, b"<html>"),
        ):
            capture.faults.append(fault)
            with pytest.raises(TransientError):
                sink.send(batch)
    with make_sink(host=capture.url, capture_mode="v0", transport="sdk") as sink:
        capture.faults.append(lambda *_: server_module.Reply(204, b""))
        assert sink.send(batch_of(sink, [event()])) == [DELIVERED]
