from __future__ import annotations

import contextlib
import json
import subprocess
import sys

import pytest

from bridge import testing
from bridge.errors import EventError
from bridge.events import Decoder, Level, decode
from bridge.testing import ABSENT, encode, hostile, make_event, nasty, samples, unknown_samples

OFFICIAL = [
    "START",
    "IMPRESSION",
    "INTERACT",
    "ASSESS",
    "RESPONSE",
    "INTERRUPT",
    "FEEDBACK",
    "SHARE",
    "AUDIT",
    "ERROR",
    "HEARTBEAT",
    "LOG",
    "SEARCH",
    "METRICS",
    "SUMMARY",
    "EXDATA",
    "END",
]
NASTY = nasty()


@pytest.fixture(scope="module")
def strict():
    return Decoder(Level.STRICT).event


def test_there_is_one_sample_for_each_of_the_17_official_types():
    assert list(samples()) == OFFICIAL
    assert [event["eid"] for event in samples().values()] == OFFICIAL


@pytest.mark.parametrize("eid", OFFICIAL)
def test_a_sample_passes_strict_validation_and_keeps_its_values(eid, strict):
    event = strict(encode(samples()[eid]))
    assert (event.eid, event.mid) == (eid, samples()[eid]["mid"])
    assert event.edata == samples()[eid]["edata"]


def test_samples_are_rich_each_type_uses_most_of_what_its_schema_knows(shared):
    for eid, sample in samples().items():
        schema = json.loads((shared / f"sunbird/schemas/v3/{eid.lower()}.json").read_text())
        known = schema["allOf"][1]["properties"]["edata"].get("properties", {})
        missing = set(known) - set(sample["edata"])
        assert not missing, f"{eid} lacks {missing}"


def test_every_sample_has_its_own_message_id_and_time():
    events = samples().values()
    assert len({event["mid"] for event in events}) == len(OFFICIAL)
    assert len({event["ets"] for event in events}) == len(OFFICIAL)


@pytest.mark.parametrize("eid", list(unknown_samples()))
def test_an_unknown_type_passes_lenient_validation_only(eid, strict):
    line = encode(unknown_samples()[eid])
    assert decode(line).eid == eid
    with pytest.raises(EventError):
        strict(line)


def test_the_names_that_only_workflows_mention_are_among_the_unknown_ones():
    named = {"ACCESS", "APP_UPDATE", "PLUGIN_LIFECYCLE", "JOB_START", "JOB_LOG", "JOB_END", "SHARE_ITEM"}
    assert named | {"ME_WORKFLOW_SUMMARY"} <= set(unknown_samples())


def test_dotted_keys_change_what_lies_inside_and_nothing_else():
    event = make_event("ASSESS", {"edata.score": 0.5, "context.did": "d1", "context.cdata.0.id": "c1"})
    assert event["edata"]["score"] == 0.5
    assert event["context"]["did"] == "d1"
    assert event["context"]["cdata"][0]["id"] == "c1"
    untouched = make_event("ASSESS")
    assert event["edata"]["item"] == untouched["edata"]["item"]
    assert event["context"]["cdata"][1:] == untouched["context"]["cdata"][1:]


def test_keywords_replace_whole_top_level_keys():
    assert make_event(mid="m-1", edata={"type": "TOUCH", "id": "x"})["edata"] == {"type": "TOUCH", "id": "x"}


def test_dotted_keys_make_the_objects_on_their_way():
    assert make_event("START", {"edata.more.deep": 1})["edata"]["more"] == {"deep": 1}


def test_absent_removes_a_key():
    event = make_event("INTERACT", {"edata.id": ABSENT}, object=ABSENT)
    assert "id" not in event["edata"]
    assert "object" not in event


def test_removing_what_is_not_there_is_an_error_because_it_is_a_typing_mistake():
    with pytest.raises(LookupError):
        make_event("INTERACT", {"edata.idd": ABSENT})
    with pytest.raises(LookupError):
        make_event("INTERACT", {"tags.7": "x"})


def test_a_path_through_a_plain_value_is_an_error():
    with pytest.raises((TypeError, AttributeError)):
        make_event("INTERACT", {"edata.id.deeper": 1})


def test_a_type_without_a_sample_gets_an_envelope_and_an_empty_edata():
    event = make_event("TELEPORT", {"edata.to": "moon"})
    assert decode(encode(event)).edata == {"to": "moon"}


def test_changing_one_event_leaves_the_next_one_alone():
    first = make_event()
    first["edata"]["extra"]["values"].append("x")
    first["context"]["pdata"]["id"] = "other"
    assert make_event() != first
    assert make_event()["context"]["pdata"]["id"] == "prod.pathshala.app"


def test_factories_give_the_same_bytes_in_another_process_with_another_hash_seed():
    program = (
        "import hashlib; from bridge.testing import *; "
        "lines = [encode(e) for e in {**samples(), **unknown_samples()}.values()] + list(nasty().values()); "
        "print(hashlib.sha256(b'|'.join(lines)).hexdigest())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


def test_encode_writes_one_compact_line_of_utf_8():
    line = encode(make_event("RESPONSE"))
    assert "தமிழ்நாடு".encode() in line
    assert b"\n" not in line
    assert b'": ' not in line
    assert json.loads(line) == make_event("RESPONSE")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud83d"])
def test_encode_refuses_what_json_in_utf_8_cannot_hold(value):
    with pytest.raises(ValueError, match=r"JSON|surrogates"):
        encode(make_event("INTERACT", {"edata.extra": [value]}))


@pytest.mark.parametrize("name", [*hostile.ACCEPTED, *hostile.ACCEPTED_TEXT])
def test_a_nasty_event_the_schemas_accept_passes_strict_validation(name, strict):
    assert strict(NASTY[name]).eid


@pytest.mark.parametrize("name", list(hostile.UNOFFICIAL))
def test_a_nasty_event_from_real_producers_passes_lenient_validation_only(name, strict):
    assert decode(NASTY[name]).eid
    with pytest.raises(EventError):
        strict(NASTY[name])


@pytest.mark.parametrize("name", [*hostile.REFUSED, *hostile.REFUSED_TEXT])
def test_a_nasty_line_that_is_no_valid_event_is_refused(name):
    with pytest.raises(EventError):
        decode(NASTY[name])


@pytest.mark.parametrize("name", list(hostile.EXTREME_TEXT))
def test_an_extreme_line_gets_a_verdict(name):
    with contextlib.suppress(EventError):
        assert decode(NASTY[name]).eid


def test_every_nasty_line_differs_from_the_ordinary_event_and_from_the_others():
    lines = [*NASTY.values(), encode(make_event())]
    assert len(set(lines)) == len(lines)


def test_nasty_covers_what_breaks_programs():
    text = b"\n".join(NASTY.values())
    wanted = (b"$set", b"$groups", b'"distinct_id"', b'"token"', b"DROP TABLE", b"<script>", rb"\r\n", b"NaN")
    assert [piece for piece in wanted if piece not in text] == []
    assert b"E12" in NASTY["ets in scientific notation"]
    assert NASTY["duplicate keys"].count(b'"mid"') == 3
    assert len(NASTY["event of more than 1 MiB"]) > 1_048_576
    assert len(json.loads(NASTY["ids of 250 characters"])["actor"]["id"]) == 250


def test_the_package_offers_the_event_factories():
    names = {"ABSENT", "encode", "make_event", "nasty", "samples", "unknown_samples"}
    assert names <= set(testing.__all__)
