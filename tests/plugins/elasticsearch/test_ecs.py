from __future__ import annotations

import json

import pytest

from bridge_elasticsearch.config import ElasticsearchConfig
from bridge_elasticsearch.mapping import DocumentMap

ECS = DocumentMap(ElasticsearchConfig.model_validate({"url": "http://x", "shape": "ecs"}))


def document(event):
    return json.loads(ECS.one(event))


def test_the_terms_of_the_schema_stand_beside_the_event(event):
    one = event(
        "INTERACT",
        {
            "actor": {"id": "u-1", "type": "User"},
            "context": {
                "channel": "org-1",
                "env": "home",
                "did": "d-1",
                "pdata": {"id": "prod.app", "pid": "player", "ver": "2.1"},
            },
        },
        mid="m-1",
        ets=1_787_313_600_123,
        syncts=1_787_313_601_000,
    )
    found = document(one)
    assert found.pop("sunbird") == json.loads(one.raw)
    assert found == {
        "@timestamp": "2026-08-21T12:00:00.123Z",
        "ecs": {"version": "8.11.0"},
        "event": {
            "id": "m-1",
            "kind": "event",
            "action": "interact",
            "dataset": "sunbird.telemetry",
            "created": 1_787_313_601_000,
        },
        "user": {"id": "u-1"},
        "organization": {"id": "org-1"},
        "device": {"id": "d-1"},
        "service": {"name": "prod.app", "version": "2.1", "node": {"name": "player"}},
        "labels": {"env": "home"},
    }


def test_the_event_s_own_bytes_are_inside(event):
    one = event()
    assert one.raw in ECS.one(one)


def test_an_actor_that_is_no_user_is_not_called_one(event):
    assert "user" not in document(event(actor={"id": "job-7", "type": "System"}))


def test_blank_values_are_left_out(event):
    found = document(event("LOG", {"context": {"channel": "c", "env": "", "pdata": {"id": "p"}}}))
    assert found["service"] == {"name": "p"}
    assert "labels" not in found
    assert "device" not in found


@pytest.mark.parametrize("syncts", ["2026-08-21T12:00:00Z", None, True, {"a": 1}, 1e300])
def test_a_server_time_that_is_no_number_of_milliseconds_is_left_out(event, syncts):
    assert "created" not in document(event(ets=1_787_313_600_000, syncts=syncts))["event"]


@pytest.mark.parametrize(
    ("eid", "edata", "agent"),
    [
        ("START", {"edata.uaspec": {"raw": "Mozilla/5.0"}}, "Mozilla/5.0"),
        ("START", {"edata.userAgent": "DIGIT/1"}, "DIGIT/1"),
        ("START", {"edata.uaspec": "text"}, None),
        ("START", {"edata.uaspec": {"raw": 7}}, None),
    ],
)
def test_the_user_agent_comes_from_where_sunbird_or_digit_keep_it(event, eid, edata, agent):
    found = document(event(eid, {"edata": {"type": "app"}, **edata}))
    assert found.get("user_agent", {}).get("original") == agent
