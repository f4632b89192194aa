"""The saved objects are held to what an import checks: references, states, and fields that exist."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.resources import files

import pytest

from bridge_elasticsearch.dashboards import PANELS, saved_objects

ASSETS = files("bridge_elasticsearch") / "assets"
SHAPES = ["sunbird", "ecs"]
METRICS = {"count", "cardinality", "avg", "median"}


def field_types(shape):
    found = {}

    def walk(properties, prefix):
        for name, field in properties.items():
            found[prefix + name] = field.get("type", "object")
            walk(field.get("properties", {}), f"{prefix}{name}.")

    body = json.loads((ASSETS / f"templates/{shape}.opensearch.json").read_text("utf-8"))
    walk(body["template"]["mappings"]["properties"], "")
    return found


def states(shape):
    for line in saved_objects(shape, "sunbird-telemetry-*"):
        if line["type"] == "visualization":
            yield line["id"], json.loads(line["attributes"]["visState"]), line


@pytest.mark.parametrize("shape", SHAPES)
def test_the_shipped_file_is_what_the_module_writes(shape):
    shipped = (ASSETS / f"dashboards/{shape}.ndjson").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in shipped] == saved_objects(shape, "sunbird-telemetry-*")


@pytest.mark.parametrize("shape", SHAPES)
def test_every_reference_leads_to_an_object_of_the_same_file(shape):
    objects = saved_objects(shape, "x-*")
    known = {(line["type"], line["id"]) for line in objects}
    wanted = {(ref["type"], ref["id"]) for line in objects for ref in line["references"]}
    assert wanted <= known
    assert len(known) == len(objects)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_field_exists_and_can_be_aggregated_as_it_is(shape):
    types = field_types(shape)
    allowed = {
        "cardinality": {"keyword"},
        "terms": {"keyword"},
        "avg": {"double"},
        "median": {"double"},
        "date_histogram": {"date"},
    }
    seen = 0
    for _, state, _ in states(shape):
        for aggregation in state["aggs"]:
            if aggregation["type"] != "count":
                assert types[aggregation["params"]["field"]] in allowed[aggregation["type"]]
                seen += 1
    assert seen > len(PANELS)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_query_asks_for_mapped_fields(shape):
    types = field_types(shape)
    for _, _, line in states(shape):
        source = json.loads(line["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])
        assert source["indexRefName"] == line["references"][0]["name"]
        assert source["query"]["language"] == "kuery"
        for field in re.findall(r"([\w.@]+):", source["query"]["query"]):
            assert field in types


@pytest.mark.parametrize("shape", SHAPES)
def test_aggregations_are_numbered_and_sort_by_the_first_metric(shape):
    for _, state, _ in states(shape):
        found = state["aggs"]
        assert [one["id"] for one in found] == [str(number) for number in range(1, len(found) + 1)]
        assert found[0]["type"] in METRICS
        assert {one["params"]["orderBy"] for one in found if one["type"] == "terms"} <= {"1"}
        assert [one["schema"] == "metric" for one in found] == [one["type"] in METRICS for one in found]


def test_series_belong_to_metrics_and_axes_exist():
    for _, state, _ in states("sunbird"):
        if state["type"] in {"line", "histogram"}:
            axes = {axis["id"] for axis in state["params"]["valueAxes"]}
            for series in state["params"]["seriesParams"]:
                assert series["data"]["id"] in {
                    one["id"] for one in state["aggs"] if one["schema"] == "metric"
                }
                assert series["valueAxis"] in axes


def test_the_dashboard_shows_every_panel_without_overlap():
    [board] = [line for line in saved_objects("sunbird", "x-*") if line["type"] == "dashboard"]
    panels = json.loads(board["attributes"]["panelsJSON"])
    assert len(panels) == len(PANELS) + 1
    assert [panel["panelRefName"] for panel in panels] == [ref["name"] for ref in board["references"]]
    taken = set()
    for panel in panels:
        place = panel["gridData"]
        cells = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert not cells & taken
        assert place["x"] + place["w"] <= 48
        taken |= cells


def test_the_clock_is_ets_unless_the_shape_has_a_timestamp():
    clocks = {shape: saved_objects(shape, "x-*")[0]["attributes"] for shape in SHAPES}
    assert clocks["sunbird"] == {"title": "x-*", "timeFieldName": "ets"}
    assert clocks["ecs"] == {"title": "x-*", "timeFieldName": "@timestamp"}


def test_another_index_pattern_is_a_command_away():
    command = [sys.executable, "-m", "bridge_elasticsearch.dashboards", "--index", "telemetryindex-v1*"]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    assert json.loads(done.stdout.splitlines()[0])["attributes"]["title"] == "telemetryindex-v1*"
