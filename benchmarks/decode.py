"""Decode and validate, CPU time of this process: what each level costs, and what the other ways would.

python -m benchmarks.decode [--events 20000] [--rounds 15] [--variants]
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import time
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

import msgspec

from benchmarks.flow import sample
from bridge import schemas, typed
from bridge.events import identities, split
from bridge.model import CData, Object
from bridge.native import FOUND
from bridge.validation import Decoder, Level

BATCH = 1000
NEWLINE, RETURN = b"\n\r"
VAST = re.compile(rb"[0-9]{309}|[:,\[ ]-?[0-9]+[eE]\+?[0-9]{3}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--variants", action="store_true", help="measure the ways not taken, too")
    options = parser.parse_args()
    lines = sample(options.events).read_bytes().splitlines()
    batches = [lines[start : start + BATCH] for start in range(0, len(lines), BATCH)]
    size = sum(map(len, lines)) / len(lines)
    wide = sum(not line.isascii() for line in lines) / len(lines)
    print(f"{len(lines)} events, {size:.0f} bytes on average, {wide:.0%} not ASCII, batches of {BATCH}")
    print(json.dumps({"native": FOUND.module is not None, "reader": FOUND.text}))
    for name, work, inputs in cases(batches, variants=options.variants):
        report(name, work, inputs, options.rounds)


def cases(batches, *, variants):
    for level in Level:
        yield f"{level}: Decoder.batch", Decoder(level).batch, batches
    decoder = Decoder(Level.STRICT)
    mixed = [spoil(batch) for batch in batches]
    yield "strict: 2 % of the events invalid", decoder.batch, mixed
    yield "strict: every event invalid", decoder.batch, [spoil(batch, every=1) for batch in batches]
    envelopes = [[b'{"id":"x","events":[' + b",".join(batch) + b"]}"] for batch in batches]
    yield "strict: batch envelopes of 1000", decoder.batch, envelopes
    yield "split: batch envelopes of 1000", lambda batch: split(batch[0]), envelopes
    decoded = [decoder.batch(batch).events for batch in batches]
    yield "identities", identities, decoded
    yield "record_time", lambda events: [event.record_time() for event in events], decoded
    if variants:
        yield from other_ways(batches)


def spoil(batch, every=50):
    """The batch with every n-th event made to lack its mid."""
    return [
        line.replace(b'"mid"', b'"mad"', 1) if place % every == 0 else line
        for place, line in enumerate(batch)
    ]


def report(name, work, inputs, rounds):
    events = BATCH * len(inputs)
    times = []
    for _ in range(rounds):
        begin = time.process_time()
        for batch in inputs:
            work(batch)
        times.append((time.process_time() - begin) / events)
    cost = statistics.median(times)
    print(
        f"{name:44} {cost * 1e6:7.2f} us/event {1 / cost:12,.0f} events/CPU-s   (best {min(times) * 1e6:.2f})"
    )


def other_ways(batches):
    """Ways of reading at level strict; all but the first leave out encoding, size, line breaks and `raw`."""
    head = msgspec.json.Decoder(typed.StrictEvent).decode
    kinds = {eid: typed.type_of(rule) for eid, rule in schemas.EDATA.items()}
    one = {eid: msgspec.json.Decoder(kind).decode for eid, kind in kinds.items()}
    many = {eid: msgspec.json.Decoder(list[kind]).decode for eid, kind in kinds.items()}
    max_bytes = 100_000
    union = msgspec.json.Decoder(reduce(or_, (tagged(eid, kind) for eid, kind in kinds.items()))).decode
    plain = msgspec.json.Decoder(head_with(dict[str, Any])).decode

    def by_event(batch):
        for event in list(map(head, batch)):
            one[event.eid](event.edata_held)

    def by_eid(batch):
        groups = {}
        for event in list(map(head, batch)):
            groups.setdefault(event.eid, []).append(event.edata_held)
        for eid, texts in groups.items():
            many[eid](b"[" + b",".join(texts) + b"]")

    def in_one_pass(batch):
        events = []
        for raw in batch:
            event = head(raw)
            one[event.eid](event.edata_held)
            if not raw.isascii():
                raw.decode()
            if NEWLINE in raw or RETURN in raw or len(raw) > max_bytes:
                continue
            event.raw = raw
            events.append(event)
        return events

    yield "variant: all checks in one pass an event", in_one_pass, batches
    yield "variant: a search for numbers such as 1e999", lambda batch: list(map(VAST.search, batch)), batches
    yield "variant: head alone, edata unread", lambda batch: list(map(head, batch)), batches
    yield "variant: head, then edata event by event", by_event, batches
    yield "variant: head, then edata joined by eid", by_eid, batches
    yield "variant: one decode, union tagged by eid", lambda batch: list(map(union, batch)), batches
    yield "variant: one decode, edata as a dict", lambda batch: list(map(plain, batch)), batches
    yield "variant: json.loads alone", lambda batch: list(map(json.loads, batch)), batches


def tagged(eid, kind):
    """The whole event as one type that is chosen by its eid."""
    return head_with(kind, tag_field="eid", tag=eid)


def head_with(edata, **options):
    blank = Annotated[str, msgspec.Meta(min_length=1)]
    text, actor = (str | None, None), msgspec.defstruct("Actor", [("id", str), ("type", str)], gc=False)
    cdata = (list[CData] | None, None)
    pdata = msgspec.defstruct("PData", [("id", str), ("pid", *text), ("ver", *text)], gc=False)
    context = msgspec.defstruct(
        "Context",
        [
            ("channel", blank),
            ("pdata", pdata),
            ("env", str),
            ("sid", *text),
            ("did", *text),
            ("cdata", *cdata),
        ],
        gc=False,
    )
    fields = [
        ("ets", float),
        ("ver", Literal["3.0", "3.1"]),
        ("mid", blank),
        ("actor", actor),
        ("context", context),
    ]
    optional = [("object", Object | None, None), ("tags", list[str] | None, None), ("syncts", Any, None)]
    return msgspec.defstruct("Whole", [*fields, ("edata", edata), *optional], gc=False, **options)


if __name__ == "__main__":
    main()
