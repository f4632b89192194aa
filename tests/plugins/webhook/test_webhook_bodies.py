"""What is on the wire in each mode; CloudEvents are read back by the official SDK."""

from __future__ import annotations

import gzip
import json
from urllib.parse import unquote

import pytest
from cloudevents.http import from_http, from_json

from bridge.errors import EventError
from bridge.sinks import DELIVERED

MODES = ["raw", "batch", "cloudevents", "cloudevents-batch", "cloudevents-binary", "template"]
TEMPLATE = {"text": {"$": "edata.pageid"}, "event": {"$": "."}}


@pytest.fixture
def post(serve, connect, batch):
    """Send events in a mode; the requests that arrived."""

    def run(body, events, **config):
        server = serve()
        template = {"template": TEMPLATE} if body == "template" else {}
        sink = connect(server, body=body, **template, **config)
        assert sink.send(batch(sink, events)) == [DELIVERED] * len(events)
        return server.requests

    return run


def test_raw_posts_each_event_as_it_came(post, events):
    sent = events(3)
    requests = post("raw", sent)
    assert [request.body for request in requests] == [event.raw for event in sent]
    assert {request.headers["content-type"] for request in requests} == {"application/json"}
    assert {(request.method, request.target) for request in requests} == {("POST", "/in")}


def test_batch_posts_one_array_of_events_as_they_came(post, events):
    sent = events(3)
    (request,) = post("batch", sent)
    assert request.body == b"[" + b",".join(event.raw for event in sent) + b"]"
    assert [found["mid"] for found in json.loads(request.body)] == ["m-0", "m-1", "m-2"]
    assert request.headers["content-type"] == "application/json"


def test_gzip_is_announced_and_unpacks_to_the_same_body(post, events):
    sent = events(50)
    (request,) = post("batch", sent, compression="gzip")
    assert request.headers["content-encoding"] == "gzip"
    assert gzip.decompress(request.body) == b"[" + b",".join(event.raw for event in sent) + b"]"


def test_a_structured_cloudevent_is_read_by_the_sdk(post, event):
    sent = event("INTERACT")
    (request,) = post("cloudevents", [sent])
    assert request.headers["content-type"] == "application/cloudevents+json; charset=UTF-8"
    found = from_http(request.headers, request.body)
    assert found["specversion"] == "1.0"
    assert found["id"] == sent.identity.hex()
    assert found["source"] == f"urn:sunbird:{sent.context.channel}:{sent.context.pdata.id}"
    assert found["type"] == "org.sunbird.telemetry.interact"
    assert found["time"] == "2026-01-05T09:30:02.000Z"
    assert found["subject"] == sent.object.id
    assert found["datacontenttype"] == "application/json"
    assert found.data == json.loads(sent.raw)


def test_a_cloudevents_batch_is_read_by_the_sdk(post, events):
    sent = events(3)
    (request,) = post("cloudevents-batch", sent)
    assert request.headers["content-type"] == "application/cloudevents-batch+json; charset=UTF-8"
    found = [from_json(json.dumps(item)) for item in json.loads(request.body)]
    assert [item["id"] for item in found] == [event.identity.hex() for event in sent]
    assert [item.data for item in found] == [json.loads(event.raw) for event in sent]


def test_a_binary_cloudevent_is_read_by_the_sdk(post, event):
    sent = event("INTERACT")
    (request,) = post("cloudevents-binary", [sent])
    assert request.body == sent.raw
    found = from_http(request.headers, request.body)
    assert (found["id"], found["type"]) == (sent.identity.hex(), "org.sunbird.telemetry.interact")
    assert found["subject"] == sent.object.id
    assert found.data == json.loads(sent.raw)


def test_both_cloudevents_modes_say_the_same(post, event):
    sent = event("ASSESS")
    structured = from_http(*headers_and_body(post("cloudevents", [sent])))
    binary = from_http(*headers_and_body(post("cloudevents-binary", [sent])))
    assert structured.data == binary.data
    without = {"datacontenttype", "content-type"}
    assert {k: v for k, v in structured.get_attributes().items() if k not in without} == {
        k: v for k, v in binary.get_attributes().items() if k not in without
    }


def headers_and_body(requests):
    return requests[0].headers, requests[0].body


def test_text_beyond_ascii_is_escaped_in_headers_and_kept_in_json(post, event):
    sent = event("INTERACT", {"object.id": 'पाठ "1" 100%', "context.channel": "राज्य/एक"})
    (binary,) = post("cloudevents-binary", [sent])
    assert binary.headers["ce-subject"].isascii()
    assert unquote(binary.headers["ce-subject"]) == sent.object.id
    (structured,) = post("cloudevents", [sent])
    found = from_http(structured.headers, structured.body)
    assert found["subject"] == sent.object.id
    assert found["source"].isascii()
    assert unquote(found["source"]) == f"urn:sunbird:राज्य/एक:{sent.context.pdata.id}"


def test_no_event_can_add_a_header(post, event):
    sent = event(
        "INTERACT\r\nx-evil: 1", {"object.id": "a\r\nx-evil: 2", "context.channel": "c\r\nx-evil: 3"}
    )
    (request,) = post("cloudevents-binary", [sent])
    assert "x-evil" not in request.headers
    assert "ce-subject" not in request.headers
    attribute = unquote(request.headers["ce-type"])
    assert unquote(attribute) == "org.sunbird.telemetry.interact\r\nx-evil: 1"


def test_the_mid_can_be_the_id_where_it_can_be_one(configure, event):
    sink = configure(body="cloudevents", id="mid")
    assert json.loads(sink.map(event("START", mid="m-1")))["id"] == "m-1"
    for unusable in ("a\nb", "x" * 257, "म" * 40):
        odd = event("START", mid=unusable)
        assert json.loads(sink.map(odd))["id"] == odd.identity.hex()


def test_events_that_share_a_mid_are_different_cloudevents(configure, event):
    sink = configure(body="cloudevents")
    ids = {json.loads(sink.map(event("START", mid="m-1", ets=ets)))["id"] for ets in (1, 2, 3)}
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("ets", "time"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (1767605402250, "2026-01-05T09:30:02.250Z"),
        (1767605402250.75, "2026-01-05T09:30:02.250Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (253402300799999, "9999-12-31T23:59:59.999Z"),
        (253402300800000, None),
        (1e300, None),
        (-1e17, None),
    ],
)
def test_time_is_the_devices_clock_as_far_as_the_calendar_goes(configure, event, ets, time):
    assert json.loads(configure(body="cloudevents").map(event("START", ets=ets))).get("time") == time


def test_a_schema_can_be_named(configure, event):
    sink = configure(body="cloudevents", dataschema="https://schemas.example/telemetry/3.0")
    assert json.loads(sink.map(event()))["dataschema"] == "https://schemas.example/telemetry/3.0"


def test_an_event_without_an_object_has_no_subject(configure, event):
    assert "subject" not in json.loads(configure(body="cloudevents").map(event("START", object=...)))


def test_a_type_too_long_for_a_header_is_the_events_fault(configure, event):
    sink = configure(body="cloudevents-binary")
    with pytest.raises(EventError) as caught:
        sink.map(event("E" * 300))
    assert (caught.value.code, caught.value.path) == ("header_too_long", "$.eid")


def test_a_subject_too_long_for_a_header_is_left_out(post, event):
    (request,) = post("cloudevents-binary", [event("START", {"object.id": "o" * 300})])
    assert "ce-subject" not in request.headers


def test_a_template_is_filled_in(post, event):
    sent = event("INTERACT")
    (request,) = post("template", [sent])
    assert json.loads(request.body) == {"text": sent.edata["pageid"], "event": json.loads(sent.raw)}
    assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize("mode", MODES)
def test_the_same_batch_twice_is_the_same_request(post, events, mode):
    first = [(request.headers["webhook-id"], request.body) for request in post(mode, events(3))]
    second = [(request.headers["webhook-id"], request.body) for request in post(mode, events(3))]
    assert first == second
    assert len(set(first)) == len(first)


@pytest.mark.parametrize("mode", ["batch", "cloudevents-batch"])
def test_gzip_gives_the_same_bytes_twice(post, events, mode):
    (first,) = post(mode, events(3), compression="gzip")
    (second,) = post(mode, events(3), compression="gzip")
    assert first.body == second.body


def test_another_order_or_another_event_is_another_message(post, events):
    a, b, c = events(3)
    ids = {post("batch", sent)[0].headers["webhook-id"] for sent in ([a, b], [b, a], [a, c], [a], [a, b, c])}
    assert len(ids) == 5


@pytest.mark.parametrize("mode", MODES)
def test_mapping_many_is_mapping_one_by_one(configure, events, mode):
    sink = configure(body=mode, **({"template": TEMPLATE} if mode == "template" else {}))
    assert list(sink.map_batch(events(5))) == [sink.map(event) for event in events(5)]
