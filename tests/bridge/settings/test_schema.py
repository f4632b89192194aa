"""The JSON Schema accepts what the bridge accepts and refuses what it refuses."""

from __future__ import annotations

import tomllib

import jsonschema
import pytest

from bridge.docs_tables import built_ins, example
from bridge.plugins import Registry
from bridge.settings import json_schema

SINK = '[sinks.product]\ntype = "toy"\napi_key = "phc_0123456789"\n'


@pytest.fixture
def valid(plugins):
    validator = jsonschema.Draft202012Validator(json_schema(plugins.registry))
    return lambda text: validator.is_valid(tomllib.loads(text))


def test_it_is_a_schema_of_the_dialect_it_names(plugins):
    schema = json_schema(plugins.registry)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator.check_schema(json_schema(Registry()))


def test_it_accepts_what_the_bridge_accepts(valid, load):
    for text in (
        SINK,
        SINK + "route.eids = ['A']\nbatch.max_age = 1.5\n",
        SINK + "headers = { a = 'b' }\nauth = { kind = 'basic', user = 'u' }\n",
        SINK + "[journal]\npath = 'x'\n[ops]\nport = 0\n",
        "[journal]\ntype = 'sqlite'\n" + SINK,
    ):
        load(text)
        assert valid(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[sinks]\n",
        SINK + "hots = 1\n",
        SINK + "route.eid = ['A']\n",
        SINK + "size = 0\n",
        SINK + "[log]\nlevel = 'loud'\n",
        SINK + "[journal]\ntype = 'toy'\n",
        SINK + "[other]\n",
        SINK.replace("toy", "toi"),
        SINK.replace("product", "Product"),
        SINK.replace("product", "rejects"),
        SINK.replace('type = "toy"\n', ""),
        '[sinks.product]\ntype = "toy"\n',
    ],
)
def test_it_refuses_what_the_bridge_refuses(valid, problems, text):
    assert problems(text)
    assert not valid(text)


def test_the_example_of_every_built_in_satisfies_it():
    registry = built_ins()
    schema = json_schema(registry)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(tomllib.loads(example(registry)))
    kinds = {
        reference["$ref"].rpartition(".")[2]
        for reference in schema["properties"]["sinks"]["additionalProperties"]["oneOf"]
    }
    assert kinds == set(registry.sinks)


def test_secrets_are_write_only_in_it(plugins):
    toy = json_schema(plugins.registry)["$defs"]["sink.toy"]
    assert toy["properties"]["api_key"]["writeOnly"]
    assert toy["properties"]["type"]["const"] == "toy"
