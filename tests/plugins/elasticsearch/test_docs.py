"""The documentation's examples are what the sink does."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from bridge.events import decode
from bridge.sinks import Batch
from bridge_elasticsearch import ElasticsearchSink
from bridge_elasticsearch.config import ElasticsearchConfig
from bridge_elasticsearch.naming import IndexPattern

PAGE = (Path(__file__).parents[3] / "docs/sinks/elasticsearch.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
EVENT = next(text for kind, text in BLOCKS if kind == "json").strip().encode()
ASSETS = files("bridge_elasticsearch") / "assets"


def explained(**fields):
    given = {"url": "https://search.example:9200", **fields}
    sink = ElasticsearchSink(ElasticsearchConfig.model_validate(given))
    events = [decode(EVENT)]
    return sink.explain(Batch(sink.map_batch(events), events, "search"))


def lines(**fields):
    return explained(**fields).split("\n\n", 1)[1].splitlines()


def test_the_default_request_is_shown_as_it_is():
    assert f"```http\n{explained(api_key='id:key')}```" in PAGE


def test_the_ecs_document_is_shown_as_it_is():
    assert "\n".join(lines(shape="ecs", index="sunbird-ecs-{yyyy.MM}")) in PAGE


def test_the_action_beside_digit_is_shown_as_it_is():
    assert lines(id="mid", index="telemetryindex-v1", template="")[0] in PAGE


@pytest.mark.parametrize("fields", [{"timestamp": "add"}, {"search_all_edata": True}])
def test_what_is_added_is_shown_as_it_is(fields):
    begin = lines(**fields)[1].partition('"eid":"INTERACT",')
    assert begin[0] + begin[1] in PAGE


def test_every_configuration_is_accepted(tmp_path, monkeypatch):
    secret = tmp_path / "secret"
    secret.write_text("id:key")
    for name in ("SEARCH_API_KEY", "SEARCH_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "id:key")
    found = [text for kind, text in BLOCKS if kind == "toml"]
    assert len(found) > 8
    for text in found:
        keys = tomllib.loads(re.sub(r"file:[^\"]+", f"file:{secret}", text))
        keys = keys["sinks"]["search"] if "sinks" in keys else keys
        keys.pop("type", None)
        ElasticsearchConfig.model_validate({"url": "https://search.example:9200", **keys})


def test_index_names_are_what_the_table_says():
    rows = re.findall(
        r"^\| `([^`]+)`(?: \(default\))? \| `([^`]+)` \| (?:daily|monthly|weekly|once)", PAGE, re.MULTILINE
    )
    assert len(rows) == 4
    assert [IndexPattern.parse(pattern).name(20_686) for pattern, _ in rows] == [name for _, name in rows]


def test_the_role_is_the_shipped_one():
    shipped = json.loads((ASSETS / "roles/elasticsearch-writer.json").read_text("utf-8"))
    assert shipped in [json.loads(text) for kind, text in BLOCKS if kind == "json" and text.startswith("{\n")]


def test_every_file_that_is_named_is_shipped():
    for name in set(re.findall(r"`assets/([\w./-]+)`", PAGE)):
        assert (ASSETS / name).is_file() or (ASSETS / name).is_dir(), name
