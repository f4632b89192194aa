"""Every row of the verdict table that concerns a request or an answer."""

from __future__ import annotations

import json
import zlib
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import DeliveryError, RejectedError, SetupError, ThrottledError, TransientError
from bridge.http import Answer
from bridge.sinks import DELIVERED, DUPLICATE, Reject, Retry
from bridge_elasticsearch import wire

NOW = 1_766_000_000.0
CONFLICT = {"type": "version_conflict_engine_exception", "reason": "x"}


def answer(body=b"", status=200, **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
    return Answer(status, {"content-type": "application/json", **headers}, raw)


def items(*found, errors=None, **extra):
    wrong = any("error" in item for item in found) if errors is None else errors
    return {**extra, "errors": wrong, "items": [{"create": item} for item in found]}


def read(reply, count=1, attempt=1, **options):
    return wire.read(reply, count, attempt=attempt, now=NOW, **options)


def test_a_body_is_its_lines_and_ends_with_a_newline():
    body, headers = wire.frame([b'{"create":{}}\n{}\n'] * 2, "none")
    assert body == b'{"create":{}}\n{}\n' * 2
    assert headers["content-type"] == "application/x-ndjson"
    assert "content-encoding" not in headers


def test_a_compressed_body_is_gzip_and_the_same_every_time():
    payloads = [b'{"create":{}}\n{"a":1}\n'] * 100
    body, headers = wire.frame(payloads, "gzip")
    assert headers["content-encoding"] == "gzip"
    assert zlib.decompress(body, 31) == b"".join(payloads)
    assert wire.frame(payloads, "gzip")[0] == body


def test_the_answer_is_filtered_to_what_is_read():
    query = parse_qs(urlsplit(wire.bulk_path("geo-ip")).query)
    assert query == {
        "filter_path": ["errors,items.*.status,items.*.error,items.*.failure_store"],
        "pipeline": ["geo-ip"],
    }
    assert "pipeline" not in wire.bulk_path(None)


@pytest.mark.parametrize("status", [500, 502, 504, 507, 408, 425])
def test_a_server_in_trouble_is_asked_again(status):
    with pytest.raises(TransientError):
        read(answer(b"<html>bad gateway</html>", status))


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_says_when_to_come_back(status):
    with pytest.raises(ThrottledError) as caught:
        read(answer(b"", status, **{"retry-after": "7"}))
    assert caught.value.after == 7.0


def test_a_request_that_is_too_large_is_halved():
    with pytest.raises(RejectedError) as caught:
        read(answer(b"<html>nginx</html>", 413))
    assert caught.value.code == "es.too_large"


def test_a_request_that_is_refused_by_the_product_is_bisected():
    body = {"error": {"type": "json_parse_exception", "reason": "Unrecognized token"}, "status": 400}
    with pytest.raises(RejectedError, match="json_parse_exception: Unrecognized token") as caught:
        read(answer(body, 400))
    assert caught.value.code == "es.bad_request"


@pytest.mark.parametrize("status", [401, 403, 407, 301, 307, 404, 405, 406, 410, 415])
def test_what_no_event_is_to_blame_for_holds_the_stream(status):
    with pytest.raises(SetupError):
        read(answer({"error": {"type": "t", "reason": "r"}}, status))


@pytest.mark.parametrize(
    "body", [b"<html>400</html>", b"", {"error": "no handler found for uri [/es/_bulk] and method [POST]"}]
)
def test_a_400_that_is_not_of_the_product_holds_the_stream(body):
    with pytest.raises(SetupError):
        read(answer(body, 400))


@pytest.mark.parametrize("body", [b"<!doctype html>", b"", b"ok", b"[]"])
def test_a_200_that_is_no_bulk_answer_holds_the_stream(body):
    with pytest.raises(SetupError, match="check the address"):
        read(answer(body, **{"content-type": "text/html"}))


@pytest.mark.parametrize(
    "body",
    [
        b'{"errors":false,"items":[{"create":{"sta',
        b"{}",
        b'{"errors":true}',
        b'{"errors":false,"items":[{"create":{"status":"\xff"}}]}',
        {"errors": True, "items": [{"create": {}}]},
        items({"status": 201}, {"status": 201}),
        items(),
        {"errors": False, "items": [{"index": {"status": 201}}]},
        {"errors": True, "items": [{}]},
        {"errors": True, "items": [{"create": {"status": 201}, "index": {"status": 201}}]},
    ],
)
def test_an_answer_that_does_not_fit_the_request_is_never_taken_for_success(body):
    for attempt in range(1, 6):
        with pytest.raises(TransientError, match="not an answer to this bulk request"):
            read(answer(body), attempt=attempt)
    with pytest.raises(SetupError):
        read(answer(body), attempt=6)


def test_all_created_is_all_delivered():
    assert read(answer(items(*[{"status": 201}] * 3)), 3) == [DELIVERED] * 3


def test_an_answer_written_differently_is_read_item_by_item():
    body = b'{"items": [{"create": {"status": 201}}, {"create": {"status": 201}}], "errors": false}\n'
    assert body != wire.all_created(2)
    assert read(answer(body), 2) == [DELIVERED] * 2


def test_an_unfiltered_answer_is_read_as_well():
    full = {"_index": "x", "_id": "1", "result": "created", "_shards": {"total": 2}, "status": 201}
    assert read(answer(items(full, full, took=3)), 2) == [DELIVERED] * 2


def test_the_fast_way_is_only_for_the_right_number_of_items():
    with pytest.raises(TransientError, match="2 items for 3 documents"):
        read(answer(items({"status": 201}, {"status": 201})), 3)


def test_outcomes_come_in_the_order_of_the_documents():
    body = items(
        {"status": 201},
        {"status": 409, "error": CONFLICT},
        {"status": 429, "error": {"type": "es_rejected_execution_exception", "reason": "busy"}},
        {"status": 400, "error": {"type": "document_parsing_exception", "reason": "bad"}},
    )
    assert read(answer(body), 4) == [
        DELIVERED,
        DUPLICATE,
        Retry("es_rejected_execution_exception: busy"),
        Reject("es.mapping", "document_parsing_exception: bad"),
    ]


def test_a_failure_store_shows_in_an_answer_without_errors():
    body = items({"status": 201}, {"status": 201, "failure_store": "used"})
    assert read(answer(body), 2) == [DELIVERED, DELIVERED]
    assert isinstance(read(answer(body), 2, failure_store="reject")[1], Reject)


@given(st.binary(max_size=200), st.integers(1, 3), st.sampled_from([200, 400, 404, 413]))
def test_any_bytes_end_in_a_verdict_or_a_delivery_error(body, count, status):
    try:
        outcomes = read(answer(body, status), count)
    except DeliveryError:
        return
    assert len(outcomes) == count


@given(
    st.lists(st.sampled_from([201, 409, 429, 503, 400, 418]), min_size=1, max_size=20),
    st.integers(1, 12),
)
def test_there_is_one_outcome_for_each_document(statuses, attempt):
    kinds = {409: CONFLICT, 400: {"type": "mapper_parsing_exception", "reason": "x"}}
    found = [
        {
            "status": status,
            **({"error": kinds.get(status, {"type": "t", "reason": "r"})} if status != 201 else {}),
        }
        for status in statuses
    ]
    assert len(read(answer(items(*found)), len(statuses), attempt)) == len(statuses)
