"""The contract every HTTP sink keeps, with the answers of `_bulk`."""

from __future__ import annotations

import json

from bridge.testing import HttpSinkContract, Reply
from bridge_elasticsearch import ElasticsearchSink

JSON = {"content-type": "application/json"}
CREATED = {"create": {"status": 201}}
REFUSED = {"create": {"status": 400, "error": {"type": "mapper_parsing_exception", "reason": "no"}}}
BUSY = {"create": {"status": 429, "error": {"type": "es_rejected_execution_exception", "reason": "full"}}}


def answer(items):
    errors = any("error" in item["create"] for item in items)
    return Reply(200, json.dumps({"errors": errors, "items": items}, separators=(",", ":")).encode(), JSON)


class ElasticsearchContract(HttpSinkContract):
    sink_type = ElasticsearchSink
    config = {"url": "{url}", "template": "", "username": "bridge", "password": "wake-the-bulls"}  # noqa: RUF012
    impatient = {"deadline": 0.3}  # noqa: RUF012

    def documents(self, request):
        return request.content.count(b"\n") // 2

    def answer_ok(self, request):
        if request.method == "GET":
            return Reply(200, b'{"version":{"number":"8.19.0"}}', JSON)
        if request.content == b"\n":
            return Reply(400, b'{"error":{"type":"action_request_validation_exception"}}', JSON)
        return answer([CREATED] * self.documents(request))

    def answer_refused(self, request):
        return answer([REFUSED] * self.documents(request))

    def answer_partly(self, request, number, refused, later):
        items = [CREATED] * self.documents(request)
        items[refused], items[later] = REFUSED, BUSY
        return answer(items)


class TestElasticsearch(ElasticsearchContract):
    pass


class TestElasticsearchCommonSchema(ElasticsearchContract):
    config = {**ElasticsearchContract.config, "shape": "ecs", "compression": "none"}  # noqa: RUF012
