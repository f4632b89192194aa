from __future__ import annotations

import json
import re

import pytest

from bridge.errors import EventError
from bridge.testing import ABSENT, encode, make_event, samples, unknown_samples
from bridge.validation import Decoder, Level

pytestmark = pytest.mark.usefixtures("each_reader")

LEVELS = list(Level)
STRICT, LENIENT, ENVELOPE = Level.STRICT, Level.LENIENT, Level.ENVELOPE


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("eid", list(samples()))
def test_every_official_event_passes_every_level(eid, level, verdict):
    assert verdict(samples()[eid], level) is None


@pytest.mark.parametrize(
    "eid", [*unknown_samples(), "LEVEL_SET", "SCAN", "interact", "cdata", "envelope", "event"]
)
def test_an_unknown_eid_is_refused_by_strict_alone(eid, verdict):
    event = make_event(eid, {"edata.anything": [1]})
    assert verdict(event, STRICT) == ("unknown_eid", "$.eid")
    assert verdict(event, LENIENT) is None
    assert verdict(event, ENVELOPE) is None


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"context": ABSENT}, ("missing_key", "$.context")),
        ({"edata": ABSENT}, ("missing_key", "$.edata")),
        ({"edata": []}, ("wrong_type", "$.edata")),
        ({"edata": "x"}, ("wrong_type", "$.edata")),
    ],
)
def test_an_unknown_eid_still_needs_the_envelope_and_an_edata_that_is_an_object(changes, found, verdict):
    assert verdict(make_event("JOB_START", changes), LENIENT) == found


@pytest.mark.parametrize(
    ("eid", "key"),
    [
        ("INTERACT", "edata.hotness"),
        ("INTERACT", "edata.target.hotness"),
        ("INTERACT", "edata.plugin.hotness"),
        ("IMPRESSION", "edata.visits.0.hotness"),
        ("ASSESS", "edata.item.hotness"),
        ("RESPONSE", "edata.qid"),
        ("SHARE", "edata.items.0.hotness"),
        ("ERROR", "edata.object.hotness"),
        ("EXDATA", "edata.hotness"),
    ],
)
def test_a_key_that_edata_does_not_know_is_refused_by_strict_alone(eid, key, verdict):
    path = "$." + re.sub(r"\.(\d+)", r"[\1]", key)
    for event in (make_event(eid, {key: 7}), make_event(eid, {key: {"deep": [None]}})):
        assert verdict(event, STRICT) == ("unknown_key", path)
        assert verdict(event, LENIENT) is None
    assert verdict(make_event(eid, {key: None}), STRICT) is None


def test_cdata_knows_two_keys_at_both_official_levels(verdict):
    event = make_event("LOG", {"context.cdata": [{"type": "a", "id": "b", "name": "c"}]})
    assert verdict(event, STRICT) == verdict(event, LENIENT) == ("unknown_key", "$.context.cdata[0].name")
    assert verdict(event, ENVELOPE) is None


CASES = {
    "missing_key": [
        ("INTERACT", {"edata.id": ABSENT}, "$.edata.id", "add the key, a string"),
        ("ASSESS", {"edata.item.id": None}, "$.edata.item.id", "add the key, a string"),
        ("ASSESS", {"edata.score": None}, "$.edata.score", "add the key, a number"),
        ("SHARE", {"edata.items": ABSENT}, "$.edata.items", "add the key, an array"),
        ("LOG", {"actor": ABSENT}, "$.actor", "add the key, an object"),
        ("LOG", {"ver": ABSENT}, "$.ver", 'add the key, "3.0" or "3.1"'),
        ("LOG", {"context.channel": None}, "$.context.channel", "add the key, a string that is not blank"),
    ],
    "wrong_type": [
        ("LOG", {"ets": "1"}, "$.ets", "write a number, not a string"),
        ("LOG", {"ets": True}, "$.ets", "write a number, not a boolean"),
        ("LOG", {"context.cdata": [{"type": "Class", "id": ["Class 11"]}]}, "$.context.cdata[0].id", None),
        ("LOG", {"tags": [None]}, "$.tags[0]", "write a string, not null"),
        ("LOG", {"edata.params": "[{}]"}, "$.edata.params", "write an array, not a string"),
        ("LOG", {"edata.params": [1]}, "$.edata.params[0]", "write an object, not a number"),
        ("LOG", {"object": {"rollup": []}}, "$.object.rollup", "write an object, not an array"),
        ("LOG", {"object": {"rollup": {"l1": 1}}}, "$.object.rollup.l1", None),
        ("METRICS", {"edata.metrics": [{"value": "7"}]}, "$.edata.metrics[0].value", None),
        ("LOG", {"mid": 7}, "$.mid", "write a string, not a number"),
    ],
    "not_allowed": [("LOG", {"ver": "2.1"}, "$.ver", 'write "3.0" or "3.1"')],
    "too_short": [
        ("LOG", {"mid": ""}, "$.mid", "write 1 character or more"),
        ("LOG", {"eid": ""}, "$.eid", "write 1 character or more"),
        ("LOG", {"context.channel": ""}, "$.context.channel", "write 1 character or more"),
    ],
    "too_small": [("START", {"edata.dspec.mem": -1.5}, "$.edata.dspec.mem", "write -1 or more")],
    "number_out_of_range": [("LOG", {"ets": 10**400}, "$.ets", None)],
}


@pytest.mark.parametrize("level", [STRICT, LENIENT])
@pytest.mark.parametrize(
    ("code", "eid", "changes", "path", "reason"),
    [(code, *case) for code, cases in CASES.items() for case in cases],
)
def test_a_refusal_names_code_path_and_what_to_write_instead(code, eid, changes, path, reason, level):
    with pytest.raises(EventError) as caught:
        Decoder(level).event(encode(make_event(eid, changes)))
    assert (caught.value.code, caught.value.path) == (code, path)
    assert caught.value.reason == (reason or caught.value.reason)


def test_a_refused_key_is_shown_escaped_and_cut_short():
    with pytest.raises(EventError) as caught:
        Decoder(STRICT).event(
            encode(make_event("LOG", edata={**samples()["LOG"]["edata"], 'a "b"\n' + "k" * 99: 1}))
        )
    assert caught.value.path == '$.edata["a \\"b\\"\\n' + "k" * 58 + '…"]'


def test_an_unknown_key_is_answered_with_the_known_ones():
    with pytest.raises(EventError) as caught:
        Decoder(STRICT).event(encode(make_event("INTERRUPT", {"edata.eventid": "x"})))
    assert caught.value.reason == "remove the key: beside it only type, pageid are known here"


def test_the_first_unknown_key_is_named_whatever_the_hash_seed():
    event = make_event("LOG", {f"edata.{name}": 1 for name in "zyxwvutsrq"})
    with pytest.raises(EventError) as caught:
        Decoder(STRICT).event(encode(event))
    assert caught.value.path == "$.edata.z"


@pytest.mark.parametrize("level", [STRICT, LENIENT])
def test_null_counts_as_absent_in_objects_at_any_depth_but_not_in_arrays(level, verdict):
    nulls = {"object.rollup": {"l1": None}, "tags": None, "edata.target.parent": None, "edata.pageid": None}
    assert (
        verdict(make_event("INTERACT", {**nulls, "context.sid": None, "edata.extra": {"a": [None]}}), level)
        is None
    )
    assert verdict(make_event("INTERACT", {"edata.target.id": None}), level) == (
        "missing_key",
        "$.edata.target.id",
    )
    assert verdict(make_event("LOG", {"edata.params": [None]}), level) == ("wrong_type", "$.edata.params[0]")


# Shaped as DIGIT's services and portals send them: no version 3 envelope worth the name.
DIGIT = {
    "eid": "IMPRESSION",
    "ets": 1_612_345_678_901,
    "mid": "IMPRESSION:0f3d",
    "ver": "3.0",
    "actor": {"id": "412", "type": None, "role": "CITIZEN"},
    "context": {"channel": "pb.amritsar", "env": "PGR", "did": None, "pdata": {"id": "rainmaker", "ver": 2}},
    "object": [],
    "edata": {"type": "summary", "url": "/citizen/home", "timeSpent": 1200},
    "tags": [{"tenant": "pb"}],
}


def test_an_event_in_digits_manner_passes_envelope_and_reads_without_surprises():
    event = Decoder(ENVELOPE).event(encode(DIGIT))
    assert (event.actor.id, event.actor.type) == ("412", "")
    assert (event.context.channel, event.context.did, event.context.cdata) == ("pb.amritsar", None, None)
    assert (event.context.pdata.id, event.context.pdata.ver) == ("rainmaker", None)
    assert event.object is None
    assert event.tags == []
    assert event.edata["url"] == "/citizen/home"


def test_the_least_that_envelope_takes_reads_as_blanks():
    event = Decoder(ENVELOPE).event(b'{"eid":"E","ets":1,"mid":"m"}')
    assert (event.actor.id, event.actor.type, event.ver) == ("", "", "")
    assert (event.context.channel, event.context.env, event.context.sid, event.context.did) == (
        "",
        "",
        None,
        None,
    )
    assert (event.context.pdata.id, event.context.pdata.pid, event.object, event.tags) == (
        "",
        None,
        None,
        None,
    )
    assert (event.edata, event.document) == ({}, {"eid": "E", "ets": 1, "mid": "m"})


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"eid": None}, ("missing_key", "$.eid")),
        ({"eid": ""}, ("too_short", "$.eid")),
        ({"mid": ""}, ("too_short", "$.mid")),
        ({"mid": ["m"]}, ("wrong_type", "$.mid")),
        ({"ets": "1612345678901"}, ("wrong_type", "$.ets")),
        ({"ets": False}, ("wrong_type", "$.ets")),
        ({"actor": "412"}, ("wrong_type", "$.actor")),
        ({"actor": {"id": 412}}, ("wrong_type", "$.actor.id")),
        ({"context": []}, ("wrong_type", "$.context")),
        ({"context": {"did": 7}}, ("wrong_type", "$.context.did")),
        ({"context": {"channel": {}}}, ("wrong_type", "$.context.channel")),
        ({"context": {"sid": 7}}, ("wrong_type", "$.context.sid")),
        ({"context": {"pdata": "x"}}, ("wrong_type", "$.context.pdata")),
        ({"context": {"pdata": {"id": 7}}}, ("wrong_type", "$.context.pdata.id")),
        ({"actor": None, "context": None, "edata": None, "ver": 3}, None),
        ({"context": {"pdata": None, "channel": None, "cdata": {"a": 1}}}, None),
        ({"edata": "free text", "object": "do_1", "tags": "a,b"}, None),
    ],
)
def test_envelope_checks_what_identity_and_routing_read_and_nothing_else(changes, found, verdict):
    assert verdict({**DIGIT, **changes}, ENVELOPE) == found


def test_envelope_takes_every_real_event_that_has_an_eid_a_time_and_a_mid(real_events, verdict):
    for real in real_events:
        event = json.loads(real.line)
        usable = isinstance(event.get("ets"), int | float) and event.get("mid") and event.get("eid")
        assert (verdict(real.line, ENVELOPE) is None) == bool(usable), real.place


def test_each_level_takes_what_the_one_above_it_takes(real_events, verdict):
    for real in real_events:
        strict, lenient, envelope = (verdict(real.line, level) is None for level in LEVELS)
        assert strict <= lenient <= envelope, real.place


def test_a_level_may_be_given_by_its_name():
    with pytest.raises(EventError):
        Decoder("strict").event(encode(make_event("SCAN")))
    with pytest.raises(ValueError, match="loose"):
        Decoder("loose")
