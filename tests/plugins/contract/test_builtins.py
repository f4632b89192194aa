"""The built-in sinks keep the contract that a stranger's sink has to keep, with nothing exempted."""

# ruff: noqa: RUF012 - what a contract reads of its subclass is never changed

from __future__ import annotations

import json

from bridge.testing import HttpSinkContract, Reply, SinkContract
from bridge_elasticsearch import ElasticsearchSink
from bridge_posthog import PostHogSink
from bridge_s3 import S3Sink
from bridge_webhook import WebhookSink

SECRET = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="
RECEIVER = {
    "url": "{url}/in",
    "allow_http": True,
    "allow_networks": ["127.0.0.0/8"],
    "ports": ["{port}"],
    "bearer_token": "token-0123456789",
    "secrets": [SECRET],
}
KEY = "phc_" + "k" * 43


def as_json(value, status=200):
    return Reply(
        status, json.dumps(value, separators=(",", ":")).encode(), {"content-type": "application/json"}
    )


class TestWebhookBatch(HttpSinkContract):
    """A JSON array a request: one answer for all events."""

    sink_type = WebhookSink
    config = RECEIVER
    impatient = {"deadline": 0.3}
    any_2xx_is_a_yes = True

    def said(self, request):
        return request.path, request.headers["webhook-id"], request.content


class TestWebhookCloudEvents(TestWebhookBatch):
    """One request an event."""

    config = RECEIVER | {"body": "cloudevents", "compression": "gzip"}

    def identity_of(self, payload):
        return json.loads(payload)["id"]


class TestElasticsearch(HttpSinkContract):
    """An answer item by item."""

    sink_type = ElasticsearchSink
    config = {"url": "{url}", "api_key": "id:key-0123456789", "template": ""}
    impatient = {"deadline": 0.3}

    STORED = {"status": 201}
    BAD = {"status": 400, "error": {"type": "document_parsing_exception", "reason": "failed to parse"}}
    BUSY = {"status": 429, "error": {"type": "es_rejected_execution_exception", "reason": "queue is full"}}

    def answer_ok(self, request):
        if not request.path.startswith("/_bulk"):
            return as_json({"version": {"number": "8.19.0"}, "tagline": "You Know, for Search"})
        actions = request.content.count(b"\n") // 2
        if not actions:
            return as_json({"error": {"type": "action_request_validation_exception", "reason": "empty"}}, 400)
        return self.items([self.STORED] * actions)

    def answer_refused(self, request):
        return self.items([self.BAD])

    def answer_partly(self, request, number, refused, later):
        items = [self.STORED] * 4
        items[refused], items[later] = self.BAD, self.BUSY
        return self.items(items)

    def answer_saying(self, request, status, text):
        error = {"type": "document_parsing_exception", "reason": text}
        if status == 200:
            return self.items([{"status": 400, "error": error}])
        return as_json({"error": error, "status": status}, status)

    def items(self, items):
        return as_json(
            {"errors": self.STORED not in items[:1], "items": [{"create": item} for item in items]}
        )


class TestPostHogV1(HttpSinkContract):
    """A verdict by uuid."""

    sink_type = PostHogSink
    config = {"host": "{url}", "api_key": KEY}
    impatient = {"timeout": 0.3}

    def answer_ok(self, request):
        return self.verdicts(request)

    def answer_refused(self, request):
        return self.verdicts(request, {0: {"result": "drop", "details": "malformed_event"}})

    def answer_partly(self, request, number, refused, later):
        special = {refused: {"result": "drop", "details": "malformed_event"}, later: {"result": "retry"}}
        return self.verdicts(request, special)

    def answer_saying(self, request, status, text):
        if status == 200:
            return self.verdicts(request, {0: {"result": "drop", "details": text}})
        return as_json({"error": "bad", "error_description": text}, status)

    def said(self, request):
        return request.path, request.headers["posthog-request-id"], request.json()["batch"]

    def identity_of(self, payload):
        return json.loads(payload.split(b"\n")[0])["uuid"]

    def verdicts(self, request, special=None):
        batch = request.json()["batch"]
        if not batch:
            return as_json({"error": "empty_batch", "error_description": "no events"}, 400)
        ok = {"result": "ok"}
        return as_json(
            {"results": {event["uuid"]: (special or {}).get(at, ok) for at, event in enumerate(batch)}}
        )


class TestPostHogV0(HttpSinkContract):
    """One answer for the batch."""

    sink_type = PostHogSink
    config = {"host": "{url}", "api_key": KEY, "capture_mode": "v0"}
    impatient = {"timeout": 0.3}

    def answer_ok(self, request):
        if not request.json()["batch"]:
            return Reply(400, b"empty batch")
        return as_json({"status": "Ok"})

    def said(self, request):
        return request.path, request.json()["batch"]

    def identity_of(self, payload):
        return json.loads(payload.split(b"\n")[0])["uuid"]


class TestS3(SinkContract):
    """Objects in a folder, by the plan chain."""

    sink_type = S3Sink
    config = {"url": "file://{folder}/archive"}
