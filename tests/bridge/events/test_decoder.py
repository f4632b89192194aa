from __future__ import annotations

import json
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import EventError
from bridge.events import decode
from bridge.testing import encode, make_event, samples
from bridge.validation import Decoder, Invalid, Level

pytestmark = pytest.mark.usefixtures("each_reader")

GOOD = [encode(event) for event in samples().values()]
BAD = encode(make_event("INTERACT", {"edata.id": 7}, mid="m-bad"))
BROKEN = GOOD[0][:-1]
NULLED = encode(
    make_event("INTERACT", {"object.rollup": {"l1": None}})
)  # valid, but not for the typed reading


def batch_of(*events):
    return b'{"id":"x","ver":"3.0","events":[' + b",".join(events) + b"]}"


def test_one_event_a_payload_all_valid_has_no_origins():
    decoded = Decoder("strict").batch(GOOD)
    assert [event.raw for event in decoded.events] == GOOD
    assert (decoded.origins, decoded.invalid, decoded.count) == (None, [], len(GOOD))


def test_a_valid_event_that_only_the_exact_reading_takes_changes_nothing():
    decoded = Decoder("strict").batch([GOOD[0], NULLED, GOOD[1]])
    assert decoded.origins is None
    assert [event.raw for event in decoded.events] == [GOOD[0], NULLED, GOOD[1]]


@pytest.mark.parametrize("level", [*Level])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_of_an_event_on_several_lines_every_part_is_on_one(level, newline):
    pretty = [json.dumps(json.loads(raw), indent=2).replace("\n", newline).encode() for raw in GOOD]
    decoded = Decoder(level).batch([GOOD[0], *pretty])
    assert (decoded.origins, decoded.invalid) == (None, [])
    for event, raw in zip(decoded.events[1:], GOOD, strict=True):
        assert not set(b"\r\n") & {*event.raw, *bytes(event.edata_text)}
        assert json.loads(event.raw) == json.loads(raw)
        assert json.loads(bytes(event.edata_text)) == event.edata


def test_an_event_on_several_lines_is_refused_for_its_parts_too():
    pretty = json.dumps(json.loads(BAD), indent=2).encode()
    decoded = Decoder("strict").batch([GOOD[0], pretty, GOOD[1]])
    assert decoded.origins == [0, 2]
    assert [(refused.index, refused.path) for refused in decoded.invalid] == [(1, "$.edata.id")]


@pytest.mark.parametrize("level", [*Level])
def test_events_of_one_session_share_what_is_said_of_it(level):
    first, second = (
        Decoder(level)
        .batch([encode(make_event("INTERACT", {"object.id": "do_1"}, mid=mid)) for mid in ("m-1", "m-2")])
        .events
    )
    assert first.actor is second.actor
    assert first.context is second.context
    assert first.object is second.object
    assert (first.mid, second.mid) == ("m-1", "m-2")


@pytest.mark.parametrize("level", [*Level])
def test_what_differs_between_neighbours_stays_each_ones_own(level):
    changes = [
        {},
        {"actor.id": "another"},
        {"context.did": "another"},
        {"object.id": "another"},
        {"object": None},
        {"actor.id": "another", "object": None},
        {},
    ]
    raws = [encode(make_event("INTERACT", change)) for change in changes]
    decoder = Decoder(level)
    for _ in range(2):  # the second time from memory
        events = decoder.batch(raws).events
        assert [event.raw for event in events] == raws
        for event, raw in zip(events, raws, strict=True):
            alone = Decoder(level).event(raw)
            assert (event.actor, event.context, event.object) == (alone.actor, alone.context, alone.object)
            assert (event.object is None) == (json.loads(raw).get("object") is None)


@pytest.mark.parametrize("level", [*Level])
@pytest.mark.parametrize("part", ["actor", "context", "object"])
def test_a_part_that_is_refused_is_refused_every_time(level, part):
    bad = encode(make_event("INTERACT", {part: 7}))
    alone = len(Decoder(level).batch([bad]).invalid)
    decoded = Decoder(level).batch([GOOD[0], bad, bad, GOOD[1], bad])
    assert [(refused.index, refused.path) for refused in decoded.invalid] == [
        (index, f"$.{part}") for index in (1, 2, 4) if alone
    ]
    assert alone or level is Level.ENVELOPE


def test_more_sessions_than_are_remembered_are_all_read():
    raws = [encode(make_event("INTERACT", {"actor.id": f"user-{number}"})) for number in range(1_500)]
    decoder = Decoder("strict")
    for _ in range(2):
        assert [event.actor.id for event in decoder.batch(raws).events] == [
            f"user-{number}" for number in range(1_500)
        ]


def test_an_empty_batch_is_empty():
    decoded = Decoder().batch([])
    assert (decoded.events, decoded.origins, decoded.invalid, decoded.count) == ([], None, [], 0)


@pytest.mark.parametrize("place", [0, 3, 6])
@pytest.mark.parametrize("bad", [BAD, BROKEN, b"\xff", b"", encode(make_event("SCAN"))])
def test_a_refused_payload_leaves_its_neighbours_alone(place, bad):
    payloads = GOOD[:6]
    payloads.insert(place, bad)
    decoded = Decoder("strict").batch(payloads)
    assert [event.raw for event in decoded.events] == GOOD[:6]
    assert decoded.origins == [index for index in range(7) if index != place]
    assert [(refused.index, refused.raw) for refused in decoded.invalid] == [(place, bad)]
    assert decoded.count == 7


def test_a_refusal_carries_all_that_a_dead_letter_needs():
    (refused,) = Decoder().batch([BAD]).invalid
    reason = "write a string, not a number"
    assert refused == Invalid(0, BAD, "wrong_type", "$.edata.id", reason, "INTERACT", "m-bad")


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        (b'{"eid":"LOG","mid":7}', ("LOG", None)),
        (b'{"eid":["LOG"],"mid":"m"}', (None, "m")),
        (b'{"eid":"LOG","mid":"m"', (None, None)),
        (b"[]7", (None, None)),
        (b"7", (None, None)),
    ],
)
def test_a_refusal_names_eid_and_mid_where_they_can_be_read(raw, names):
    (refused,) = Decoder().batch([raw]).invalid
    assert (refused.eid, refused.mid) == names


def test_payloads_of_many_events_tell_where_each_event_came_from():
    array = b"[" + GOOD[4] + b"]"
    payloads = [GOOD[0], batch_of(GOOD[1], BAD, GOOD[2]), batch_of(), GOOD[3] + b"\n" + BROKEN, array]
    decoded = Decoder("strict").batch(payloads)
    assert [event.raw for event in decoded.events] == GOOD[:5]
    assert decoded.origins == [0, 1, 1, 3, 4]
    assert [(refused.index, refused.raw) for refused in decoded.invalid] == [(1, BAD), (3, BROKEN)]


def test_as_many_events_as_payloads_does_not_mean_one_each():
    decoded = Decoder("strict").batch([batch_of(GOOD[0], GOOD[1]), batch_of()])
    assert decoded.origins == [0, 0]


def test_a_batch_inside_a_batch_is_no_event():
    decoded = Decoder("envelope").batch([batch_of(batch_of(GOOD[0]))])
    assert [(refused.code, refused.path) for refused in decoded.invalid] == [("missing_key", "$.eid")]


def test_a_payload_that_cannot_be_split_is_refused_whole():
    payload = batch_of(GOOD[0], b"{")
    (refused,) = Decoder().batch([payload]).invalid
    assert (refused.code, refused.raw) == ("invalid_json", payload)


def test_the_size_limit_is_for_each_event_and_not_for_the_payload():
    decoder = Decoder("strict", max_event_bytes=max(map(len, GOOD)))
    assert decoder.batch([batch_of(*GOOD)]).count == len(GOOD)
    assert not decoder.batch([batch_of(*GOOD)]).invalid


@pytest.mark.parametrize("raw", [*GOOD, NULLED])
def test_event_and_batch_accept_the_same(raw):
    decoder = Decoder("strict")
    assert decoder.event(raw).raw == decoder.batch([raw]).events[0].raw == raw


@pytest.mark.parametrize("raw", [BAD, BROKEN, b"", b"7", b"\xff"])
def test_event_and_batch_refuse_for_the_same_reason(raw):
    decoder = Decoder("strict")
    (refused,) = decoder.batch([raw]).invalid
    with pytest.raises(EventError) as caught:
        decoder.event(raw)
    assert caught.value.code == refused.code
    assert caught.value.path == refused.path


def test_decode_reads_one_event_at_the_lenient_level():
    assert decode(encode(make_event("SCAN"))).eid == "SCAN"
    with pytest.raises(EventError) as caught:
        decode(BAD)
    assert str(caught.value) == "$.edata.id: write a string, not a number"
    with pytest.raises(EventError):
        decode(batch_of(GOOD[0]))


def test_both_readings_offer_the_same_values(both, real_events):
    for real in real_events:
        for level in Level:
            readings = both[level](real.line)
            assert readings.typed is None or readings.typed == readings.exact, real.place


PAYLOADS = st.sampled_from(
    [*GOOD[:3], NULLED, BAD, BROKEN, batch_of(), batch_of(GOOD[3], BAD), b"7", b"\xff"]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(PAYLOADS, max_size=12))
def test_a_batch_is_the_sum_of_its_payloads(payloads):
    decoder = Decoder("strict")
    decoded = decoder.batch(payloads)
    alone = [decoder.batch([payload]) for payload in payloads]
    assert [event.raw for event in decoded.events] == [event.raw for one in alone for event in one.events]
    assert [(refused.index, refused.code) for refused in decoded.invalid] == [
        (index, refused.code) for index, one in enumerate(alone) for refused in one.invalid
    ]
    origins = decoded.origins if decoded.origins is not None else list(range(len(payloads)))
    assert origins == [index for index, one in enumerate(alone) for _ in one.events]


def test_a_decoder_may_be_shared_between_threads():
    decoder, found = Decoder("strict"), []
    payloads = [*GOOD, BAD] * 50

    def work():
        decoded = decoder.batch(payloads)
        found.append((len(decoded.events), len(decoded.invalid)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(len(GOOD) * 50, 50)] * 4


def test_an_event_is_read_lazily_and_as_sent():
    event = decode(encode(make_event("ASSESS", {"edata.item.title": None, "edata.score": 0.5})))
    assert event.edata["item"]["title"] is None
    assert event.edata is event.edata
    assert event.document == json.loads(event.raw)
    assert event.document is not event.document


def test_the_head_of_an_event_is_typed():
    sent = make_event("START", {"context.cdata": [{"type": "a", "id": "b"}]}, tags=["t"], syncts=7)
    event = decode(encode({**sent, "@timestamp": "now"}))
    assert (event.eid, event.ets, event.mid, event.ver) == ("START", sent["ets"], sent["mid"], sent["ver"])
    assert {"id": event.actor.id, "type": event.actor.type} == sent["actor"]
    pdata = event.context.pdata
    assert (pdata.id, pdata.pid, pdata.ver) == tuple(
        sent["context"]["pdata"][key] for key in ("id", "pid", "ver")
    )
    assert [(item.type, item.id) for item in event.context.cdata] == [("a", "b")]
    assert (event.tags, event.syncts, event.timestamp) == (["t"], 7, "now")


def test_an_event_shows_itself_without_the_persons_data():
    event = decode(encode(make_event("START", mid="m-1")))
    assert repr(event) == "<Event START m-1>"
