"""docs/stages.md shows what the stages do."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from bridge.cli import cli
from bridge.configuration.models import STAGE_KEYS
from bridge.docs_tables import built_ins
from bridge.events import Decoder, Level
from bridge.stages.jsonedit import edit_event
from bridge.stages.jsonpaths import automaton, parse
from bridge.stages.redact_config import PRESETS
from bridge.testing import encode, make_event

PAGE = (Path(__file__).parents[3] / "docs/stages.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
TOML = [text for kind, text in BLOCKS if kind == "toml"]
PAIR = re.compile(r"```jsonl\n(.*?)\n```\n\nbecomes\n\n```jsonl\n(.*?)\n```", re.DOTALL)
ACTION = re.compile(r"^\| `(\w+)` \| `([^`]+)` \|(?: `([^`]+)`)? \|", re.MULTILINE)
KEY = "0123456789abcdef0123456789abcdef"
read = Decoder(Level.ENVELOPE).event


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with what the page's configurations name."""
    monkeypatch.setenv("REDACT_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/content.csv").write_text(section("enrich", "csv"), encoding="utf-8")
    return tmp_path


def section(title, kind):
    """The first block of a kind behind a heading."""
    return re.search(rf"## {title}\n.*?```{kind}\n(.*?)```", PAGE, re.DOTALL)[1]


def stages(text):
    """The stages of a configuration, in order."""
    registry = built_ins()
    for table in tomllib.loads(text)["stages"].values():
        kind = registry.stages[table["type"]]
        own = {key: value for key, value in table.items() if key not in STAGE_KEYS}
        yield kind(kind.config_type.model_validate(own))


def applied(text, line):
    """The bytes of the events that the stages of a configuration make of one."""
    events = [read(line)]
    for stage in stages(text):
        with stage:
            made = [stage.apply(event) for event in events]
        events = [new for staged in made for new in (staged if isinstance(staged, list) else [staged])]
    return [event.raw for event in events]


@pytest.mark.parametrize("text", TOML)
def test_every_configuration_is_accepted(folder, text):
    assert list(stages(text))


@pytest.mark.parametrize("title", ["enrich", "flatten"])
def test_what_an_event_becomes_is_shown_as_it_is(folder, title):
    before, after = PAIR.search(PAGE, PAGE.index(f"\n## {title}\n")).groups()
    assert applied(section(title, "toml"), before.encode()) == after.encode().split(b"\n")


def test_the_explanation_is_shown_as_it_is(folder):
    (folder / "config.toml").write_text(TOML[0], encoding="utf-8")
    (folder / "feedback.json").write_text(BLOCKS[1][1], encoding="utf-8")
    command, _, shown = next(text for kind, text in BLOCKS if kind == "console").partition("\n")
    result = CliRunner().invoke(cli, command.removeprefix("$ bridge ").split(), prog_name="bridge")
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == shown.strip()


def test_every_path_names_what_the_table_says():
    example = re.search(r"^`(\{\"edata\".*\})`$", PAGE, re.MULTILINE)[1]
    rows = re.findall(r"^\| `(edata[^`]*)` \| ((?:`[^`]+` ?)+)\|$", PAGE, re.MULTILINE)
    assert len(rows) == 7
    for path, names in rows:
        found = []
        edit_event(
            example.encode(), automaton([parse(path)]), (lambda raw, _, to=found: to.append(bytes(raw)),)
        )
        assert sorted(found) == sorted(name.encode() for name in re.findall("`([^`]+)`", names)), path


def test_every_action_does_what_the_table_says(redact):
    rows = ACTION.findall(PAGE.partition("### Presets")[0])
    assert {action for action, *_ in rows} == {"remove", "empty", "hash", "mask", "truncate_ip", "keep_only"}
    options = {"mask": {"patterns": ["email", "phone"]}, "keep_only": {"keys": ["type"]}}
    for action, before, after in rows:
        stage = redact({"paths": ["edata.x"], "action": action, **options.get(action, {})}, key=KEY)
        found = stage.apply(read(encode(make_event("HEARTBEAT", edata={"x": json.loads(before)})))).edata
        assert found == ({"x": json.loads(after)} if after else {})


def test_the_presets_are_those_of_the_table():
    rows = re.findall(r"^\| (?:(`\w+`) )?\| `(\w+)` \| ((?:`[\w.]+` ?)+)\|$", PAGE, re.MULTILINE)
    shown, name = {}, ""
    for first, action, paths in rows:
        name = first.strip("`") or name
        shown.setdefault(name, []).append((action, tuple(re.findall("`([^`]+)`", paths))))
    assert shown == {
        preset: [(rule.action, rule.paths) for rule in rules] for preset, rules in PRESETS.items()
    }
    assert [rule.patterns for rule in PRESETS["contacts"]] == [("email", "phone", "aadhaar")]


def test_the_stage_of_ones_own_works():
    scope = {}
    exec(next(text for kind, text in BLOCKS if kind == "python"), scope)
    (kind,) = scope["bridge_stages"]()
    stage = kind(kind.config_type())
    channels = ("test-1", "in-up", "IN-UP")
    events = [read(encode(make_event("END", {"context.channel": channel}))) for channel in channels]
    left_out, same, changed = stage.apply_batch(events)
    assert left_out is None
    assert same is events[1]
    assert changed.context.channel == "in-up"
