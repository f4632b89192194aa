from __future__ import annotations

import json
import struct

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.events import Decoder, decode, identities
from bridge.testing import ABSENT, encode, make_event, samples

pytestmark = pytest.mark.usefixtures("each_reader")

TEXTS = st.text(max_size=6).filter(lambda text: text.isprintable() or not text) | st.sampled_from(
    ["", "a", "aa", "1", "\x00", "अ", "\U0001f600"]
)
TIMES = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)


def event_of(parts, **more):
    mid, eid, ets, actor, did = parts
    head = {"eid": eid, "ets": ets, "mid": mid, "actor": {"id": actor}, "context": {"did": did}}
    return json.dumps({**head, **more}).encode()


parts_of_events = st.tuples(TEXTS.filter(bool), TEXTS.filter(bool), TIMES, TEXTS, TEXTS)


@pytest.fixture(scope="module")
def reader(each_reader):
    return Decoder("envelope")


@pytest.fixture(scope="module")
def identity(reader):
    return lambda raw: reader.event(raw).identity


def test_two_known_answers_so_that_the_identity_never_changes_silently(identity):
    plain = event_of(("m-1", "LOG", 1573123456789, "u-1", "d-1"))
    assert identity(plain).hex() == "31e03fb90ce5432fd00d0a1d57d1c1b5"
    indic = event_of(("अ", "INTERACT", 1573123456789.5, "", None))
    assert identity(indic).hex() == "0a8548e289c67c77de08233d819bb39d"


def test_the_identity_is_xxh3_128_over_five_lengths_and_values(identity):
    header = struct.pack("<dIIII", 1573123456789.0, 4, 3, 3, 2)
    expected = xxhash.xxh3_128(header + "mअ-1LOGu-1d1".encode()).digest()
    assert identity(event_of(("mअ-1", "LOG", 1573123456789, "u-1", "d1"))) == expected


@settings(max_examples=500, deadline=None)
@given(parts_of_events, parts_of_events)
def test_events_share_an_identity_exactly_when_all_five_parts_are_equal(identity, one, other):
    assert (identity(event_of(one)) == identity(event_of(other))) == (
        (*one[:2], float(one[2]), *one[3:]) == (*other[:2], float(other[2]), *other[3:])
    )


@settings(max_examples=300, deadline=None)
@given(st.text(min_size=4, max_size=12), st.lists(st.integers(1, 11), min_size=6, max_size=6))
def test_moving_a_border_between_the_fields_changes_the_identity(identity, text, cuts):
    def cut(at):
        first, second, third = sorted(min(place, len(text) - 1) for place in at)
        return text[:first], text[first:second] or "-", 0, text[second:third], text[third:]

    one, other = cut(cuts[:3]), cut(cuts[3:])
    assert (identity(event_of(one)) == identity(event_of(other))) == (one == other)


@pytest.mark.parametrize(
    "written", ["1573123456789", "1.573123456789E12", "1573123456789.0", "15731234567890e-1"]
)
def test_the_notation_of_ets_plays_no_part(identity, written):
    raw = event_of(("m", "LOG", "@", "u", "d")).replace(b'"@"', written.encode())
    assert identity(raw) == identity(event_of(("m", "LOG", 1573123456789, "u", "d")))


def test_a_negative_zero_is_zero(identity):
    raw = event_of(("m", "LOG", "@", "u", "d"))
    assert identity(raw.replace(b'"@"', b"-0.0")) == identity(raw.replace(b'"@"', b"0"))


@settings(max_examples=200, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(list(samples())))
def test_key_order_white_space_escapes_and_other_keys_play_no_part(random, eid):
    event = make_event(eid)
    keys = list(event)
    random.shuffle(keys)
    shuffled = {key: event[key] for key in keys} | {"syncts": random.randint(1, 9), "flags": {"mid": "x"}}
    shuffled["context"] = dict(reversed(event["context"].items())) | {"env": "elsewhere", "sid": None}
    written = json.dumps(shuffled, indent=random.choice([None, 1]), ensure_ascii=random.choice([True, False]))
    assert decode(written.encode()).identity == decode(encode(event)).identity


@pytest.mark.parametrize(
    "changes", [{"mid": "x"}, {"eid": "LOG2"}, {"ets": 1}, {"actor.id": "x"}, {"context.did": "x"}]
)
def test_each_of_the_five_parts_plays_its_part(changes):
    assert decode(encode(make_event("SCAN", changes))).identity != decode(encode(make_event("SCAN"))).identity


def test_an_absent_device_is_a_blank_one():
    variants = [{"context.did": did} for did in (ABSENT, None, "")]
    assert len({decode(encode(make_event("LOG", changes))).identity for changes in variants}) == 1


def test_identities_is_identity_for_many(reader, real_events):
    events = reader.batch([real.line for real in real_events]).events
    assert identities(events) == [event.identity for event in events]
    assert {len(identity) for identity in identities(events)} == {16}


def test_real_events_with_the_same_mid_and_different_contents_are_told_apart(reader, shared):
    lines = (shared / "sunbird/samples/messy/messy.jsonl").read_bytes().splitlines()
    cases = [json.loads(line) for line in lines]
    twins = [case["event"] for case in cases if case["case"] == "same_mid_different_payload"]
    events = [reader.event(json.dumps(event).encode()) for event in twins]
    parts = {(event.mid, event.eid, event.ets, event.actor.id, event.context.did) for event in events}
    assert len(set(identities(events))) == len(parts)
    assert len(parts) > len({event.mid for event in events})
