"""The examples of the documentation are what the sink really sends."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from bridge.events import decode
from bridge.sinks import Batch
from bridge_webhook import WebhookSink

PAGE = Path(__file__).parents[3] / "docs" / "sinks" / "webhook.md"
EXAMPLES = re.findall(r"```toml\n([^`]*)```\n\n```http\n([^`]*)\n```", PAGE.read_text(encoding="utf-8"))


def test_there_is_an_example_of_every_body():
    bodies = {tomllib.loads(config)["sinks"]["hook"].get("body", "batch") for config, _ in EXAMPLES}
    assert bodies == set(WebhookSink.config_type.model_fields["body"].annotation.__args__)


@pytest.mark.parametrize(("config", "expected"), EXAMPLES)
def test_an_example_is_what_explain_says(config, expected, secret, monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", secret())
    settings = {key: value for key, value in tomllib.loads(config)["sinks"]["hook"].items() if key != "type"}
    sink = WebhookSink(WebhookSink.config_type.model_validate(settings))
    lines = re.search(r"```jsonl\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1].splitlines()
    events = [decode(line.encode()) for line in lines][: sink.limits.max_events]
    assert sink.explain(Batch(sink.map_batch(events), events, "hook")) == expected


def test_every_key_is_mentioned():
    text = PAGE.read_text(encoding="utf-8")
    keys = WebhookSink.config_type.model_fields
    assert [key for key in keys if not re.search(rf"`{key}\b|\b{key} =|\.{key}\]", text)] == []
