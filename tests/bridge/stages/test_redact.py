"""The stage `redact`: what leaves, what stays, and what an operator is told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from bridge.errors import EventError
from bridge.events import Decoder, Level, decode
from bridge.jsontext import MAX_DEPTH
from bridge.stages.redact import RedactStage
from bridge.stages.redact_config import PRESETS, RedactConfig
from bridge.testing import encode, make_event, nasty, samples

KEY = "a key that only this test knows"
REMOVE_COMMENTS = {"paths": ["edata.**.comments"], "action": "remove"}


def event(eid="FEEDBACK", changes=None, **overrides):
    return decode(encode(make_event(eid, changes, **overrides)))


def errors(**keys):
    with pytest.raises(ValidationError) as refused:
        RedactConfig.model_validate(keys)
    return {".".join(map(str, found["loc"])): found["msg"] for found in refused.value.errors()}


# what each action does


def test_remove_takes_out_key_and_value(redact):
    found = redact(REMOVE_COMMENTS).apply(event(changes={"edata.comments": "I am Asha"}))
    assert "comments" not in found.edata
    assert found.edata["rating"] == samples()["FEEDBACK"]["edata"]["rating"]


@pytest.mark.parametrize(
    ("value", "emptied"),
    [("text", ""), ([1, 2], []), ({"a": 1}, {}), (7.5, 0), (True, False), (None, None)],
)
def test_empty_keeps_the_type(redact, value, emptied):
    found = redact({"paths": ["edata.thing"], "action": "empty"}).apply(event(changes={"edata.thing": value}))
    assert found.edata["thing"] == emptied
    assert type(found.edata["thing"]) is type(emptied)


@pytest.mark.parametrize("value", ["", [], {}, 0, False, None])
def test_what_is_empty_already_leaves_the_event_as_it_is(redact, value):
    before = event(changes={"edata.thing": value})
    assert redact({"paths": ["edata.thing"], "action": "empty"}).apply(before) is before


def test_hash_is_an_hmac_of_namespace_and_value(redact):
    found = redact({"paths": ["actor.id"], "action": "hash", "namespace": "person"}).apply(
        event(changes={"actor.id": "u-17"})
    )
    digest = hmac.new(KEY.encode(), b"person\0u-17", hashlib.sha256).digest()[:16]
    assert found.actor.id == "k1:" + base64.b32encode(digest).decode().rstrip("=").lower()
    assert len(found.actor.id) == 29


def test_equal_values_meet_within_a_namespace_and_nowhere_else(redact):
    same = {"actor.id": "d-1", "context.did": "d-1", "context.sid": "d-1"}
    rules = [
        {"paths": ["actor.id", "context.did"], "action": "hash", "namespace": "person"},
        {"paths": ["context.sid"], "action": "hash"},
    ]
    found = redact(*rules).apply(event(changes=same))
    assert found.actor.id == found.context.did != found.context.sid


def test_another_key_gives_another_pseudonym(redact):
    rule = {"paths": ["actor.id"], "action": "hash"}
    ids = {redact(rule, key=key).apply(event()).actor.id for key in (KEY, KEY[::-1])}
    assert len(ids) == 2


def test_the_version_of_the_key_stands_in_front(redact):
    stage = redact({"paths": ["actor.id"], "action": "hash"}, key_version="k2")
    assert stage.apply(event()).actor.id.startswith("k2:")


def test_hash_reaches_every_value_below_its_path(redact):
    thing = {"a": ["x", 5, 5.0, 2.5, True, None, ""], "b": {"c": "x"}}
    stage = redact({"paths": ["edata.thing"], "action": "hash"})
    found = stage.apply(event(changes={"edata.thing": thing})).edata["thing"]
    first, five, float_five, fraction, yes, nothing, blank = found["a"]
    assert first == found["b"]["c"]
    assert five == float_five
    assert (nothing, blank) == (None, "")
    assert all(name.startswith("k1:") for name in (first, five, fraction, yes))


@pytest.mark.parametrize("name", ["", "anonymous"])
def test_nobody_stays_nobody(redact, name):
    before = event(changes={"actor.id": name})
    assert redact({"paths": ["actor.id"], "action": "hash"}).apply(before) is before


def test_a_federated_user_is_the_same_user(redact):
    stage = redact({"paths": ["actor.id"], "action": "hash"})
    ids = {stage.apply(event(changes={"actor.id": name})).actor.id for name in ("u-1", "f:5a8a-77:u-1")}
    assert len(ids) == 1


def test_a_long_value_has_a_pseudonym_too(redact):
    stage = redact({"paths": ["edata.thing"], "action": "hash"})
    found = {
        stage.apply(event(changes={"edata.thing": "x" * size})).edata["thing"] for size in (9_999, 10_000)
    }
    assert {len(name) for name in found} == {29}
    assert len(found) == 2


def test_mask_changes_texts_and_leaves_numbers(redact):
    params = [{"url": "/u?mail=a@example.org"}, {"n": 9876543210, "list": ["call 98765 43210"]}]
    stage = redact({"paths": ["edata"], "action": "mask", "patterns": ["email", "phone"]})
    found = stage.apply(event("LOG", {"edata.params": params}))
    assert found.edata["params"] == [{"url": "/u?mail=[email]"}, {"n": 9876543210, "list": ["call [phone]"]}]


@pytest.mark.parametrize(
    "written", [r"a\u0040example.org", r"\u0061@example.org", r"\na@example.org", r"\"a@example.org\""]
)
def test_escapes_hide_nothing_from_a_mask(redact, written):
    raw = encode(make_event("LOG", {"edata.message": "HERE"})).replace(b"HERE", written.encode())
    stage = redact({"paths": ["edata"], "action": "mask", "patterns": ["email"]})
    assert stage.apply(decode(raw)).edata["message"].strip('\n"') == "[email]"


def test_mask_takes_expressions_of_ones_own(redact):
    stage = redact({"paths": ["edata.message"], "action": "mask", "regex": [r"^EMP\d{4,8}$"]})
    assert stage.apply(event("LOG", {"edata.message": "EMP00417"})).edata["message"] == "[masked]"


def test_truncate_ip_cuts_addresses_in_texts(redact):
    stage = redact({"paths": ["edata.params"], "action": "truncate_ip"})
    found = stage.apply(event("LOG", {"edata.params": [{"ip": "203.0.113.77"}, {"ip": "2001:db8:a:b::1"}]}))
    assert found.edata["params"] == [{"ip": "203.0.113.0"}, {"ip": "2001:db8:a::"}]


def test_keep_only_leaves_the_named_keys(redact):
    stage = redact({"paths": ["edata"], "action": "keep_only", "keys": ["type", "pageid"]})
    assert stage.apply(event("IMPRESSION")).edata.keys() == {"type", "pageid"}
    short = event("END", edata={"type": "view"})
    assert stage.apply(short) is short


def test_keep_only_works_on_each_item_and_empties_what_has_no_keys(redact):
    stage = redact({"paths": ["edata.items"], "action": "keep_only", "keys": ["id"]})
    found = stage.apply(event("HEARTBEAT", edata={"items": [{"id": "1", "x": 2}, "text", [{"x": 1}]]}))
    assert found.edata["items"] == [{"id": "1"}, "", [{}]]


def test_rules_for_one_place_follow_each_other(redact):
    rules = [
        {"paths": ["edata.message"], "action": "mask", "patterns": ["email"]},
        {"paths": ["edata.message"], "action": "mask", "regex": [r"\[email\]"]},
        {"paths": ["edata"], "action": "keep_only", "keys": ["message"]},
    ]
    assert redact(*rules).apply(event("LOG", {"edata.message": "a@b.org"})).edata == {"message": "[masked]"}


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_leaves_official_events_official(redact, name):
    stage = redact(presets=[name])
    for document in samples().values():
        decode(stage.apply(decode(encode(document))).raw)  # level lenient: types and required keys


def test_learner_answers_are_emptied(redact):
    stage = redact(presets=["learner_answers"])
    assert stage.apply(event("ASSESS")).edata["resvalues"] == []
    assert stage.apply(event("RESPONSE")).edata["values"] == []


def test_an_anonymous_users_device_stays_recognisable_as_such(redact):
    found = redact(presets=["identifiers"]).apply(event(changes={"actor.id": "d-1", "context.did": "d-1"}))
    assert found.actor.id == found.context.did != "d-1"


# what stays


def test_an_event_that_no_rule_concerns_is_the_same_object(redact):
    stage = redact(REMOVE_COMMENTS, {"paths": ["edata.item.params"], "action": "remove"})
    for document in samples().values():
        before = decode(encode(document))
        if not {"comments", "item"} & before.edata.keys():
            assert stage.apply(before) is before


@pytest.mark.parametrize(
    "edata", [{}, {"item": None}, {"item": "q1", "resvalues": "a"}, {"resvalues": [1, None]}]
)
def test_a_question_without_its_parts_is_no_failure(redact, edata):
    """Sunbird's own redactor stops the job at an ASSESS without `edata.item`."""
    bare = Decoder(Level.ENVELOPE).event(encode(make_event("ASSESS", edata=edata)))
    stage = redact({"paths": ["edata.item.id", "edata.resvalues.*.x"], "action": "remove"})
    assert stage.apply(bare) is bare


def test_numbers_beside_a_redaction_keep_their_notation(redact):
    numbers = b'"n":[1.0,1e400,-0.0,12345678901234567890123,0.1000,1.57E12]'
    raw = encode(make_event("HEARTBEAT", edata={"secret": "x", "n": 0})).replace(b'"n":0', numbers)
    found = redact({"paths": ["edata.secret"], "action": "remove"}).apply(decode(raw))
    assert b'"edata":{' + numbers + b"}" in found.raw


def test_a_key_given_twice_hides_nothing(redact):
    plain = encode(make_event("FEEDBACK", edata={}))
    for edata in (
        b'{"comments":"hidden"},"edata":{}',
        b'{"comments":"hidden","comments":"hidden too"}',
        b'{"x":{"comments":"hidden"},"x":1}',
        b'{"x":{"comments":"hidden"}, "x" : {"comments":"hidden"}}',
    ):
        found = redact(REMOVE_COMMENTS).apply(decode(plain.replace(b'"edata":{}', b'"edata":' + edata)))
        assert b"hidden" not in found.raw


def test_a_key_spelt_with_escapes_hides_nothing(redact):
    raw = encode(make_event("FEEDBACK", edata={"comments": "hidden"})).replace(b"comments", rb"com\u006dents")
    assert b"hidden" not in redact(REMOVE_COMMENTS).apply(decode(raw)).raw


def test_white_space_alone_changes_nothing(redact):
    before = decode(json.dumps(make_event("FEEDBACK", edata={"x": {"comment": 1}}), indent=None).encode())
    assert redact(REMOVE_COMMENTS, {"paths": ["**.y"], "action": "remove"}).apply(before) is before


def test_the_identity_follows_what_it_is_made_of(redact):
    before = event()
    assert redact({"paths": ["edata.comments"], "action": "remove"}).apply(before).identity == before.identity
    assert redact({"paths": ["actor.id"], "action": "hash"}).apply(before).identity != before.identity


def test_rules_look_into_a_hundred_levels(redact):
    inner = b'{"comments":"hidden", "mail":"a@example.org"}'
    for _ in range(49):
        inner = b'[{"x":' + inner + b"}]"
    raw = encode(make_event("HEARTBEAT", edata={"x": 0})).replace(b'{"x":0}', b'{"x":' + inner + b"}")
    stage = redact(REMOVE_COMMENTS, {"paths": ["edata"], "action": "mask", "patterns": ["email"]})
    found = stage.apply(decode(raw)).raw
    assert b"hidden" not in found
    assert b'"mail":"[email]"' in found


@pytest.mark.parametrize("rule", [{"action": "hash"}, {"action": "keep_only", "keys": ["x"]}])
@pytest.mark.parametrize("path", ["edata.x", "edata.**.y"])
def test_an_event_that_nests_deeper_is_refused(redact, path, rule):
    """Nothing unredacted gets on; the time for such an event would grow with the square of its depth."""
    for levels in (110, MAX_DEPTH - 10):
        nest = (
            b'{"y":' * levels + b"1" + b"}" * levels if "y" in path else b"[" * levels + b"1" + b"]" * levels
        )
        raw = encode(make_event("HEARTBEAT", edata={"x": 0})).replace(b'"x":0', b'"x":' + nest)
        with pytest.raises(EventError) as refused:
            redact({"paths": [path], **rule}).apply(decode(raw))
        assert refused.value.code == "too_deep"


@pytest.mark.parametrize("name", sorted(nasty()))
def test_a_nasty_event_comes_through_or_is_too_deep(redact, name):
    stage = redact(
        REMOVE_COMMENTS,
        {"paths": ["**.id", "tags.*"], "action": "hash"},
        {"paths": ["edata"], "action": "mask", "patterns": ["email", "ipv6"]},
        presets=list(PRESETS),
    )
    for found in Decoder(Level.ENVELOPE).batch([nasty()[name]]).events:
        try:
            after = stage.apply(found)
        except EventError as error:
            assert (error.code, "nested" in name) == ("too_deep", True)  # noqa: PT017 - those may be refused
        else:
            assert (after.eid, after.ets, after.mid) == (found.eid, found.ets, found.mid)


def test_every_real_event_comes_through(redact, real_events):
    stage = redact(
        {"paths": ["**.comments"], "action": "remove"},
        {"paths": ["context.cdata.id", "edata.**.uri"], "action": "hash"},
        {"paths": ["edata"], "action": "truncate_ip"},
        presets=list(PRESETS),
    )
    for before in real_events:
        after = stage.apply(before)
        assert (after.eid, after.ets, after.mid) == (before.eid, before.ets, before.mid)
        assert stage.apply(before).raw == after.raw


def test_a_rule_for_nothing_changes_no_byte_of_real_events(redact, real_events):
    paths = ['**."no such key"', 'edata.*."nor/this"', "edata.**.*.zzz"]
    stage = redact({"paths": paths, "action": "remove"})
    repeated = [event for event in real_events if stage.apply(event) is not event]
    assert all(stage.apply(event).document == event.document for event in repeated)
    assert len(repeated) < len(real_events) / 100


# properties

secret_texts = st.text('qwxzQWXZ é"\\\n\u0905\U0001f600', min_size=4, max_size=12).filter(
    lambda text: text.strip()
)
secret_values = st.recursive(
    secret_texts | st.integers(10**6, 10**15),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(st.sampled_from("kl"), inner, min_size=1, max_size=2)
    ),
    max_leaves=5,
)
SHAPES = [
    ({}, "edata.secret"),
    ({}, "edata.*"),
    ({}, "**.secret"),
    ({"deep": [{"secret": None}]}, "edata.**.secret"),
    ({"deep": [{"secret": None}]}, "edata.deep.secret"),
]


def plant(shape, value):
    """The shape with the value under each key `secret`."""
    if isinstance(shape, dict):
        return {key: value if key == "secret" else plant(inner, value) for key, inner in shape.items()}
    return [plant(item, value) for item in shape] if isinstance(shape, list) else shape


def written(value):
    """Every way a leaf of the value stands in JSON."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return {form for item in inner for form in written(item)}
    return {json.dumps(value, ensure_ascii=ascii_only).strip('"').encode() for ascii_only in (True, False)}


@given(
    value=secret_values,
    shape=st.sampled_from(SHAPES),
    action=st.sampled_from(["remove", "empty", "hash"]),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 1]),
)
def test_no_value_of_a_redacted_place_is_in_any_byte(redact, value, shape, action, ascii_only, indent):
    body, path = shape
    edata = plant(body, value) if body else {"secret": value}
    document = make_event("HEARTBEAT", edata=edata)
    raw = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode()
    after = redact({"paths": [path], "action": action}).apply(decode(raw))
    for form in written(value):
        assume(form not in encode(make_event("HEARTBEAT", edata={})))
        assert form not in after.raw


@given(value=secret_values, action=st.sampled_from(["remove", "empty", "hash"]))
def test_everything_beside_a_redacted_place_is_kept(redact, value, action):
    before = event("ASSESS", {"edata.secret": value})
    after = redact({"paths": ["edata.secret"], "action": action}).apply(before)
    kept, found = before.document, after.document
    kept["edata"].pop("secret")
    found["edata"].pop("secret", None)
    assert found == kept
    assert list(found) == list(kept)


@given(st.text("ab.@ 0987654321:+-", max_size=30), st.text("ab @.", max_size=5))
def test_a_mask_finds_in_an_event_what_it_finds_in_the_text(redact, text, around):
    names = ["email", "phone", "aadhaar", "ipv4", "ipv6"]
    stage = redact({"paths": ["edata"], "action": "mask", "patterns": names})
    edata = {"text": text, "list": [around, {"text": around + text}]}
    found = stage.apply(event("HEARTBEAT", edata=edata)).edata
    slow = redact({"paths": ["edata"], "action": "mask", "patterns": names, "regex": ["never there"]})
    assert found == slow.apply(event("HEARTBEAT", edata=edata)).edata


def test_another_process_makes_the_same_bytes(redact):
    rules = [{"paths": ["actor.id", "edata.**.id"], "action": "hash"}, REMOVE_COMMENTS]
    program = (
        "import json,sys\n"
        "from bridge.events import decode\n"
        "from bridge.stages.redact import RedactStage\n"
        "from bridge.stages.redact_config import RedactConfig\n"
        "stage = RedactStage(RedactConfig.model_validate(json.loads(sys.argv[1])))\n"
        "for line in sys.stdin.buffer:\n"
        "    sys.stdout.buffer.write(stage.apply(decode(line.strip())).raw + b'\\n')\n"
    )
    lines = [encode(document) for document in samples().values()]
    configured = json.dumps({"rules": rules, "key": KEY})
    done = subprocess.run(
        [sys.executable, "-c", program, configured],
        input=b"\n".join(lines) + b"\n",
        capture_output=True,
        check=True,
        env={"PYTHONHASHSEED": "4242"},
    )
    assert done.stdout.splitlines() == [redact(*rules).apply(decode(line)).raw for line in lines]


# what an operator is told


@pytest.mark.parametrize(
    ("rule", "place", "said"),
    [
        ({"paths": []}, "rules.0", "name at least one path"),
        ({"paths": ["mid"]}, "rules.0.paths.0", "tells events apart"),
        ({"paths": ["a[0]"]}, "rules.0.paths.0", "leave out brackets"),
        ({"action": "drop"}, "rules.0.action", "'remove', 'empty'"),
        ({"namespace": "x"}, "rules.0", 'namespace belongs to action = "hash"'),
        ({"keys": ["x"]}, "rules.0", 'keys belongs to action = "keep_only"'),
        ({"action": "mask"}, "rules.0", 'for example patterns = ["email", "phone"]'),
        ({"action": "keep_only"}, "rules.0", 'for example keys = ["type", "pageid"]'),
        ({"action": "mask", "patterns": ["fax"]}, "rules.0.patterns.0", "'email', 'phone'"),
        ({"action": "mask", "regex": ["(a+)+"]}, "rules.0.regex.0", "could take too long"),
    ],
)
def test_a_wrong_rule_is_explained(rule, place, said):
    found = errors(rules=[{"paths": ["edata.x"], "action": "remove"} | rule])
    assert list(found) == [place]
    assert said in found[place]


def test_a_stage_without_rules_is_refused():
    assert 'presets = ["learner_answers"]' in errors()[""]


def test_hash_without_a_key_is_refused():
    assert 'write key = "env:REDACT_KEY"' in errors(presets=["identifiers"])[""]


def test_a_short_key_is_refused_and_not_shown():
    found = errors(presets=["identifiers"], key="short-key")
    assert "16 characters or more" in found["key"]
    assert "short-key" not in str(found)


def test_a_key_is_read_when_the_stage_is_entered(tmp_path):
    place = tmp_path / "key"
    place.write_text(KEY)
    config = RedactConfig.model_validate({"presets": ["identifiers"], "key": f"file:{place}"})
    with RedactStage(config) as stage:
        place.unlink()
        assert stage.apply(event()).actor.id.startswith("k1:")
