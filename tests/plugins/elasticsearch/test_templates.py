from __future__ import annotations

import fnmatch
import json
from importlib.resources import files

import pytest

from bridge_elasticsearch import templates
from bridge_elasticsearch.templates import ELASTICSEARCH, OPENSEARCH, Product

ASSETS = files("bridge_elasticsearch") / "assets"
PRODUCTS = [ELASTICSEARCH, OPENSEARCH]
SHAPES = ["sunbird", "ecs"]


def asset(name):
    return json.loads((ASSETS / name).read_text("utf-8"))


def leaves(properties, prefix=""):
    """Every mapped field: path → definition."""
    found = {}
    for name, field in properties.items():
        if "type" in field:
            found[prefix + name] = field
        found |= leaves(field.get("properties", {}), f"{prefix}{name}.")
    return found


def mapped(shape, product):
    return leaves(asset(f"templates/{shape}.{product.lower()}.json")["template"]["mappings"]["properties"])


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_no_key_of_an_event_ever_becomes_a_field(shape, product):
    body = asset(f"templates/{shape}.{product.lower()}.json")
    assert body["template"]["mappings"]["dynamic"] is False
    assert body["template"]["settings"]["index.mapping.ignore_malformed"] is True
    assert len(mapped(shape, product)) < body["template"]["settings"]["index.mapping.total_fields.limit"]
    assert body["template"]["mappings"]["_meta"] == {"sunbird_bridge": templates.SCHEMA, "shape": shape}


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_no_text_is_too_long_for_its_field(shape, product):
    keywords = {path: field for path, field in mapped(shape, product).items() if field["type"] == "keyword"}
    assert keywords
    assert {path for path, field in keywords.items() if field.get("ignore_above", 10**6) > 1_024} == set()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_products_differ_only_in_how_all_of_edata_is_searched(shape):
    ours, theirs = mapped(shape, ELASTICSEARCH), mapped(shape, OPENSEARCH)
    assert ours.pop("edata_all") == {"type": "flattened", "ignore_above": 1024, "depth_limit": 20}
    assert theirs.pop("edata_all") == {"type": "flat_object"}
    assert ours == theirs


def test_the_ecs_shape_keeps_every_field_of_the_event_under_sunbird():
    plain, ecs = mapped("sunbird", OPENSEARCH), mapped("ecs", OPENSEARCH)
    inside = {
        path.removeprefix("sunbird."): field for path, field in ecs.items() if path.startswith("sunbird.")
    }
    assert inside == {path: field for path, field in plain.items() if path not in {"@timestamp", "edata_all"}}


def test_the_official_scalar_keys_of_edata_are_all_mapped(shared):
    wanted = set()
    for path in (shared / "sunbird/schemas/v3").glob("*.json"):
        schema = json.loads(path.read_text("utf-8"))
        parts = [schema, *schema.get("allOf", [])]
        edata = [part.get("properties", {}).get("edata", {}).get("properties", {}) for part in parts]
        scalars = {"string", "number", "integer"}
        wanted |= {name for found in edata for name, field in found.items() if field.get("type") in scalars}
    known = {path.split(".")[1] for path in mapped("sunbird", OPENSEARCH) if path.startswith("edata.")}
    assert len(wanted) > 20
    assert wanted - known <= {
        "data"
    }  # text in EXDATA, an object elsewhere: unmapped, so that neither is refused


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_template_is_fitted_to_the_configuration(config, product):
    body = templates.template(config(index="digit-{yyyy.MM}", shards=3, replicas=2), product)
    assert body["index_patterns"] == ["digit-*"]
    assert body["template"]["settings"]["index.number_of_shards"] == 3
    assert body["template"]["settings"]["index.number_of_replicas"] == 2
    assert "data_stream" not in body


def test_a_data_stream_s_template_says_so(config):
    body = templates.template(config(index="sunbird-telemetry", data_stream=True), ELASTICSEARCH)
    assert body["data_stream"] == {}
    assert body["template"]["mappings"]["properties"]["@timestamp"] == {
        "type": "date",
        "ignore_malformed": False,
    }


def test_retention_is_asked_for_or_absent(config):
    assert templates.policy(config(), ELASTICSEARCH) is None
    assert "index.lifecycle.name" not in templates.template(config(), ELASTICSEARCH)["template"]["settings"]


def test_retention_is_a_lifecycle_policy_on_elasticsearch(config):
    settings = config(retention_days=90)
    path, body = templates.policy(settings, ELASTICSEARCH)
    assert path == "/_ilm/policy/sunbird-telemetry"
    assert body["policy"]["phases"]["delete"] == {"min_age": "90d", "actions": {"delete": {}}}
    written = templates.template(settings, ELASTICSEARCH)["template"]["settings"]
    assert written["index.lifecycle.name"] == "sunbird-telemetry"


def test_retention_is_a_state_policy_on_opensearch(config):
    settings = config(retention_days=90, index="digit-{yyyy.MM}")
    path, body = templates.policy(settings, OPENSEARCH)
    states = {state["name"]: state for state in body["policy"]["states"]}
    assert path == "/_plugins/_ism/policies/sunbird-telemetry"
    assert states[body["policy"]["default_state"]]["transitions"] == [
        {"state_name": "deleted", "conditions": {"min_index_age": "90d"}}
    ]
    assert states["deleted"]["actions"] == [{"delete": {}}]
    assert body["policy"]["ism_template"][0]["index_patterns"] == ["digit-*"]
    assert "index.lifecycle.name" not in templates.template(settings, OPENSEARCH)["template"]["settings"]


@pytest.mark.parametrize(
    ("greeting", "product"),
    [
        ({"version": {"number": "8.19.0"}}, Product(ELASTICSEARCH, "8.19.0")),
        ({"version": {"number": "3.8.0", "distribution": "opensearch"}}, Product(OPENSEARCH, "3.8.0")),
        ({"version": {"number": "7.10.2", "distribution": "opensearch"}}, Product(OPENSEARCH, "7.10.2")),
        ({"version": "1.2"}, None),
        ({"name": "nginx"}, None),
        ({}, None),
    ],
)
def test_the_product_is_told_by_its_greeting(greeting, product):
    assert templates.product_of(greeting) == product


@pytest.mark.parametrize(
    ("name", "version", "supported"),
    [
        (ELASTICSEARCH, "7.17.29", True),
        (ELASTICSEARCH, "9.1.0", True),
        (ELASTICSEARCH, "7.10.2", False),
        (ELASTICSEARCH, "6.8.23", False),
        (OPENSEARCH, "2.19.1", True),
        (OPENSEARCH, "3.0.0-beta1", True),
        (OPENSEARCH, "1.3.0", False),
    ],
)
def test_versions_without_the_field_types_are_known(name, version, supported):
    assert Product(name, version).supported is supported


def simulated(**meta):
    mark = {"sunbird_bridge": templates.SCHEMA, "shape": "sunbird", **meta}
    return {"template": {"mappings": {"dynamic": "false", "_meta": mark}}}


def test_a_right_template_has_no_problem():
    assert templates.problem(simulated(), "sunbird") is None


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ({}, "no template of the bridge"),
        ({"template": {"mappings": {"properties": {}}}}, "no template of the bridge"),
        (simulated(sunbird_bridge=0), "of schema 0"),
        (simulated(shape="ecs"), "for shape 'ecs'"),
        (
            {"template": {"mappings": {**simulated()["template"]["mappings"], "dynamic": "true"}}},
            "dynamic: false",
        ),
    ],
)
def test_a_wrong_template_is_named(found, problem):
    assert problem in templates.problem(found, "sunbird")


@pytest.mark.parametrize("name", ["elasticsearch-writer", "opensearch-writer"])
def test_a_writer_s_role_covers_the_default_index_and_cannot_read(name, config):
    text = (ASSETS / f"roles/{name}.json").read_text("utf-8")
    role = json.loads(text)
    [indices] = role.get("indices") or role["index_permissions"]
    patterns = indices.get("names") or indices["index_patterns"]
    assert fnmatch.fnmatch(config().pattern.name(20_000), patterns[0])
    for word in ('"read', '"delete', '"manage', '"all"', '"*"', "data/read", "write/delete"):
        assert word not in text
