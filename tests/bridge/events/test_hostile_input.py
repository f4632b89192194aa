from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.jsontext import MAX_DEPTH, depth
from bridge.testing import encode, make_event, nasty, samples
from bridge.validation import Decoder, Level

pytestmark = pytest.mark.usefixtures("each_reader")

PLAIN = encode(make_event())
ALWAYS = pytest.mark.parametrize("level", list(Level))


def with_extra(text):
    """An ordinary event whose free-form `extra` is this JSON text."""
    return encode(make_event("INTERACT", {"edata.extra": "@"})).replace(b'"@"', text)


def with_edata(text):
    return encode(make_event("HEARTBEAT", edata="@")).replace(b'"@"', text)


@ALWAYS
@pytest.mark.parametrize("name", list(nasty()))
def test_a_nasty_line_gets_one_verdict_soon_and_the_event_works(name, level):
    raw = nasty()[name]
    begin = time.process_time()
    decoded = Decoder(level).batch([raw])
    assert time.process_time() - begin < 1, "a guard against hanging, not a measurement"
    assert decoded.count >= 1
    for event in decoded.events:
        assert json.loads(event.raw, parse_int=str)
        assert isinstance(event.edata, dict)
        assert isinstance(event.record_time(), int)
        assert len(event.identity) == 16


TEN = 10**5
REFUSED = {
    "broken JSON": (PLAIN[:-1], "invalid_json"),
    "nothing": (b"", "not_an_event"),
    "blanks": (b" \t", "not_an_event"),
    "invalid UTF-8 in a value": (with_extra(b'{"a":"\xff"}'), "invalid_utf8"),
    "invalid UTF-8 in a key": (with_extra(b'{"\xc0\xaf":1}'), "invalid_utf8"),
    "an encoded surrogate": (with_extra(b'{"a":"\xed\xa0\x80"}'), "invalid_utf8"),
    "NaN": (with_extra(b'{"a":NaN}'), "invalid_json"),
    "minus infinity": (with_extra(b'{"a":-Infinity}'), "invalid_json"),
    "a lone high surrogate": (with_extra(rb'{"a":"\ud83d"}'), "lone_surrogate"),
    "a lone low surrogate": (with_extra(rb'{"a":"\ude00x"}'), "lone_surrogate"),
    "a lone surrogate in a key": (with_extra(rb'{"\ud83dx":1}'), "lone_surrogate"),
    "a lone surrogate beside a huge number": (with_extra(rb'{"a":"\ud83d","b":1e999}'), "lone_surrogate"),
    "arrays 10^5 deep": (with_extra(b'{"a":' + b"[" * TEN + b"]" * TEN + b"}"), "too_deep"),
    "objects 10^5 deep": (with_extra(b'{"a":' * TEN + b"1" + b"}" * TEN), "too_deep"),
    "openers alone": (b"[" * TEN, "too_deep"),
    "an ets of 10^5 digits": (encode(make_event(ets="@")).replace(b'"@"', b"9" * TEN), "number_out_of_range"),
    "an ets of 1e999": (encode(make_event(ets="@")).replace(b'"@"', b"1e999"), "number_out_of_range"),
    "more than a mebibyte": (encode(make_event("EXDATA", {"edata.data": "x" * 1_048_576})), "too_large"),
    "a number with a leading zero": (with_extra(b'{"a":01}'), "invalid_json"),
    "a raw control character": (with_extra(b'{"a":"\x01"}'), "invalid_json"),
    "something behind the event": (PLAIN + b"x", "invalid_json"),
}


@ALWAYS
@pytest.mark.parametrize("name", list(REFUSED))
def test_hostile_bytes_are_refused_at_every_level_under_a_code_of_their_own(name, level):
    raw, code = REFUSED[name]
    decoder = Decoder(level)
    begin = time.process_time()
    (refused,) = decoder.batch([raw]).invalid
    assert time.process_time() - begin < 1, "a guard against hanging, not a measurement"
    assert (refused.code, refused.index, refused.raw) == (code, 0, raw)
    assert refused.reason
    assert len(refused.reason) < 200
    assert decoder._judge(0, raw)[1][0].code == code


ACCEPTED = {
    "newlines between tokens": json.dumps(make_event(), indent=1).encode(),
    "carriage returns between tokens": PLAIN.replace(b'","', b'"\r,\r"'),
    "a newline behind the event": PLAIN + b"\r\n",
    "duplicate keys": PLAIN[:-1] + b',"mid":"second"}',
    "duplicate keys of another type": PLAIN.replace(b'"mid":', b'"mid":7,"mid":'),
    "escaped keys": PLAIN.replace(b'"mid"', rb'"\u006did"'),
    "a number of 10^5 digits where anything goes": with_extra(b'{"a":' + b"9" * TEN + b"}"),
    "a fraction of 10^5 digits": with_extra(b'{"a":0.' + b"9" * TEN + b"}"),
    "1e999 where anything goes": with_extra(b'{"a":[1e999,-1e999]}'),
    "1e999 in a key nobody knows": PLAIN[:-1] + b',"x":1e999}',
    "1e999 as syncts": PLAIN[:-1] + b',"syncts":1e999}',
    "nesting as deep as may be": with_edata(
        b'{"a":' + b"[" * (MAX_DEPTH - 2) + b"]" * (MAX_DEPTH - 2) + b"}"
    ),
    "a key named as our own field": PLAIN[:-1] + b',"raw":7,"raw ()":"AAAA","received":7}',
    "a key that hides as our own field": PLAIN[:-1] + b',"raw ()":{"a":[1e999]},"received ()":7}',
    "a key that hides as when we received it": PLAIN[:-1] + b',"received ()":7}',
    "a key that hides as our identity": PLAIN[:-1] + b',"digest ()":"AAAAAAAAAAAAAAAAAAAAAA=="}',
    "a key that hides as the journal's bytes": PLAIN[:-1] + b',"original ()":"aGVsbG8="}',
    "a null that hides as our identity": PLAIN[:-1] + b',"digest ()":null}',
    "a key that hides as our bytes": PLAIN[:-1] + b',"raw ()":"AAAA"}',
    "brackets in strings": with_extra(b'{"a":"' + b'[{\\"[{' * 2000 + b'"}'),
    "a mebibyte": encode(make_event("EXDATA", {"edata.data": "x" * 1_040_000})),
}


@ALWAYS
@pytest.mark.parametrize("name", list(ACCEPTED))
def test_odd_but_valid_bytes_are_accepted_at_every_level_on_one_line(name, level, identity_of):
    raw = ACCEPTED[name]
    event = Decoder(level).event(raw)
    assert not {10, 13} & set(event.raw)
    assert event.raw == raw or {10, 13} & set(raw)
    assert json.loads(event.raw, parse_int=str) == json.loads(raw, parse_int=str)
    assert event.received is None
    assert event.identity == identity_of(json.loads(raw, parse_int=float))
    assert event.original is None
    assert event.source is event.raw
    assert json.dumps(event.edata, allow_nan=False)
    assert event.document["eid"] == event.eid


def test_the_last_of_duplicate_keys_counts():
    assert Decoder().event(ACCEPTED["duplicate keys"]).mid == "second"


def test_a_number_no_float_can_hold_reads_as_none():
    event = Decoder().event(ACCEPTED["1e999 where anything goes"])
    assert event.edata["extra"] == {"a": [None, None]}


@pytest.mark.parametrize("opener", [b"[", b'{"a":'])
@pytest.mark.parametrize("levels", [MAX_DEPTH - 2, MAX_DEPTH - 1, MAX_DEPTH + 40])
def test_the_verdict_on_depth_does_not_depend_on_the_callers_stack(opener, levels):
    closer = b"]" if opener == b"[" else b"}"
    raw = with_edata(b'{"a":' + opener * levels + b"1" + closer * levels + b"}")
    assert depth(raw) == levels + 2
    deep_enough = [_at(frames, lambda: Decoder("strict").batch([raw]).invalid) for frames in (0, 60, 120)]
    assert [[refused.code for refused in found] for found in deep_enough] == [
        ["too_deep"] if levels + 2 > MAX_DEPTH else []
    ] * 3


def _at(frames, call):
    return call() if frames == 0 else _at(frames - 1, call)


def test_the_limit_on_size_is_exact_and_configurable():
    decoder = Decoder("strict", max_event_bytes=len(PLAIN))
    assert decoder.event(PLAIN).raw == PLAIN
    (refused,) = Decoder("strict", max_event_bytes=len(PLAIN) - 1).batch([PLAIN]).invalid
    assert refused.code == "too_large"
    assert refused.reason == f"send at most {len(PLAIN) - 1} bytes an event, not {len(PLAIN)}"


SEEDS = [encode(event) for event in samples().values()]
PIECES = [
    *b'{}[]",:\\0-.eE\n\r \x00\xff',
    *(
        b"null",
        b"1e999",
        b"NaN",
        b"true",
        rb"\ud800",
        rb"\u0000",
        b'{"a":',
        b'"raw ()":"x",',
        b'"eid":"LOG",',
    ),
]


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(
        st.tuples(st.integers(0, 2000), st.integers(0, 8), st.sampled_from(PIECES)), min_size=1, max_size=3
    ),
)
def test_what_the_typed_reading_takes_the_exact_one_takes_alike(both, seed, edits):
    raw = bytearray(seed)
    for place, cut, piece in edits:
        at = place % len(raw)
        raw[at : at + cut] = bytes([piece]) if isinstance(piece, int) else piece
    for level in Level:
        readings = both[level](bytes(raw))
        assert readings.typed is None or readings.typed == readings.exact


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=60) | st.sampled_from(SEEDS), max_size=5))
def test_no_bytes_make_a_batch_raise_or_lose_a_payload(payloads):
    for level in Level:
        decoded = Decoder(level).batch(payloads)
        origins = decoded.origins if decoded.origins is not None else list(range(len(payloads)))
        empty = {index for index, raw in enumerate(payloads) if raw.strip() in (b"[]", b'{"events":[]}')}
        assert set(origins) | {refused.index for refused in decoded.invalid} | empty == set(
            range(len(payloads))
        )
