from __future__ import annotations

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.errors import EventError
from bridge.schemas import EDATA, HEAD, NAMED, OBJECT, ArrayOf, Number, Record, Text
from bridge.testing import samples
from bridge.validation import Decoder, Level

pytestmark = pytest.mark.usefixtures("each_reader")

PREFIX = "resource:/schemas/telemetry/3.0/"
IDLE = {"id", "format"}  # `format` stands on a number, where it never acts


def test_strict_agrees_with_the_official_validator_line_for_line(real_events):
    decoder = Decoder(Level.STRICT)
    for real in real_events:
        try:
            decoder.event(real.line)
            refusal = None
        except EventError as error:
            refusal = error
        said = "valid" if real.valid else "invalid"
        assert (refusal is None) == real.valid, f"{real.place} is officially {said}, but: {refusal}"
    assert len(real_events) == 874
    assert sum(real.valid for real in real_events) == 571


def test_a_batch_of_all_real_events_gets_the_same_verdicts(real_events):
    decoded = Decoder(Level.STRICT).batch([real.line for real in real_events])
    assert decoded.origins == [index for index, real in enumerate(real_events) if real.valid]
    assert [refused.index for refused in decoded.invalid] == [
        index for index, real in enumerate(real_events) if not real.valid
    ]


def test_the_rules_for_the_envelope_are_the_official_ones(official):
    common = _rule_of(official["common"], official)
    required = frozenset(official["start"]["required"])
    assert {schema["required"] == official["start"]["required"] for eid, schema in _events(official)} == {
        True
    }
    assert Record({"eid": NAMED, **common.keys, "edata": OBJECT}, required) == HEAD
    assert HEAD.keys["eid"] == _rule_of(official["envelope"]["allOf"][1]["properties"]["eid"], official)


def test_the_rules_for_edata_are_the_official_ones(official):
    found = {}
    for eid, schema in _events(official):
        properties = schema["allOf"][1]["properties"]
        assert properties["eid"]["enum"] == [eid]
        found[eid] = _rule_of(properties["edata"], official)
    assert found == EDATA


def _events(official):
    return [(eid, official[eid.lower()]) for eid in EDATA]


def _rule_of(schema, official):
    """The rule that a piece of an official file states; fails on any keyword it does not know."""
    if "$ref" in schema:
        return _rule_of(official[schema["$ref"].removeprefix(PREFIX).removesuffix(".json")], official)
    stated = {key: value for key, value in schema.items() if key not in IDLE}
    match stated.pop("type"):
        case "object":
            keys = {key: _rule_of(inner, official) for key, inner in stated.pop("properties", {}).items()}
            required = frozenset(stated.pop("required", ()))
            rule = Record(keys, required, closed=not stated.pop("additionalProperties", True))
        case "array":
            rule = ArrayOf(_rule_of(stated.pop("items"), official))
        case "number":
            rule = Number(minimum=stated.pop("minimum", None))
        case "string":
            rule = Text(stated.pop("minLength", 0), tuple(stated.pop("enum", ())))
    assert stated == {}
    return rule


VALUES = st.sampled_from(
    [None, 0, -1, -2, 7.5, True, "", "x", "3.1", "3.2", [], {}, [None], ["a"], [1], [{}], {"id": None}]
)
KEYS = st.sampled_from(["id", "type", "ver", "eid", "mid", "extra", "params", "loc", "l1", "objid", "item"])


BLOWS = st.lists(
    st.tuples(st.integers(0, 200), st.sampled_from(["set", "remove", "add"]), KEYS, VALUES),
    min_size=1,
    max_size=3,
)


def _strike(document, number, deed, key, value):
    """Change one of the places in a document, the one that `number` comes to."""
    value = copy.deepcopy(value)
    places = list(_places(document))
    place, step = places[number % len(places)] if places else (document, None)
    if deed == "add":
        place.append(value) if isinstance(place, list) else place.update({key: value})
    elif deed == "remove" and places:
        del place[step]
    elif places:
        place[step] = value


def _places(value):
    steps = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for step in steps:
        yield value, step
        yield from _places(value[step])


class Bases(list):
    def __repr__(self):
        return f"<{len(self)} events>"


@pytest.fixture(scope="session")
def bases(real_events):
    """Valid events to mutate: our own, one of every type, and real ones of every shape."""
    real = [json.loads(real.line) for real in real_events if real.valid]
    shapes = {(event["eid"], *sorted(event["edata"])): event for event in real}
    return Bases([*samples().values(), *shapes.values()])


@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10_000), BLOWS)
def test_strict_agrees_with_the_official_files_on_mutated_events(bases, oracle, both, number, blows):
    document = copy.deepcopy(bases[number % len(bases)])
    for blow in blows:
        _strike(document, *blow)
    raw = json.dumps(document).encode()
    readings = both[Level.STRICT](raw)
    assert (readings.exact is not None) == oracle(document), raw
    for level in Level:
        readings = both[level](raw)
        assert readings.typed is None or readings.typed == readings.exact, (level, raw)


def test_the_mutated_events_are_of_both_kinds(bases, oracle):
    assert all(map(oracle, bases))
    assert not any(oracle({**base, "edata": {"unheard": 1}}) for base in bases if base["eid"] != "HEARTBEAT")
