"""Real Sunbird events, and somebody else's idea of what they should become."""

from __future__ import annotations

import json

import pytest

from bridge.events import Decoder, Level

HEADERS = {
    "authorization": "Bearer phc_x",
    "content-type": "application/json",
    "user-agent": "test/1",
    "posthog-sdk-info": "test/1",
    "posthog-attempt": "1",
    "posthog-request-id": "0190a1b2-0000-7000-8000-00000000000a",
    "posthog-request-timestamp": "2026-11-20T10:00:01Z",
}
# Meant differences of this mapping from the examples:
# ids: a version 8 uuid of the event's identity, and sessions hashed in our own way;
IDS = {"$session_id", "timestamp", "client_timestamp", "started_at", "ended_at"}
# measurements of the device have other names, and INTERRUPT's type is not repeated in upper case;
RENAMED = {"device_scrn": "device_screen"}
# a rule for a browser's system keeps it besides `$os`; fingerprints are ours; every number is a float;
# what an example leaves out as zero, or flattens differently, is listed with the event.
OTHER = {
    "hostile-edata": {"edata_extra_deep_a", "edata_extra_s", "edata_extra_nan"},
    "error": {"$exception_fingerprint"},
    "summary": {"started_at", "ended_at"},
}


def _lines(path):
    return path.read_text(encoding="utf-8").splitlines()


def test_examples_agree_where_no_difference_is_meant(shared, make_sink):
    sink = make_sink(capture_mode="v0")
    decoder = Decoder(Level.ENVELOPE)
    wrong = []
    for example in map(json.loads, _lines(shared / "posthog" / "mapping_examples.jsonl")):
        try:
            raw = json.dumps(example["sunbird"], allow_nan=False).encode()
        except ValueError:  # NaN, which no decoder of ours lets in
            example["sunbird"]["edata"]["extra"].pop("nan")
            raw = json.dumps(example["sunbird"]).replace("\\ud83d\\u0000", "?\\u0000").encode()
        found, expected = json.loads(sink.map(decoder.event(raw))), example["posthog"]
        differing = {key for key in ("event", "distinct_id") if found[key] != expected[key]}
        if found["timestamp"][:19] != expected["timestamp"][:19]:
            differing.add("timestamp")
        skipped = IDS | OTHER.get(example["id"], set())
        for name, value in expected["properties"].items():
            ours = RENAMED.get(name, name)
            if name not in skipped and found["properties"].get(ours) != value:
                differing.add(name)
        if differing:
            wrong.append((example["id"], sorted(differing)))
    assert wrong == []


@pytest.mark.parametrize("mode", ["v0", "v1"])
@pytest.mark.parametrize("properties", ["flat", "raw"])
def test_every_real_event_is_taken_by_capture(mode, properties, shared, make_sink, rules):
    from bridge_posthog.wire import body, pack

    lines = [
        line.encode()
        for folder in ("v3", "js-sdk-0.0.21")
        for path in sorted((shared / "sunbird" / "samples" / folder).glob("*.jsonl"))
        for line in _lines(path)
    ]
    events = Decoder(Level.ENVELOPE).batch(lines).events
    assert len(events) >= 800
    sink = make_sink(capture_mode=mode, properties=properties, group_identify=True)
    parcel = pack(sink.map_batch(events))
    sent = b"".join(body(mode, parcel.events, "phc_x", 1_767_700_000.0, historical=False))
    taken = rules.judge_v0(sent) if mode == "v0" else rules.judge_v1(sent, HEADERS)
    assert len(taken.events) == len(parcel.events)
    assert {verdict["result"] for verdict in taken.verdicts.values()} <= {"ok"}
