"""The documentation's examples are what the sink really makes; the dashboard fits the mapping."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from bridge.events import decode
from bridge.testing import samples
from bridge_posthog.config import PostHogConfig
from bridge_posthog.vocabulary import NAMES

ROOT = Path(__file__).parents[3]
SINKS = ROOT / "docs" / "sinks"
PAIR = re.compile(r"```jsonl\n(.*?)\n```\n\nbecomes\n\n```jsonl\n(.*?)\n```", re.DOTALL)
LEFT_OUT = {
    "$app_version",
    "$device_id",
    "$geoip_disable",
    "$ignore_sent_at",
    "$ip",
    "$lib",
    "actor_type",
    "channel",
    "eid",
    "env",
    "mid",
    "producer_id",
    "producer_pid",
    "sunbird_session_id",
    "telemetry_version",
}


def _page(name):
    return (SINKS / name).read_text(encoding="utf-8")


def _shown(found):
    properties = {name: value for name, value in found["properties"].items() if name not in LEFT_OUT}
    return {"event": found["event"], "distinct_id": found["distinct_id"], **properties}


def test_the_workflows_are_what_the_sink_makes(posthog):
    pairs = PAIR.findall(_page("posthog-workflows.md"))
    assert len(pairs) == 5
    for before, after in pairs:
        found = [_shown(posthog(decode(line.encode()))) for line in before.splitlines()]
        assert found == [json.loads(line) for line in after.splitlines()]


@pytest.mark.parametrize("page", ["posthog.md", "posthog-workflows.md"])
def test_every_configuration_in_the_documentation_is_valid(page, monkeypatch):
    monkeypatch.setenv("POSTHOG_KEY", "phc_documentation")
    monkeypatch.setenv("PSEUDONYM_KEY", "a key of thirty-two characters..")
    blocks = re.findall(r"```toml\n(.*?)```", _page(page), re.DOTALL)
    assert blocks
    for block in blocks:
        (options,) = tomllib.loads(block)["sinks"].values()
        assert options.pop("type") == "posthog"
        options.pop("batch", None)
        PostHogConfig(**options)


def test_every_option_is_documented():
    page = _page("posthog.md")
    assert [name for name in PostHogConfig.model_fields if f"`{name}`" not in page] == []


def test_every_event_name_is_documented():
    page = _page("posthog.md")
    names = {*NAMES.values(), "$pageview", "$screen", "$exception", "Application Opened", "content started"}
    assert [name for name in names if f"`{name}`" not in page] == []


def _objects(node):
    """Every object in a query."""
    if isinstance(node, dict):
        yield node
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _objects(value)


def _asked(query):
    """Names of events, and of properties, that a query refers to."""
    found = list(_objects(query))
    events = {node["event"] for node in found if node.get("kind") == "EventsNode"}
    events |= {node["id"] for node in found if node.get("type") == "events"}
    keys = [(node.get("type"), node.get("key") or node.get("property")) for node in found]
    properties = {name for kind, name in keys if kind == "event" and name}
    return events, properties | {node["math_property"] for node in found if "math_property" in node}


def test_the_dashboard_asks_only_for_events_and_properties_that_exist(event, posthog):
    lesson = {"object": {"id": "do_1", "type": "Content"}}
    mapped = [posthog(event(eid, lesson)) for eid in samples()]
    mapped += [posthog(event(eid, {"edata.type": "player", **lesson})) for eid in ("START", "END")]
    mapped.append(posthog(event("IMPRESSION", {"context.pdata": {"id": "x.app"}})))
    known = {}
    for found in mapped:
        known.setdefault(found["event"], set()).update(found["properties"])
    template = json.loads((SINKS / "posthog-dashboard.json").read_text(encoding="utf-8"))["template"]
    keys = {"template_name", "dashboard_description", "dashboard_filters", "tiles", "tags", "variables"}
    assert keys == set(template)
    for tile in template["tiles"]:
        assert {"name", "description", "type", "query", "layouts", "color"} == set(tile)
        events, properties = _asked(tile["query"])
        assert events, tile["name"]
        for name in events:
            assert properties <= known[name], tile["name"]
        assert f"## {tile['name']}\n" in _page("posthog-dashboards.md")
