"""The interface in OpenAPI 3.1, made from the configuration, served at `/openapi.json`. Pure."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from bridge.configuration.intake import HttpIntakeSettings

__all__ = ["description"]

Json = dict[str, Any]
SCHEMAS = "#/components/schemas"
EXAMPLE: Json = {
    "id": "api.sunbird.telemetry",
    "ver": "3.0",
    "params": {"msgid": "4f04da601e8af8b4f2d8c5d1b0f2f7f1"},
    "ets": 1795248000000,
    "events": [
        {
            "eid": "IMPRESSION",
            "ets": 1795247999120,
            "ver": "3.0",
            "mid": "IMPRESSION:9d5a1c",
            "actor": {"id": "anonymous", "type": "User"},
            "context": {
                "channel": "in.example",
                "pdata": {"id": "dev.example.portal", "ver": "1.0"},
                "env": "home",
                "did": "c9f0e1d2b3a49586",
            },
            "edata": {"type": "view", "pageid": "home", "uri": "/home"},
        }
    ],
}
BATCH: Json = {
    "type": "object",
    "description": "A batch of telemetry. Only `events` is needed. Each one's validity is judged later: "
    "an event that is not valid becomes a dead letter and does not hold up the others.",
    "required": ["events"],
    "properties": {
        "id": {"description": "What the sender calls this kind of message; not looked at."},
        "ver": {"description": "The envelope's version; not looked at."},
        "ets": {"description": "When it was sent, ms since the epoch; not looked at."},
        "params": {
            "description": "`params.msgid` is the batch's id: the same batch sent again is not kept twice."
        },
        "mid": {"description": "The batch's id where there is no `params.msgid`."},
    },
}
RESULT: Json = {
    "type": "object",
    "required": ["id", "ver", "ets", "params", "responseCode"],
    "properties": {
        "id": {"enum": ["api.telemetry", "api.health"]},
        "ver": {"const": "1.0"},
        "ets": {"type": "integer", "description": "When it was answered, ms since the epoch."},
        "params": {
            "type": "object",
            "properties": {"err": {"type": "string", "description": "What is wrong, in one sentence."}},
            "additionalProperties": False,
        },
        "responseCode": {"enum": ["SUCCESS", "CLIENT_ERROR", "SERVER_ERROR"]},
    },
    "additionalProperties": False,
}
REFUSALS = {
    "400": "Not HTTP, not gzip, or not a JSON object with an array `events`.",
    "401": "No API key or token, or not a good one.",
    "403": "No keys are configured, and a web page of this origin may not send.",
    "404": "There is nothing at this path.",
    "405": "The path does not take this method; `Allow` says which it takes.",
    "413": "Too many bytes or too many events at once.",
    "415": "Not JSON in UTF-8, or compressed other than by gzip.",
    "429": "This sender sends too often; `Retry-After` says when it may go on.",
    "431": "Too many header fields, or too long ones.",
    "503": "Nothing was kept: the journal is full, too much is under way, or the bridge stops. Try again.",
    "505": "Not HTTP/1.0 or HTTP/1.1.",
}
WAITING = {"429", "503"}
DEVICE_HEADERS = {
    "X-Request-Id": "An id of 8 to 64 of A-Z a-z 0-9 _ - for the answer and the log.",
    "X-App-Id": "The producer, as Sunbird's SDK sends it; not looked at.",
    "X-Channel-Id": "The channel, as Sunbird's SDK sends it; not looked at.",
    "X-Device-Id": "The device, as Sunbird's SDK sends it; not looked at.",
}


def description(settings: HttpIntakeSettings) -> bytes:
    """The document for this configuration, as JSON."""
    posting = {path: {"post": _post(index, settings)} for index, path in enumerate(settings.paths)}
    document: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "Sunbird Bridge telemetry intake",
            "version": version("sunbird-bridge"),
            "description": "Takes Sunbird telemetry as Sunbird's own telemetry service does. "
            "200 says that every event of the batch is on disk.",
        },
        "paths": {
            **posting,
            "/health": {"get": _get("health", "Whether events can be stored.", f"{SCHEMAS}/Result")},
            "/openapi.json": {"get": _get("describe", "This description.", None)},
        },
        "components": {
            "schemas": {"Batch": _batch(settings), "Result": RESULT},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, or a JSON Web Token.",
                },
                "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            },
        },
    }
    if settings.open:
        del document["components"]["securitySchemes"]
    return msgspec.json.encode(document)


def _batch(settings: HttpIntakeSettings) -> Json:
    events = {
        "type": "array",
        "description": f"At most {settings.limits.events} events.",
        "items": {"description": "An event of Sunbird telemetry v3, in UTF-8."},
    }
    return BATCH | {"properties": BATCH["properties"] | {"events": events}}


def _post(index: int, settings: HttpIntakeSettings) -> Json:
    operation = {
        "operationId": "send" if index == 0 else f"send{index + 1}",
        "summary": "Send a batch of telemetry.",
        "parameters": [_parameter(name, text) for name, text in DEVICE_HEADERS.items()],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": f"{SCHEMAS}/Batch"}, "example": EXAMPLE}},
        },
        "responses": {
            "200": _response("Every event of the batch is stored.", f"{SCHEMAS}/Result"),
            **_refusals(),
        },
    }
    return operation if settings.open else operation | {"security": [{"bearer": []}, {"key": []}]}


def _get(name: str, summary: str, schema: str | None) -> Json:
    found = _response("As it is.", schema)
    return {"operationId": name, "summary": summary, "responses": {"200": found, **_refusals()}}


def _parameter(name: str, text: str) -> Json:
    return {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}


def _refusals() -> Json:
    return {status: _response(text, f"{SCHEMAS}/Result", status) for status, text in REFUSALS.items()}


def _response(text: str, schema: str | None, status: str = "") -> Json:
    body = {"$ref": schema} if schema else {"type": "object"}
    found: Json = {"description": text, "content": {"application/json": {"schema": body}}}
    if status in WAITING:
        seconds = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
        found["headers"] = {"Retry-After": seconds}
    return found
