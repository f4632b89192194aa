"""Stages in a configured bridge: run, check, explain, replay, plugins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parent / "plugins"
TRAYS = """
[sinks.tray]
type = "tray"
path = "tray.jsonl"
[sinks.partner]
type = "tray"
path = "partner.jsonl"
"""
MARK = '[stages.mark]\ntype = "marker"\n'


def tags(lines):
    return {event["mid"]: event.get("tags") for event in map(json.loads, lines)}


def test_stages_change_what_every_sink_gets_in_the_order_of_the_file(site, make_raw, columns):
    site.configure(
        '[stages.second]\ntype = "marker"\ntag = "2"\nroute.eids = ["ONE"]\n'
        + MARK
        + '[stages.some]\ntype = "marker"\ntag = "partner"\nsinks = ["part*"]\nroute.eids = ["ONE"]\n'
        + TRAYS
    )
    site.write("in.jsonl", [make_raw(n, eid) for n, eid in enumerate(["ONE", "TWICE", "AWAY", "WRONG"])])
    out, _ = site.run_process("run", "--import", "in.jsonl", "--until-idle")
    assert tags(site.delivered()) == {
        "ONE:0": ["2", "seen"],
        "TWICE:1-0": ["seen"],
        "TWICE:1-1": ["seen"],
    }
    assert tags(site.delivered("partner.jsonl"))["ONE:0"] == ["2", "seen", "partner"]
    rows = {row["pipeline"]: row for row in columns(out, "pipeline")}
    assert rows["tray"]["delivered"] == "3"
    assert rows["tray"]["derived"] == "1"
    letters = map(json.loads, site.run("dead-letters", "export", "--format", "full")[0].splitlines())
    assert [(letter["sink"], letter["stage"], letter["code"]) for letter in letters] == [
        ("rejects", "stage", "wrong")
    ]


def test_a_stage_that_cannot_begin_stops_the_bridge_before_anything_is_read(site, make_raw):
    site.configure(MARK + "broken = true\n" + TRAYS)
    site.write("in.jsonl", [make_raw(1)])
    _, err = site.run_process("run", "--import", "in.jsonl", "--until-idle", code=1)
    assert "stage mark: the table is not there; write its path" in err
    assert "Traceback" not in err
    assert site.delivered() == []


def test_a_replay_passes_the_stages_again(site, make_raw, columns):
    site.configure(MARK + TRAYS)
    site.write("in.jsonl", [make_raw(1, "WRONG"), make_raw(2, "ONE")])
    site.run_process("run", "--import", "in.jsonl", "--until-idle")
    out, _ = site.run_process("dead-letters", "replay")
    assert "0 of 1 letter resolved" in out
    site.configure(MARK + 'route.eids = ["ONE"]\n' + TRAYS)
    out, _ = site.run_process("dead-letters", "replay", "--dry-run")
    assert [row["would send"] for row in columns(out, "letters of")] == ["1", "1"]
    out, _ = site.run_process("dead-letters", "replay")
    assert "1 of 1 letter resolved" in out
    assert tags(site.delivered())["WRONG:1"] is None
    assert tags(site.delivered())["ONE:2"] == ["seen"]


def test_a_check_says_how_each_stage_is(site):
    site.configure(
        MARK
        + '[stages.some]\ntype = "marker"\nsinks = ["partner"]\n'
        + '[stages.bad]\ntype = "marker"\nbroken = true\n'
        + '[stages.off]\ntype = "marker"\nbroken = true\nenabled = false\n'
        + TRAYS
    )
    out = site.invoke("check").stdout
    assert "stage mark           ok       ready, for every sink" in out
    assert "stage some           ok       ready, for partner" in out
    assert "stage bad            failed   the table is not there; write its path" in out
    assert "stage off            skipped  disabled" in out
    assert "stage mark           ok       not entered (--offline)" in site.invoke("check", "--offline").stdout


def test_an_explanation_says_what_stages_do(site, make_raw):
    site.configure(MARK + '[stages.some]\ntype = "marker"\nsinks = ["partner"]\n' + TRAYS)
    lines = site.run("explain", input=make_raw(1, "TWICE"))[0].splitlines()
    plain = [line for line in lines if line and not line.startswith("    ")]
    assert plain == [
        "event 1: TWICE TWICE:1, valid",
        "  stage mark: makes 2 events",
        "  tray: TWICE TWICE:1-0, would send",
        "  tray: TWICE TWICE:1-1, would send",
        "  stage some: makes 2 events",
        "  partner: TWICE TWICE:1-0-0, would send",
        "  partner: TWICE TWICE:1-0-1, would send",
        "  stage some: makes 2 events",
        "  partner: TWICE TWICE:1-1-0, would send",
        "  partner: TWICE TWICE:1-1-1, would send",
    ]
    assert "  stage mark: left out by this stage" in site.run("explain", input=make_raw(1, "AWAY"))[0]
    refused = site.run("explain", input=make_raw(1, "WRONG"))[0]
    assert "  stage mark: dead letter: stage mark: this one is wrong" in refused
    assert "tray" not in refused


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[stages.mark]\n", "stages.mark.type: is required"),
        (
            '[stages.mark]\ntype = "markr"\n',
            'stages.mark.type: no plugin has this name (did you mean "marker"',
        ),
        ('[stages.mark]\ntype = "tray"\n', "stages.mark.type: this plugin offers no stage"),
        (MARK + "tagg = 1\n", 'stages.mark.tagg: unknown key (did you mean "tag"?)'),
        (MARK + "tag = 1\n", "stages.mark.tag: must be text"),
        (MARK + 'sinks = ["partnr"]\n', 'no sink has the id "partnr" (did you mean "partner"?)'),
        (MARK + "route.eid = []\n", 'stages.mark.route.eid: unknown key (did you mean "eids"?)'),
        ('[stages.Mark]\ntype = "marker"\n', "stages.Mark: an id is 1 to 63"),
        ("stages = 3\n", "stages: must hold one table a stage, written [stages.privacy]"),
        ("[stages]\nmark = 3\n", "stages.mark: must be a table, written [stages.mark]"),
    ],
)
def test_what_is_wrong_with_a_stage_is_said_in_one_line(site, text, problem):
    site.configure(text + f"[plugins]\ndir = '{PLUGINS}'\n" + TRAYS, head="")
    _, err = site.run("check", "--offline", code=2)
    assert problem in err
    assert len(err.splitlines()) == 1


def test_the_environment_sets_the_keys_of_a_stage(site, make_raw, monkeypatch):
    site.configure('[stages.my-mark]\ntype = "marker"\n' + TRAYS)
    monkeypatch.setenv("BRIDGE_STAGES__MY_MARK__TAG", "from outside")
    assert "from outside" in site.run("explain", "--sink", "tray", input=make_raw(1))[0]
    monkeypatch.setenv("BRIDGE_STAGES__OTHER__TAG", "x")
    _, err = site.run("check", "--offline", code=2)
    assert 'only "BRIDGE_STAGES__OTHER__TAG" speaks of this stage, and it has no type' in err


def test_plugins_and_the_schema_know_stages(site):
    site.configure(MARK + TRAYS)
    assert "stage marker" in site.run("plugins")[0]
    schema = json.loads(site.run("schema")[0])
    (reference,) = [
        one["$ref"]
        for one in schema["properties"]["stages"]["additionalProperties"]["oneOf"]
        if one["$ref"].endswith(".marker")
    ]
    assert "tag" in schema["$defs"][reference.rpartition("/")[2]]["properties"]
