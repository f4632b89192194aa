"""100,000 events whose edata has any shape: no field is added, hardly one is refused."""

from __future__ import annotations

import random
import string
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest

from bridge.events import Decoder, Level
from bridge.sinks import Delivered, Reject
from bridge.testing import encode, samples

pytestmark = pytest.mark.real

EVENTS = 100_000
BATCH = 1_000
LETTERS = string.ascii_letters + string.digits + " -_@:/#%&é한का😀"
TEXTS = ("", "a", "2026-08-21", "12", "NaN", "true", "null", "क" * 50, "\u2028", "\x00", "x" * 2_000)


class Shapes:
    """Random JSON from a seed: the same events in every run."""

    def __init__(self, seed):
        self._random = random.Random(seed)

    def key(self):
        """A name nobody mapped; now and then with a dot inside, as flattening loggers write."""
        size = self._random.randint(1, 16)
        name = "".join(self._random.choices(LETTERS, k=size)).strip()
        return f"k{name}.n" if self._random.random() < 0.05 else f"k{name}"

    def scalar(self):
        roll = self._random.random()
        if roll < 0.35:
            return self._random.choice(TEXTS)
        if roll < 0.351:
            return "long " * 8_000
        if roll < 0.6:
            return self._random.randint(-(2**63), 2**63 - 1)
        if roll < 0.8:
            return self._random.choice((0, -0.0, 1.5, 1e300, -1e-300, self._random.random()))
        return self._random.choice((None, True, False))

    def value(self, depth=0):
        roll = self._random.random()
        if depth > 8 or roll < 0.6:
            return self.scalar()
        if roll < 0.8:
            return [self.value(depth + 1) for _ in range(self._random.randint(0, 4))]
        return {self.key(): self.value(depth + 1) for _ in range(self._random.randint(0, 5))}

    def event(self, number, event, foreign):
        """`event` with more keys, and with keys of other types holding scalars they never hold there."""
        edata = {**event["edata"], **{self.key(): self.value() for _ in range(self._random.randint(1, 8))}}
        for name in self._random.sample(foreign, 2):
            edata.setdefault(name, self.scalar())
        items = list(edata.items())
        self._random.shuffle(items)
        return {**event, "mid": f"shape-{number}", "edata": dict(items)}


def fields(server, name):
    """How many fields the mappings of the test's indices have, one number an index."""

    def count(properties):
        return sum(1 + count(field.get("properties", {})) for field in properties.values())

    found = server.ok("GET", f"/{name}*/_mapping")
    return {count(index["mappings"]["properties"]) for index in found.values()}


def scalar_names(server, name):
    """Names of edata that are mapped to one value: any scalar must be welcome there."""
    body = server.ok("GET", f"/_index_template/{name}")["index_templates"][0]["index_template"]
    edata = body["template"]["mappings"]["properties"]["edata"]["properties"]
    return sorted(key for key, field in edata.items() if "properties" not in field)


@pytest.mark.parametrize("search_all", [False, True])
def test_random_shapes_add_no_field_and_are_hardly_ever_refused(
    server, name, ready_sink, deliver, search_all
):
    sink = ready_sink(search_all_edata=search_all, index=f"{name}-shapes")
    plain = [{**event, "syncts": event["ets"]} for event in samples().values()]
    shapes, foreign = Shapes(20_260_821), scalar_names(server, name)
    full = server.product == "OpenSearch" and not search_all
    total = EVENTS if full else EVENTS // 5
    lenient = Decoder(Level.LENIENT)
    events = (encode(shapes.event(n, plain[n % len(plain)], foreign)) for n in range(total))

    def send(lines):
        decoded = lenient.batch(lines)
        return Counter(type(outcome) for outcome in deliver(sink, decoded.events)), len(decoded.invalid)

    outcomes, invalid, before = Counter(), 0, None
    with ThreadPoolExecutor(2) as pool:
        batches = iter(lambda: list(islice(events, BATCH)), [])
        for found, bad in pool.map(send, batches):
            outcomes += found
            invalid += bad
            before = before or fields(server, name)
    print(f"{server.product}: {dict(outcomes)}, {invalid} not valid, fields {fields(server, name)}")  # noqa: T201
    assert fields(server, name) == before
    assert outcomes[Delivered] + outcomes[Reject] == total - invalid
    assert outcomes[Reject] < total / 1_000
    assert invalid < total / 20
