"""The whole configuration file as JSON Schema, draft 2020-12, plugins included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError

from bridge.configuration.models import HostTables, JournalKeys, SinkKeys, StageKeys
from bridge.configuration.validation import RESERVED_IDS, SINK_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from bridge.plugins import Registry

__all__ = ["json_schema"]

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(registry: Registry) -> Schema:
    """A schema of the file for editors and CI; sinks, stages and the journal are `oneOf` on their `type`.

    It knows the plugins in the registry, so load what it should know first. A plugin whose
    model has no JSON Schema is described by its `type` alone.
    """
    definitions: Schema = {}
    schema = _of(HostTables, "host", definitions)
    journals = {name: journal.config_type for name, journal in registry.journals.items()}
    stages = {name: stage.config_type for name, stage in registry.stages.items()}
    sinks = {name: sink.config_type for name, sink in registry.sinks.items()}
    schema["properties"] |= {
        "journal": _one_of("journal", JournalKeys, journals, definitions)
        | {"description": "Where the events are kept."},
        "stages": {
            "type": "object",
            "description": "What is changed on the way; one table a stage, in this order.",
            "propertyNames": {"pattern": f"^{SINK_ID.pattern}$"},
            "additionalProperties": _one_of("stage", StageKeys, stages, definitions),
        },
        "sinks": {
            "type": "object",
            "description": "Where the events go; one table a destination.",
            "minProperties": 1,
            "propertyNames": {"pattern": f"^{SINK_ID.pattern}$", "not": {"enum": sorted(RESERVED_IDS)}},
            "additionalProperties": _one_of("sink", SinkKeys, sinks, definitions),
        },
    }
    schema["required"] = ["sinks"]
    return {
        "$schema": DIALECT,
        **schema,
        "title": "Sunbird Bridge",
        "$defs": dict(sorted(definitions.items())),
    }


def _one_of(
    noun: str, host: type[BaseModel], plugins: Mapping[str, type[BaseModel]], definitions: Schema
) -> Schema:
    for name, model in plugins.items():
        definitions[f"{noun}.{name}"] = _joined(noun, name, host, model, definitions)
    choices = [{"$ref": f"#/$defs/{noun}.{name}"} for name in sorted(plugins)]
    return {"type": "object", "oneOf": choices} if choices else {"type": "object"}


def _joined(
    noun: str, name: str, host: type[BaseModel], model: type[BaseModel], definitions: Schema
) -> Schema:
    """One table: the host's keys, the plugin's keys, and the `type` that tells it from the others."""
    keys = _of(host, noun, definitions)
    try:
        own = _of(model, f"{noun}.{name}", definitions)
    except (PydanticInvalidForJsonSchema, PydanticUserError):
        own = {"additionalProperties": True}
    kind = {name: value for name, value in keys["properties"]["type"].items() if name != "default"}
    required = set(keys.get("required", ())) | set(own.get("required", ()))
    if host.model_fields["type"].default == name:
        required.discard("type")
    else:
        required.add("type")
    return {
        **own,
        "title": f'{noun} of type "{name}"',
        "type": "object",
        "properties": keys["properties"] | {"type": kind | {"const": name}} | own.get("properties", {}),
        "required": sorted(required),
    }


def _of(model: type[BaseModel], space: str, definitions: Schema) -> Schema:
    """The model's schema, its own definitions moved to the shared ones under names nobody else has."""
    schema = model.model_json_schema(ref_template=f"#/$defs/{space}.{{model}}")
    definitions |= {f"{space}.{name}": inner for name, inner in schema.pop("$defs", {}).items()}
    return schema
