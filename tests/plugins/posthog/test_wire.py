"""Bytes of requests, and what answers mean."""

from __future__ import annotations

import gzip
import json
from uuid import UUID

import pytest
import zstandard

from bridge.errors import RejectedError, SetupError, ThrottledError, TransientError
from bridge.http import Answer
from bridge.sinks import DELIVERED, DUPLICATE, Reject, Retry
from bridge_posthog.answers import judge
from bridge_posthog.wire import Parcel, body, headers, pack, packed

ONE = "0190a1b2-0000-8000-8000-000000000001"
TWO = "0190a1b2-0000-8000-8000-000000000002"
THREE = "0190a1b2-0000-8000-8000-000000000003"
NOW = 1_767_700_000.0


def _payload(uuid, text="x"):
    return f'{{"uuid":"{uuid}","event":"{text}"}}'.encode()


def _answer(status=200, document=None, **named):
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in named.items()}, content)


def test_a_parcel_of_different_events_is_the_payloads_themselves():
    payloads = [_payload(ONE), _payload(TWO)]
    assert pack(payloads) == pack(payloads, None) == Parcel(payloads, [ONE.encode(), TWO.encode()])


def test_payloads_known_to_be_one_event_each_are_not_searched_for_more():
    payloads = [_payload(ONE, "a"), _payload(TWO), _payload(ONE, "a")]
    parcel = pack(payloads, None)
    assert list(parcel.events) == payloads[:2]
    assert parcel.uuids == [ONE.encode(), TWO.encode()]
    assert parcel.counts == [1, 1, 0]


def test_a_request_without_events_asks_only_for_an_opinion():
    assert json.loads(b"".join(body("v1", [], "phc_x", NOW, historical=False)))["batch"] == []
    assert json.loads(b"".join(body("v0", [], "phc_x", NOW, historical=False)))["batch"] == []


def test_an_event_that_is_in_the_parcel_already_is_not_sent_again():
    parcel = pack([_payload(ONE, "a"), _payload(TWO), _payload(ONE, "a")])
    assert list(parcel.events) == [_payload(ONE, "a"), _payload(TWO)]
    assert parcel.uuids == [ONE.encode(), TWO.encode()]
    assert parcel.counts == [1, 1, 0]


def test_additional_events_are_sent_once_and_not_if_they_are_known():
    group = b"\n" + _payload(THREE)
    parcel = pack([_payload(ONE) + group, _payload(TWO) + group])
    assert list(parcel.events) == [_payload(ONE), _payload(THREE), _payload(TWO)]
    assert parcel.uuids == [ONE.encode(), THREE.encode(), TWO.encode()]
    assert parcel.counts == [2, 1]
    assert list(pack([_payload(ONE) + group], {THREE.encode()}).events) == [_payload(ONE)]


def test_an_additional_event_may_come_before_a_payload_that_is_the_same():
    parcel = pack([_payload(ONE) + b"\n" + _payload(TWO, "first"), _payload(TWO, "second"), _payload(THREE)])
    assert list(parcel.events) == [_payload(ONE), _payload(TWO, "first"), _payload(THREE)]
    assert parcel.counts == [2, 0, 1]


def test_what_there_is_of_events_is_put_together_by_payload():
    parcel = pack([_payload(ONE) + b"\n" + _payload(TWO), _payload(ONE), _payload(THREE)])
    assert list(parcel.by_payload("abc")) == [["a", "b"], [], ["c"]]
    assert list(pack([_payload(ONE), _payload(TWO)]).by_payload("ab")) == [["a"], ["b"]]
    assert list(pack([]).by_payload("")) == []


def test_the_body_of_v1_names_no_key():
    found = json.loads(b"".join(body("v1", [b'{"a":1}', b'{"b":2}'], "phc_x", NOW, historical=False)))
    assert found == {"created_at": "2026-01-06T11:46:40.000Z", "batch": [{"a": 1}, {"b": 2}]}
    assert (
        json.loads(b"".join(body("v1", [b"{}"], "phc_x", NOW, historical=True)))["historical_migration"]
        is True
    )


def test_the_body_of_v0_names_the_key_and_the_time_of_sending():
    found = json.loads(b"".join(body("v0", [b'{"a":1}'], "phc_x", NOW, historical=True)))
    assert found == {
        "api_key": "phc_x",
        "historical_migration": True,
        "sent_at": "2026-01-06T11:46:40.000Z",
        "batch": [{"a": 1}],
    }


def _headers(protocol="v1", **changes):
    options = {
        "key": "phc_x",
        "agent": "a/1",
        "encoding": "zstd",
        "uuids": [ONE.encode()],
        "attempt": 2,
        "now": NOW,
    }
    return headers(protocol, **{**options, **changes})


def test_v1_has_its_required_headers():
    found = _headers()
    assert found["Authorization"] == "Bearer phc_x"
    assert found["PostHog-Sdk-Info"] == "a/1"
    assert found["PostHog-Attempt"] == "2"
    assert found["PostHog-Request-Timestamp"] == "2026-01-06T11:46:40.000Z"
    assert found["Content-Encoding"] == "zstd"
    assert UUID(found["PostHog-Request-Id"]).version == 8


def test_a_requests_id_stays_the_same_for_the_same_events():
    first, again, other = _headers(), _headers(attempt=3, now=NOW + 9), _headers(uuids=[TWO.encode()])
    assert first["PostHog-Request-Id"] == again["PostHog-Request-Id"] != other["PostHog-Request-Id"]


def test_v0_says_nothing_it_need_not():
    assert set(_headers("v0", encoding="none")) == {"Content-Type", "User-Agent"}


def test_bodies_are_compressed_as_named():
    data = b"abc" * 1000
    assert gzip.decompress(packed([data], "gzip")) == data
    assert zstandard.ZstdDecompressor().decompress(packed([data], "zstd")) == data
    assert packed([data], "none") == data


def _parcel(*uuids, counts=None):
    return Parcel([_payload(uuid) for uuid in uuids], [uuid.encode() for uuid in uuids], counts)


PARCEL = _parcel(ONE, TWO, THREE, counts=[1, 1, 1, 0])


def test_v1_answers_event_by_event():
    results = {
        ONE: {"result": "ok"},
        TWO: {"result": "drop", "details": "event_too_big"},
        THREE: {"result": "retry", "details": "not_persisted"},
    }
    found = judge("v1", _answer(document={"results": results}, retry_after="7"), PARCEL, NOW)
    assert found[0] is DELIVERED
    assert found[1] == Reject("event_too_big", "PostHog dropped the event: event_too_big")
    assert found[2] == Retry("not_persisted", 7.0)
    assert found[3] is DUPLICATE


def test_a_warning_never_means_to_send_again():
    results = {ONE: {"result": "warning", "details": "person_processing_disabled"}}
    assert judge("v1", _answer(document={"results": results}), _parcel(ONE), NOW) == [DELIVERED]


@pytest.mark.parametrize("results", [{}, {ONE: {}}, {ONE: {"result": "limbo"}}])
def test_an_event_without_a_verdict_is_not_acknowledged(results):
    (found,) = judge("v1", _answer(document={"results": results}), _parcel(ONE), NOW)
    assert isinstance(found, Retry)


@pytest.mark.parametrize(("second", "kind"), [("drop", Reject), ("retry", Retry)])
def test_of_a_payload_with_more_events_the_worst_counts(second, kind):
    results = {ONE: {"result": "ok"}, TWO: {"result": second}}
    (found,) = judge("v1", _answer(document={"results": results}), _parcel(ONE, TWO, counts=[2]), NOW)
    assert isinstance(found, kind)


def test_v0_answers_the_batch_as_a_whole():
    for document in ({"status": "Ok"}, {"status": 1}):
        found = judge("v0", _answer(document=document), _parcel(ONE, counts=[1, 0]), NOW)
        assert found == [DELIVERED, DUPLICATE]
    assert judge("v0", _answer(204, b""), _parcel(ONE), NOW) == [DELIVERED]


@pytest.mark.parametrize("protocol", ["v0", "v1"])
@pytest.mark.parametrize(
    "content", [b"<html>Welcome</html>", b"", b"[]", b'{"results":[]}', b"null", b"\xff"]
)
def test_a_page_with_status_200_is_no_acknowledgement(protocol, content):
    with pytest.raises(TransientError, match="HTTP 200"):
        judge(protocol, _answer(document=content), PARCEL, NOW)


@pytest.mark.parametrize("protocol", ["v0", "v1"])
@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (301, SetupError, "redirects"),
        (400, RejectedError, "because"),
        (401, SetupError, "phc_"),
        (402, SetupError, "quota"),
        (403, SetupError, "credentials"),
        (404, SetupError, "HTTP 404"),
        (405, SetupError, "host"),
        (408, TransientError, "408"),
        (413, RejectedError, "because"),
        (415, SetupError, "compression"),
        (418, SetupError, "418"),
        (429, ThrottledError, "429"),
        (500, TransientError, "500"),
        (502, TransientError, "502"),
        (503, TransientError, "503"),
        (504, TransientError, "504"),
        (202, TransientError, "no answer"),
    ],
)
def test_every_status_has_its_meaning(protocol, status, error, words):
    with pytest.raises(error, match=words):
        judge(protocol, _answer(status, {"error": "some_code", "error_description": "because"}), PARCEL, NOW)


def test_a_wait_that_posthog_asks_for_is_passed_on():
    with pytest.raises(ThrottledError) as caught:
        judge("v1", _answer(429, {}, retry_after="12"), PARCEL, NOW)
    assert caught.value.after == 12.0


@pytest.mark.parametrize(
    ("status", "content", "code", "reason"),
    [
        (
            400,
            b'{"error":"invalid_event_uuid","error_description":"no\\nuuid"}',
            "invalid_event_uuid",
            "no uuid",
        ),
        (
            400,
            b"failed to parse request: " + b"x" * 900,
            "bad_request",
            "failed to parse request: " + "x" * 175,
        ),
        (400, b'{"type":"validation_error","code":"bad stuff!","detail":"d"}', "bad_request", "d"),
        (400, b"", "bad_request", "HTTP 400"),
        (400, "Ungültig\x1b[2J".encode(), "bad_request", "Ung ltig [2J"),
        (413, b'{"error":"too"}', "payload_too_large", "too"),
    ],
)
def test_a_refusal_has_a_stable_code_and_a_short_printable_reason(status, content, code, reason):
    with pytest.raises(RejectedError) as caught:
        judge("v1", _answer(status, content), PARCEL, NOW)
    assert (caught.value.code, caught.value.reason) == (code, reason)
