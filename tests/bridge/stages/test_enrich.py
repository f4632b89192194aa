"""The stage `enrich`: constants, and what a local table knows."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from bridge.errors import SetupError
from bridge.events import decode
from bridge.secrets import Places
from bridge.stages.enrich import EnrichConfig, EnrichStage
from bridge.testing import encode, make_event, samples

CSV = """id,name,board,medium
do_1,"Fractions, part 1",State A,Odia
do_2,Light,,
"""


@pytest.fixture
def table(tmp_path):
    """`table(text, name)` writes a file and returns the keys that look it up by `object.id`."""

    def write(text=CSV, name="content.csv", **keys):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return {"file": str(tmp_path / name), "path": "object.id", "target": "contentdata", **keys}

    return write


def event(changes=None, **overrides):
    return decode(encode(make_event("IMPRESSION", {"object.id": "do_1", **(changes or {})}, **overrides)))


def errors(**keys):
    with pytest.raises(ValidationError) as refused:
        EnrichConfig.model_validate(keys)
    return " ".join(found["msg"] for found in refused.value.errors())


def test_a_row_is_put_under_its_target(enrich, table):
    found = enrich(**table()).apply(event())
    assert found.document["contentdata"] == {
        "name": "Fractions, part 1",
        "board": "State A",
        "medium": "Odia",
    }
    assert found.identity == event().identity


def test_everything_else_keeps_its_bytes(enrich, table):
    before = event()
    found = enrich(**table()).apply(before)
    assert found.raw.startswith(before.raw[:-1] + b',"contentdata":{')


def test_only_the_chosen_columns_are_put(enrich, table):
    found = enrich(**table(columns=["board"])).apply(event())
    assert found.document["contentdata"] == {"board": "State A"}


def test_an_empty_cell_gives_no_key(enrich, table):
    assert enrich(**table()).apply(event({"object.id": "do_2"})).document["contentdata"] == {"name": "Light"}


def test_an_event_without_a_row_is_the_same_object(enrich, table):
    before = event({"object.id": "do_unknown"})
    assert enrich(**table()).apply(before) is before


def test_a_flag_says_whether_there_was_a_row(enrich, table):
    stage = enrich(**table(flag="content_denorm"))
    assert stage.apply(event()).document["flags"] == {"content_denorm": True}
    missing = stage.apply(event({"object.id": "x", "flags": {"pp_duplicate": False}}))
    assert missing.document["flags"] == {"pp_duplicate": False, "content_denorm": False}
    assert stage.apply(missing) is missing


def test_what_is_there_is_not_overwritten(enrich, table):
    before = event(contentdata={"name": "as it was"})
    assert enrich(**table()).apply(before) is before
    after = enrich(**table(overwrite=True)).apply(before)
    assert after.document["contentdata"]["name"] == "Fractions, part 1"


def test_null_counts_as_nothing(enrich, table):
    assert enrich(**table()).apply(event(contentdata=None)).document["contentdata"]


@pytest.mark.parametrize("target", ["contentdata", "edata.content", "context.extra.content"])
def test_a_target_may_lie_deeper(enrich, table, target):
    found = enrich(**table(target=target)).apply(event()).document
    for key in target.split("."):
        found = found[key]
    assert found["board"] == "State A"


def test_a_value_on_the_way_to_the_target_stays(enrich, table):
    before = event(contentdata="text")
    assert enrich(**table(target="contentdata.row")).apply(before) is before


@pytest.mark.parametrize("found", [None, "", ["do_1"], {"id": "do_1"}, True])
def test_what_names_no_row_finds_none(enrich, table, found):
    before = event(thing=found)
    assert enrich(**table(path="thing")).apply(before) is before


def test_a_number_finds_the_row_of_its_digits(enrich, table):
    stage = enrich(**table("grade,label\n5,five\n", column="grade", path="edata.grade", target="gradedata"))
    for grade in (5, 5.0, "5"):
        assert stage.apply(event({"edata.grade": grade})).document["gradedata"] == {"label": "five"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.json", '[{"id":"do_1","n":1.50,"tags":["a"]}]'),
        ("c.json", '{"do_1":{"n":1.50,"tags":["a"]}}'),
        ("c.jsonl", '{"id":"do_1","n":1.50,"tags":["a"]}\r\n\n'),
        ("c.ndjson", '{"id":"do_1","n":0}\n{"id":"do_1","n":1.50,"tags":["a"]}'),
        ("c.jsonl", '\ufeff{"id":"do_1","n":1.50,"tags":["a"]}'),
    ],
)
def test_json_keeps_its_types_and_its_notation(enrich, table, name, text):
    assert b'"contentdata":{"n":1.50,"tags":["a"]}' in enrich(**table(text, name)).apply(event()).raw


def test_the_format_can_be_said(enrich, table):
    assert enrich(**table(CSV, "content.txt", format="csv")).apply(event()).document["contentdata"]


@pytest.mark.parametrize(
    ("name", "text", "keys", "said"),
    [
        ("c.txt", CSV, {}, 'say what it is, with format = "csv"'),
        ("c.csv", "", {}, "there are no rows"),
        ("c.csv", "name\nx\n", {}, "line 2 has no id (it has name)"),
        ("c.csv", "id,name\n,x\n", {}, "line 2 has no id"),
        ("c.csv", "id\na,b\n", {}, "line 2 has more values than there are columns"),
        ("c.csv", 'id\n"a"b\n', {}, "is not CSV"),
        ("c.csv", CSV, {"columns": ["board", "grade"]}, "no row has grade (it has board, id, medium, name)"),
        ("c.jsonl", '{"id":"a"}\n[1]\n', {}, "line 2 is not a JSON object"),
        ("c.jsonl", '{"id":null}', {}, "line 1 has no id"),
        ("c.json", "[1]", {}, "write a list of objects"),
        ("c.csv", CSV, {"max_bytes": 20}, "longer than 20 bytes (raise max_bytes"),
        ("c.csv", CSV, {"max_rows": 1}, "more than 1 rows (raise max_rows"),
    ],
)
def test_a_file_that_is_no_table_stops_the_start(table, name, text, keys, said):
    with pytest.raises(SetupError) as refused:
        EnrichStage(EnrichConfig.model_validate(table(text, name, **keys))).__enter__()
    assert said in str(refused.value)
    assert name in str(refused.value)


def test_a_file_that_is_not_there_stops_the_start(tmp_path):
    config = EnrichConfig(file=str(tmp_path / "none.csv"), path="object.id", target="contentdata")
    with pytest.raises(SetupError, match="No such file"):
        EnrichStage(config).__enter__()


def test_text_that_is_not_utf_8_stops_the_start(tmp_path):
    (tmp_path / "c.csv").write_bytes(b"id,name\n1,caf\xe9\n")
    config = EnrichConfig(file=str(tmp_path / "c.csv"), path="object.id", target="contentdata")
    with pytest.raises(SetupError, match="UTF-8"):
        EnrichStage(config).__enter__()


def test_a_relative_file_lies_beside_the_configuration(tmp_path, table):
    table()
    keys = {"file": "content.csv", "path": "object.id", "target": "contentdata"}
    config = EnrichConfig.model_validate(keys, context={"places": Places(folder=tmp_path)})
    with EnrichStage(config) as stage:
        assert stage.apply(event()).document["contentdata"]


def test_constants_are_set_where_nothing_stands(enrich):
    stage = enrich(set={"deployment.state": "Odisha", "deployment.no": 3, "edata.seen": True})
    found = stage.apply(event(deployment={"no": 1})).document
    assert found["deployment"] == {"no": 1, "state": "Odisha"}
    assert found["edata"]["seen"] is True


def test_constants_join_a_row(enrich, table):
    found = enrich(**table(columns=["board"]), set={"contentdata.source": "file"}).apply(event())
    assert found.document["contentdata"] == {"board": "State A", "source": "file"}


def test_an_event_that_has_it_all_is_the_same_object(enrich):
    stage = enrich(set={"deployment": "x"}, overwrite=True)
    before = event(deployment="x")
    assert stage.apply(before) is before


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "say what to add"),
        ({"file": "c.csv", "target": "x"}, 'path = "object.id"'),
        ({"file": "c.csv", "path": "x"}, 'target = "contentdata"'),
        ({"set": {"a": 1}, "path": "object.id"}, "path needs a file"),
        ({"file": "c.csv", "path": "a.*", "target": "x"}, "name one place"),
        ({"file": "c.csv", "path": "mid", "target": "mid"}, "mid tells events apart"),
        ({"file": "c.csv", "path": "mid", "target": "actor.id"}, "$.actor.id: write a string, not an object"),
        ({"set": {"context.did": 5}}, "$.context.did: write a string, not a number"),
        ({"set": {"eid": "X"}}, "eid tells events apart"),
        ({"set": {"a": 1, "a.b": 2}}, "a.b lies below another place"),
        ({"set": {"a": float("inf")}}, "finite"),
        ({"file": "c.csv", "path": "mid", "target": "x", "format": "xls"}, "'csv', 'json' or 'jsonl'"),
    ],
)
def test_a_wrong_configuration_is_explained(keys, said):
    assert said in errors(**keys)


def test_official_events_stay_official(enrich, table):
    stage = enrich(**table(flag="content_denorm"), set={"deployment": "x"})
    for document in samples().values():
        decode(stage.apply(decode(encode(document))).raw)


def test_every_real_event_comes_through(enrich, table, real_events):
    rows = sorted({found.object.id for found in real_events if found.object and found.object.id})
    text = "\n".join(json.dumps({"id": name, "known": True}) for name in rows)
    stage = enrich(**table(text, "rows.jsonl", flag="content_denorm", target="bridge.content"))
    for before in real_events:
        after = stage.apply(before).document
        known = bool(before.object and before.object.id)
        assert after["flags"]["content_denorm"] is known
        assert ("bridge" in after) is known
