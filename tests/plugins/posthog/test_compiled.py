"""The compiled forms tell what those in Python tell, byte for byte, however telemetry is written."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from posthog_neighbours import lines_of, variants

from bridge.events import Decoder, Level
from bridge.native import compiled
from bridge.testing import encode, make_event, nasty, samples, unknown_samples
from bridge_posthog.config import PostHogConfig
from bridge_posthog.heads import joined
from bridge_posthog.mapping import Mapper
from bridge_posthog.vocabulary import RULES

NATIVE = compiled()
pytestmark = pytest.mark.skipif(NATIVE is None, reason="there is no compiled part")

LAST = 253_402_300_800_000
decoder = Decoder(Level.ENVELOPE)
OPTIONS = [
    {},
    {"properties": "raw"},
    {"errors": "event"},
    {"survey": {"id": "s", "rating_question": "r", "comment_question": "c"}},
    {"properties": "raw", "survey": {"id": "s", "rating_question": "r", "comment_question": "c"}},
    {"set_once": True},
    {"denormalised": True},
]
GROUPED = [
    {"groups": {"batch": "cdata:CourseBatch", "env": "env"}},
    {"group_identify": True, "session_boundary_hour": 7},
    {"pseudonym_key": "a key of sixteen bytes and more"},
]
NUMBERS = [
    "0", "-0", "0.0", "-0.0", "7", "-1", "-1.0", "12.50", "0.1", "0.01", "0.001", "0.0001", "0.00001",
    "1e3", "1E-7", "1.5e300", "100000000", "99999999.9", "999999999999999", "9999999999999999",
    "1234567.12345678", "1234567.123456789", "123456789012345.6", "0.123456789012345",
    "0.1234567890123456", "1e999", "-1e999", "3.14159", "1700000000000", "9" * 40, "9" * 41, "5e-324",
    "2.5000000000000004", "1.10",
]  # fmt: skip
TEXTS = [
    '""', '"a"', '"APP"', '"session"', '"resume"', '"yes"', '"No"', '"click"', '"देश"', '"😀"', '" "',
    '"null"', '"12"', '"-1"', r'"a\nb"', r'"a\tb\"c\\"', r'"\b\f\r"', r'"\/x"', r'"\u0041"',
    r'"\u00e9\u0915"', r'"\ud83d\ude00"', r'"\ud83d"', r'"\u0000"', r'"\\ud83d"', '"\x7f"',
    '"https://diksha.gov.in/play?x=1"', '"x/y"', f'"{"w" * 300}"',
]  # fmt: skip
OTHERS = [
    "null", "true", "false", "[]", "{}", "[ ]", "{ }", "[null]", '["a"]', '["a", "b"]', '["a","b\\n"]',
    '["\\/"]', "[1,[2]]", '[{"a":1}]', '[{"a":1},{"b":[1, 2]}]', '[{"a":1},{"a":2}]', '[{"a":1,"a":2}]',
    '{"a":1,"a":2}', '{"a":{"b":1}}', '{"a" :1}', '{"id":"x","type":"y"}', '[{"metric":"m","value":1}]',
    '[{"id":"k","value":"v"}]', '[{"a":null},{}]', '[{"a":1},[]]', '[{"\\u0061":1}]', "[1e999]",
    '{"gradeLevel":["Class 1"]}', "[" * 90 + "]" * 90, '[{"a":' + "[" * 99 + "]" * 99 + "}]",
]  # fmt: skip
TOKENS = [*NUMBERS, *TEXTS, *OTHERS]
BLANKS = ["", "", "", " ", "\t "]


class Writer:
    """Writes the `edata` of a type, by its rules and against them."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def blank(self):
        return self.random.choice(BLANKS)

    def object(self, rules):
        keys = [key for key in rules if self.random.random() < 0.7]
        if self.random.random() < 0.15:
            keys += self.random.choices([*rules, "surprise", "Surprise", "type"], k=1)
        if self.random.random() < 0.3:
            self.random.shuffle(keys)
        members = [
            f"{self.blank()}{json.dumps(key)}{self.blank()}:{self.blank()}{self.value(rules.get(key))}{self.blank()}"
            for key in keys
        ]
        return "{" + ",".join(members) + "}"

    def value(self, rule):
        if rule is not None and rule.inner is not None and self.random.random() < 0.9:
            return self.object(rule.inner)
        likely = {"TEXT": TEXTS, "NUMBER": NUMBERS}.get(rule.kind.name, OTHERS) if rule else TOKENS
        return self.random.choice(likely if self.random.random() < 0.8 else TOKENS)

    def event(self, number):
        eid = self.random.choice([*RULES, "XAPI_THING"])
        rest = encode(make_event("INTERACT", {"eid": eid, "mid": f"m-{number}", "edata": {}})).decode()
        return rest.replace('"edata":{}', f'"edata":{self.object(RULES.get(eid, {}))}').encode()


def agree(lines, **options):
    """Whether both mappers make the same of the events in these lines, together and alone."""
    for protocol in ("v0", "v1"):
        config = PostHogConfig(api_key="phc_x", **options)
        slow, fast = Mapper(config, protocol, None), Mapper(config, protocol, NATIVE)
        expected = slow.encode(decoder.batch(lines).events)
        assert fast.encode(decoder.batch(lines).events) == expected
        alone = [fast.encode([event])[0] for event in decoder.batch(lines).events]
        assert alone == expected


def taken(lines):
    """Those that are one event each, of a time that PostHog knows."""
    found = [(line, decoder.batch([line])) for line in lines]
    return [line for line, one in found if one.origins is None and 0 <= one.events[0].ets < LAST]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_sample_is_told_alike(options):
    agree([encode(event) for event in (*samples().values(), *unknown_samples().values())], **options)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_nasty_event_is_told_alike(options):
    lines = taken(nasty().values())
    assert len(lines) > 10
    agree(lines, **options)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), options=st.sampled_from(OPTIONS))
def test_whatever_is_written_in_edata_is_told_alike(seed, options):
    writer = Writer(seed)
    agree(taken([writer.event(number) for number in range(12)]), **options)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes=variants, options=st.sampled_from([*OPTIONS, *GROUPED]))
def test_what_neighbours_share_is_told_alike(changes, options):
    agree(lines_of(changes), **options)


@pytest.mark.parametrize("token", TOKENS)
def test_every_way_to_write_a_value_is_told_alike_wherever_it_stands(token):
    lines = []
    for eid, rules in RULES.items():
        for key, rule in rules.items():
            inside = [
                f'{{"{key}":{token}}}',
                *(f'{{"{key}":{{"{inner}":{token}}}}}' for inner in rule.inner or ()),
            ]
            line = encode(make_event("INTERACT", {"eid": eid, "edata": {}})).decode()
            lines += [line.replace('"edata":{}', f'"edata":{text}').encode() for text in inside]
    agree(taken(lines))


def test_the_usual_event_is_not_left_to_the_slower_way(monkeypatch):
    from bridge_posthog import telling

    left = []
    read_all = telling.read_all
    monkeypatch.setattr(
        telling,
        "read_all",
        lambda form, events: left.extend(events) or read_all(form, events),
    )
    config = PostHogConfig(api_key="phc_x")
    events = decoder.batch([encode(event) for event in samples().values()]).events
    Mapper(config, "v1", NATIVE).encode(events)
    assert {event.eid for event in left} <= {"HEARTBEAT", "EXDATA", "ERROR"}  # they have keys no rule knows


def test_edata_that_a_stage_has_looked_into_is_left_to_the_slower_way():
    line = encode(make_event("INTERACT"))
    config = PostHogConfig(api_key="phc_x")
    event = decoder.event(line)
    assert event.edata
    expected = Mapper(config, "v1", None).encode([decoder.event(line)])
    assert Mapper(config, "v1", NATIVE).encode([event, decoder.event(line)]) == expected * 2


PIECES = st.sampled_from([b"", b"a", b'\\"', "देश".encode(), b"x" * 2_000])


@given(
    events=st.lists(
        st.tuples(st.binary(min_size=16, max_size=16), st.integers(0, 253_402_300_799_999), PIECES, PIECES),
        max_size=8,
    ),
    all_have=PIECES,
)
def test_payloads_are_put_together_alike(events, all_have):
    digests, times, first, second = ([event[column] for event in events] for column in range(4))
    columns = (first, all_have, second)
    assert NATIVE.joined(digests, times, columns) == joined(digests, times, columns)


@pytest.mark.parametrize(
    ("digests", "times", "columns"),
    [
        ([b"x" * 16], [], ()),
        ([b"x" * 15], [0], ()),
        ([b"x" * 16], [-1], ()),
        ([b"x" * 16], [253_402_300_800_000], ()),
        ([7], [0], ()),
        ([b"x" * 16], [0], ([],)),
        ([b"x" * 16], [0], ([b""], [b"", b""])),
        ([b"x" * 16], [0], (["text"],)),
        ([b"x" * 16], [0], (None,)),
    ],
)
def test_what_cannot_be_put_together_is_an_error(digests, times, columns):
    with pytest.raises((ValueError, TypeError)):
        NATIVE.joined(digests, times, columns)
