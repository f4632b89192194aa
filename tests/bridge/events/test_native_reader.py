"""The compiled reader gives what the one in Python gives, whatever the bytes."""

from __future__ import annotations

import copy
import gc
import json
import sys

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge import native, reading
from bridge.errors import EventError
from bridge.model import Event
from bridge.testing import encode, make_event, nasty, samples, unknown_samples
from bridge.validation import Decoder, Level

pytestmark = pytest.mark.skipif(native.FOUND.module is None, reason=native.FOUND.text)

SEEDS = [*samples().values(), *unknown_samples().values()]
LINES = [encode(event) for event in SEEDS]
NUMBERS = [
    "0", "-0", "-0.0", "7", "-1", "-1.0000000000000000001", "0.1", "1e3", "1.5E12", "1E+2",
    "1573123456789.0", "15731234567890e-1", "1e999", "-1e999", "1e-999", "2.2250738585072011e-308",
    "5e-324", "1.7976931348623159e308", "123456789012345678", "1234567890123456789", "9007199254740993",
    "18446744073709551615", "18446744073709551616", "9007199254740992.99999999999999999999", "01", "1.",
    ".5", "+1", "1e", "NaN", "-Infinity",
]  # fmt: skip
NUMBERS += ["9" * length for length in (38, 39, 40, 41, 309, 5_000)] + ["0." + "1" * 50]
TEXTS = [
    "", "a", "अआइ हिन्दी", "தமிழ்", "😀", "é" * 9, "/", '"', "\\", "\t\n\b\f\r", "\x00", "\x7f", "1" * 40,
    "raw ()",
]  # fmt: skip
KEYS = [
    "id", "type", "ver", "did", "pid", "channel", "eid", "mid", "ets", "tags", "edata", "object",
    "syncts",
]  # fmt: skip
PIECES = [
    *'{}[]",:\\0-.eE\n\r \tn', "null", "true", r"\ud83d", r"\ude00", r"\u0000", r"\/", '{"a":', '"raw ()":7,',
    '"digest ()":null,', '"eid":"LOG",', '"edata":{},', '"mid":"m",', '"ets":1,', '"actor":{},',
    "\x7f", "\u2028", "अ", "\ufeff",
]  # fmt: skip
VALUES = [
    None, True, 0, -2, 7.5, "", "x", "3.1", [], {}, [None], ["a"], ["a", "\t"], [{}], {"id": None},
    {"id": 7},
]  # fmt: skip


class Writer:
    """Writes JSON in all the ways there are, the odder the more of it is `odd`."""

    def __init__(self, random, odd):
        self._random, self._odd = random, odd

    def _chance(self):
        return self._random.random() < self._odd

    def blanks(self):
        return self._random.choice([" ", "\t", "  ", " " * 9, "\n", "\r\n"]) if self._chance() else ""

    def write(self, value):
        if isinstance(value, dict):
            return self._object(list(value.items()))
        if isinstance(value, list):
            return self._joined("[", [self.write(item) for item in value], "]")
        if isinstance(value, str):
            return self._text(self._random.choice(TEXTS) if self._chance() else value)
        if type(value) in {int, float} and self._chance():
            return self._random.choice(NUMBERS)
        return json.dumps(value)

    def _object(self, items):
        if self._chance():
            self._random.shuffle(items)
        if self._chance() and items:
            key, _ = self._random.choice(items)
            items.insert(self._random.randint(0, len(items)), (key, self._random.choice([None, 7, "x", {}])))
        members = [
            f"{self._text(key)}{self.blanks()}:{self.blanks()}{self.write(value)}" for key, value in items
        ]
        return self._joined("{", members, "}")

    def _joined(self, begin, parts, end):
        return begin + self.blanks() + f"{self.blanks()},{self.blanks()}".join(parts) + self.blanks() + end

    def _text(self, text):
        if self._chance():
            return json.dumps(text, ensure_ascii=self._random.random() < 0.5).replace("/", r"\/")
        if self._chance() and text:
            place = self._random.randrange(len(text))
            units = json.dumps(text[place])[1:-1] if ord(text[place]) > 126 else f"\\u{ord(text[place]):04x}"
            return f'"{json.dumps(text[:place])[1:-1]}{units}{json.dumps(text[place + 1 :])[1:-1]}"'
        return json.dumps(text, ensure_ascii=False)


def places(value):
    steps = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for step in list(steps):
        yield value, step
        yield from places(value[step])


def any_value(random):
    return copy.deepcopy(random.choice(VALUES))


def strike(document, random):
    """Change, remove or add something somewhere."""
    place, step = random.choice(list(places(document)))
    deed = random.randrange(3)
    if deed == 0:
        del place[step]
    elif deed == 1:
        place[step] = any_value(random)
    elif isinstance(place, dict):
        place[random.choice([*KEYS, "extra"])] = any_value(random)
    else:
        place.append(any_value(random))


def neighbour(event, random):
    """An event that says nearly the same of who, where and what."""
    event = copy.deepcopy(event)
    event["mid"] = f"m-{random.randrange(9)}"
    for part in ("actor", "context", "object"):
        match random.randrange(9):
            case 0:
                event[part] = dict(reversed((event.get(part) or {}).items()))
            case 1:
                event[part] = {
                    **(event.get(part) or {}),
                    random.choice(KEYS): random.choice(["x", "य", None, 7]),
                }
            case 2:
                event.pop(part, None)
            case 3:
                event[part] = any_value(random)
    return event


def spoiled(text, random):
    at = random.randrange(len(text))
    return text[:at] + random.choice(PIECES) + text[at + random.choice([0, 0, 1, 4]) :]


def payload(event, random):
    """An event, changed and written in one way or another, by itself or with others."""
    for _ in range(random.choice([0, 0, 0, 1, 2])):
        strike(event, random)
    writer = Writer(random, random.choice([0, 0, 0, 0.01, 0.05, 0.3]))
    text = writer.write(event)
    for _ in range(random.choice([0, 0, 0, 0, 1, 2])):
        text = spoiled(text, random)
    match random.randrange(24):
        case 0:
            text = f'{{"id":"x","ver":"3.0","events":[{text},{writer.write(event)}]}}'
        case 1:
            text = f"[{text}]"
        case 2:
            text = f"{text}\n{writer.write(event)}"
        case 3:
            text = f"{text}\n"
        case 4:
            text = f" \t{text} "
        case 5:
            text = f"\ufeff{text}"
    raw = text.encode("utf-8", "surrogatepass")
    return (
        raw.replace(b"a", random.choice([b"\xff", b"\xc3", b"\xed\xa0\x80"]), 1)
        if random.randrange(30) == 0
        else raw
    )


def batch(random):
    seed = random.choice(SEEDS)
    made = []
    for _ in range(random.randint(1, 6)):
        seed = random.choice(SEEDS) if random.randrange(5) == 0 else seed
        made.append(payload(neighbour(seed, random), random))
    return made


@pytest.fixture(scope="module")
def pairs():
    """Both decoders at each level, the Python one first; events of some sizes are too large for them."""
    return [(Decoder(level, 3_000, compiled=False), Decoder(level, 3_000, compiled=True)) for level in Level]


def told(event):
    """All that an event says of itself."""
    fields = {
        name: getattr(event, name)
        for name in Event.__struct_fields__
        if name not in {"digest", "edata_held", "raw"}
    }
    fields["ets"] += 0.0  # the two zeros are one time
    # Numbers of different types are equal, but are not written alike.
    written = json.dumps(msgspec.to_builtins(fields), sort_keys=True)
    return written, event.raw, bytes(event.edata_text), event.identity


def judged(decoder, payloads):
    decoded = decoder.batch(payloads)
    return list(map(told, decoded.events)), decoded.origins, decoded.invalid, decoded.count


def judged_alone(decoder, raw):
    try:
        return told(decoder.event(raw))
    except EventError as error:
        return error.code, error.path, error.reason


@settings(max_examples=500, deadline=None)
@given(st.randoms(use_true_random=True).map(batch))
@example([])
@example(LINES)
@example(list(nasty().values()))
def test_both_readers_decode_every_batch_alike(pairs, payloads):
    for python, compiled in pairs:
        assert judged(compiled, payloads) == judged(python, payloads)


@settings(max_examples=200, deadline=None)
@given(st.randoms(use_true_random=True).map(batch))
def test_both_readers_decode_every_single_event_alike(pairs, payloads):
    for python, compiled in pairs:
        for raw in payloads:
            assert judged_alone(compiled, raw) == judged_alone(python, raw)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=40) | st.sampled_from(LINES), max_size=5))
def test_both_readers_answer_any_bytes_alike(pairs, payloads):
    for python, compiled in pairs:
        assert judged(compiled, payloads) == judged(python, payloads)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("key", ["ets", "syncts", "@timestamp", "edata.duration", "edata.extra"])
def test_numbers_of_every_notation_are_read_alike(pairs, key, number):
    raw = encode(make_event("INTERACT", {key: "@"})).replace(b'"@"', number.encode())
    for python, compiled in pairs:
        assert judged(compiled, [raw]) == judged(python, [raw])


@pytest.mark.parametrize("part", ["actor", "context", "object"])
@pytest.mark.parametrize(
    "more", ["}", "{}", "x", '"', ",", ",{}", " ", "\t", "\n", "\x00", "/", ":1", '"a":1}']
)
def test_a_part_that_begins_as_the_neighbours_is_read_to_its_end(pairs, part, more):
    event = make_event("INTERACT", {"object.id": "do_1"})
    text = encode(event[part])
    after = encode(event).replace(text, text + more.encode())
    inside = encode(event).replace(text, text[:-1] + more.encode() + b"}")
    for python, compiled in pairs:
        payloads = [encode(event), after, inside, encode(event), inside, after]
        assert judged(compiled, payloads) == judged(python, payloads)


def test_real_events_are_read_alike(pairs, real_events, shared):
    lines = [real.line for real in real_events]
    batches = [path.read_bytes() for path in sorted((shared / "sunbird/samples/batches").iterdir())]
    for python, compiled in pairs:
        assert judged(compiled, lines) == judged(python, lines)
        assert judged(compiled, [*lines[:9], *batches, *lines[9:20]]) == judged(
            python, [*lines[:9], *batches, *lines[9:20]]
        )


@pytest.mark.parametrize("kind", [bytearray, type("Bytes", (bytes,), {})])
def test_payloads_that_are_not_quite_bytes_are_read_alike(pairs, kind):
    payloads = [LINES[0], kind(LINES[1]), LINES[2], kind(b"7")]
    for python, compiled in pairs:
        assert judged(compiled, payloads) == judged(python, payloads)


def test_no_ordinary_event_is_doubtful():
    # Else all that stands above would compare one reader with itself.
    for level in Level:
        lines = LINES[: len(samples())] if level is Level.STRICT else LINES
        events, doubtful = reading.reader(level, 1 << 20, compiled=True).read(lines)
        assert [event.raw for event in events] == lines
        assert doubtful == []


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("error", [ValueError, MemoryError, KeyboardInterrupt])
def test_an_error_that_is_no_refusal_is_not_swallowed(monkeypatch, compiled, error):
    def fail(memory, given):
        raise error

    monkeypatch.setattr(reading.Memory, "of", fail)
    with pytest.raises(error):
        Decoder(Level.STRICT, compiled=compiled).batch(LINES)


def test_what_was_read_is_not_held_once_it_is_let_go():
    decoder = Decoder(Level.LENIENT, compiled=True)
    payloads = [*map(encode, SEEDS), b"7", LINES[0][:-1], LINES[1] + b"\n"]
    first = decoder.batch(payloads).events[0]
    watched = [*payloads, first.eid, first.actor, first.context, Event, msgspec.Raw]
    gc.collect()
    before = [sys.getrefcount(one) for one in watched]
    for _ in range(50):
        decoder.batch(payloads)
    gc.collect()
    assert [sys.getrefcount(one) for one in watched] == before
