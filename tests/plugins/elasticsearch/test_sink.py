"""The sink against a strict server on loopback."""

from __future__ import annotations

import base64
import itertools
import json
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from bridge.errors import RejectedError, SetupError, ThrottledError, TransientError
from bridge.sinks import DELIVERED, DUPLICATE, Delivered, Reject, Retry
from bridge_elasticsearch import ElasticsearchSink, bridge_sinks
from bridge_elasticsearch.aside import FailureStore


def test_the_plugin_offers_one_sink():
    assert bridge_sinks() == [ElasticsearchSink]
    assert ElasticsearchSink.name == "elasticsearch"


def test_documents_arrive_and_a_redelivery_changes_nothing(server, open_sink, batch_of):
    sink = open_sink()
    batch = batch_of(sink, 5)
    assert sink.send(batch) == [DELIVERED] * 5
    stored = dict(server.documents)
    assert sink.send(batch) == [DUPLICATE] * 5
    assert server.documents == stored
    assert sorted(server.documents.values()) == sorted(event.raw for event in batch.events)


def test_a_retry_sends_the_same_bytes(server, open_sink, batch_of):
    sink = open_sink()
    batch = batch_of(sink)
    sink.send(batch)
    sink.send(batch)
    first, second = server.bulks
    assert (first.body, first.path) == (second.body, second.path)


@pytest.mark.parametrize(("compression", "encoding"), [("gzip", "gzip"), ("none", None)])
def test_a_request_says_how_it_is_compressed(server, open_sink, batch_of, compression, encoding):
    sink = open_sink(compression=compression)
    assert sink.send(batch_of(sink)) == [DELIVERED] * 3
    [seen] = server.bulks
    assert seen.headers.get("content-encoding") == encoding
    assert seen.headers["accept-encoding"] == "identity"
    assert int(seen.headers["content-length"]) == len(seen.body)


def test_items_are_judged_one_by_one(server, open_sink, batch_of):
    sink = open_sink(id="mid")
    server.items = {
        "m-0": {"status": 429, "error": {"type": "es_rejected_execution_exception", "reason": "full"}},
        "m-2": {"status": 400, "error": {"type": "document_parsing_exception", "reason": "no"}},
    }
    retry, delivered, reject = sink.send(batch_of(sink))
    assert isinstance(retry, Retry)
    assert delivered is DELIVERED
    assert reject == Reject("es.mapping", "document_parsing_exception: no")


def test_an_item_that_stops_everything_raises(server, open_sink, batch_of):
    sink = open_sink(id="mid")
    server.items = {
        "m-1": {"status": 403, "error": {"type": "cluster_block_exception", "reason": "read-only"}}
    }
    with pytest.raises(SetupError, match="read-only"):
        sink.send(batch_of(sink))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (503, ThrottledError),
        (502, TransientError),
        (429, ThrottledError),
        (413, RejectedError),
        (401, SetupError),
        (403, SetupError),
        (302, SetupError),
        (404, SetupError),
        (405, SetupError),
    ],
)
def test_a_status_for_the_whole_request_is_raised(server, open_sink, batch_of, reply, status, error):
    sink = open_sink()
    server.script = [reply(status, b"<html>", {"location": "http://169.254.169.254/"})]
    with pytest.raises(error):
        sink.send(batch_of(sink))
    assert len(server.seen) == 1


def test_a_throttled_request_carries_the_wait(server, open_sink, batch_of, reply):
    sink = open_sink()
    server.script = [reply(429, b"", {"retry-after": "17"})]
    with pytest.raises(ThrottledError) as caught:
        sink.send(batch_of(sink))
    assert caught.value.after == 17.0


def test_a_batch_too_large_for_the_destination_goes_through_in_halves(server, open_sink, batch_of, event):
    sink = open_sink(compression="none")
    events = [event(mid=f"m-{number}") for number in range(8)]
    server.max_length = len(events[0].raw) * 4

    def deliver(some):
        try:
            return sink.send(batch_of(sink, some))
        except RejectedError:
            middle = len(some) // 2
            return [*deliver(some[:middle]), *deliver(some[middle:])]

    assert deliver(events) == [DELIVERED] * 8
    assert len(server.documents) == 8


@pytest.mark.parametrize(
    "answer",
    [
        b'{"errors":false,"items":[{"create":{"status":201}}]}',
        b'{"errors":false,"items":[]}',
        b'{"errors":false,"items":[{"create":{"sta',
        b'{"errors":false,"items":' + b'[{"index":{"status":201}}' + b',{"index":{"status":201}}' * 2 + b"]}",
    ],
)
def test_an_answer_that_does_not_fit_is_sent_again_and_then_held(server, open_sink, batch_of, reply, answer):
    sink = open_sink()
    server.script = [reply(200, answer)] * 6
    for attempt in range(1, 6):
        with pytest.raises(TransientError):
            sink.send(batch_of(sink, 3, attempt))
    with pytest.raises(SetupError):
        sink.send(batch_of(sink, 3, 6))


def test_a_login_page_is_not_an_acknowledgement(server, open_sink, batch_of, reply):
    sink = open_sink()
    server.script = [reply(200, b"<!doctype html><title>Sign in</title>", {"content-type": "text/html"})]
    with pytest.raises(SetupError, match="text/html"):
        sink.send(batch_of(sink))


def test_an_answer_without_end_is_cut_off(server, open_sink, batch_of, reply, monkeypatch):
    monkeypatch.setattr("bridge_elasticsearch.wire.MAX_ANSWER", 1_000)
    sink = open_sink()
    server.script = [reply(200, b'{"errors":false,"items":[' + b" " * 5_000)]
    with pytest.raises(TransientError, match="longer than 1000 bytes"):
        sink.send(batch_of(sink))


def test_nobody_listening_is_transient(config, batch_of):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with ElasticsearchSink(config(url=f"http://127.0.0.1:{port}")) as sink, pytest.raises(TransientError):
        sink.send(batch_of(sink))


def test_a_silent_server_is_given_up_after_the_deadline(config, batch_of):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = config(url=f"http://127.0.0.1:{silent.getsockname()[1]}", deadline=0.2)
        with ElasticsearchSink(settings) as sink, pytest.raises(TransientError):
            sink.send(batch_of(sink))


def test_nodes_take_turns_and_a_dead_one_costs_one_try(servers, open_sink, batch_of):
    one, two = servers(), servers()
    sink = open_sink(url=[one.url, two.url])
    for _ in range(4):
        sink.send(batch_of(sink))
    assert (len(one.bulks), len(two.bulks)) == (2, 2)


def test_many_threads_may_send_at_a_time(server, open_sink, batch_of, event):
    sink = open_sink()
    batches = [batch_of(sink, [event(mid=f"{thread}-{n}") for n in range(20)]) for thread in range(8)]
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(itertools.chain.from_iterable(pool.map(sink.send, batches)))
    assert outcomes == [DELIVERED] * 160
    assert len(server.documents) == 160


def test_credentials_go_with_every_request(server, open_sink, batch_of):
    sink = open_sink(username="bridge", password="hunter2", template="")
    sink.send(batch_of(sink))
    sink.check()
    expected = "Basic " + base64.b64encode(b"bridge:hunter2").decode()
    assert {seen.headers.get("authorization") for seen in server.seen} == {expected}


def test_a_signature_covers_the_compressed_body(server, open_sink, batch_of):
    from hashlib import sha256

    keys = {"region": "ap-south-1", "access_key_id": "AKID", "secret_access_key": "SK"}
    sink = open_sink(sigv4=keys)
    sink.send(batch_of(sink))
    [seen] = server.bulks
    assert seen.headers["x-amz-content-sha256"] == sha256(seen.body).hexdigest()
    assert "SignedHeaders=host;x-amz-content-sha256;x-amz-date" in seen.headers["authorization"]


def test_the_failure_store_is_counted_and_told_in_the_log(server, open_sink, batch_of, caplog):
    sink = open_sink(id="mid")
    assert sink.tally() == {"failure_store": 0}
    server.items = {"m-1": {"status": 201, "failure_store": "used"}}
    assert sink.send(batch_of(sink)) == [DELIVERED] * 3
    assert sink.tally() == {"failure_store": 1}
    assert "search: 1 more documents went to the failure store, 1 since the start" in caplog.text


def test_what_the_failure_store_takes_can_be_rejected_and_counts_all_the_same(server, open_sink, batch_of):
    sink = open_sink(id="mid", failure_store="reject")
    server.items = {"m-1": {"status": 201, "failure_store": "used"}}
    assert [type(outcome) for outcome in sink.send(batch_of(sink))] == [Delivered, Reject, Delivered]
    assert sink.tally() == {"failure_store": 1}


def test_a_store_that_failed_or_is_off_takes_nothing(server, open_sink, batch_of):
    sink = open_sink(id="mid")
    server.items = {"m-1": {"status": 201, "failure_store": "not_enabled"}}
    sink.send(batch_of(sink))
    assert sink.tally() == {"failure_store": 0}


def test_the_log_hears_of_the_failure_store_once_a_minute(caplog):
    store = FailureStore(iter((100.0, 101.0, 159.9, 160.0, 170.0)).__next__)
    for _ in range(5):
        store.add(2, "search")
    assert [record.getMessage().partition("; ")[0] for record in caplog.records] == [
        "search: 2 more documents went to the failure store, 2 since the start",
        "search: 6 more documents went to the failure store, 8 since the start",
    ]
    assert store.total == 10


def test_an_ingest_pipeline_is_named_in_the_request(server, open_sink, batch_of):
    sink = open_sink(pipeline="geo-ip")
    sink.send(batch_of(sink))
    assert "pipeline=geo-ip" in server.bulks[0].path


def test_explain_shows_the_bytes_and_no_secret(open_sink, batch_of):
    sink = open_sink(api_key="id:hunter2")
    batch = batch_of(sink)
    text = sink.explain(batch)
    head, body = text.split("\n\n", 1)
    assert head.splitlines()[0].startswith("POST http://127.0.0.1:")
    assert "authorization: **********" in head
    lines = body.encode().splitlines()
    assert lines[1::2] == batch.payloads
    assert [json.loads(line).keys() for line in lines[::2]] == [{"create"}] * 3
    assert "hunter2" not in text
    assert base64.b64encode(b"id:hunter2").decode() not in text


def test_a_sink_must_be_entered_before_it_is_used(config, batch_of):
    sink = ElasticsearchSink(config())
    with pytest.raises(RuntimeError, match="context manager"):
        sink.send(batch_of(sink))
    sink.__exit__(None, None, None)


@pytest.mark.parametrize("product", ["Elasticsearch", "OpenSearch"])
def test_setup_writes_the_product_s_template_and_check_finds_it(servers, open_sink, product):
    server = servers(product)
    sink = open_sink(url=server.url)
    with pytest.raises(SetupError, match="bridge check --setup"):
        sink.check()
    assert sink.setup().startswith(f"{product} ")
    [body] = server.templates.values()
    kind = body["template"]["mappings"]["properties"]["edata_all"]["type"]
    assert kind == {"Elasticsearch": "flattened", "OpenSearch": "flat_object"}[product]
    assert "template sunbird-telemetry is right for sunbird-telemetry-v1-2025.12.17" in sink.check()


def test_check_changes_nothing(server, open_sink):
    sink = open_sink(template="")
    assert "template left to you" in sink.check()
    assert {seen.method for seen in server.seen} <= {"GET", "POST"}
    assert [seen.text for seen in server.bulks] == [b"\n"]
    assert (server.documents, server.templates, server.policies) == ({}, {}, {})


def test_setup_without_a_template_writes_nothing(server, open_sink):
    assert "nothing to set up" in open_sink(template="").setup()
    assert server.seen == []


@pytest.mark.parametrize(
    ("product", "path"),
    [
        ("Elasticsearch", "/_ilm/policy/sunbird-telemetry"),
        ("OpenSearch", "/_plugins/_ism/policies/sunbird-telemetry"),
    ],
)
def test_setup_writes_a_retention_policy_if_asked_for(servers, open_sink, product, path):
    server = servers(product)
    assert "delete after 30 days" in open_sink(url=server.url, retention_days=30).setup()
    assert list(server.policies) == [path]


def test_a_policy_of_opensearch_is_replaced_by_its_version(servers, open_sink, reply_json):
    server = servers("OpenSearch")
    found = reply_json({"_seq_no": 7, "_primary_term": 2, "policy": {}})
    server.script = [None, found]
    open_sink(url=server.url, retention_days=30).setup()
    assert list(server.policies) == [
        "/_plugins/_ism/policies/sunbird-telemetry?if_seq_no=7&if_primary_term=2"
    ]


def test_setup_says_what_the_product_refused(server, open_sink, reply_problem):
    sink = open_sink()
    server.script = [
        None,
        reply_problem("illegal_argument_exception", "unknown setting"),
    ]
    with pytest.raises(
        SetupError, match=r"PUT /_index_template/sunbird-telemetry: HTTP 400 .*unknown setting"
    ):
        sink.setup()


def test_setup_refuses_a_product_that_is_too_old(server, open_sink, reply_json):
    server.script = [reply_json({"version": {"number": "6.8.23"}})]
    with pytest.raises(SetupError, match=r"7\.17 is the oldest"):
        open_sink().setup()


def test_a_narrow_role_does_not_make_a_check_fail(server, open_sink, reply_problem):
    forbidden = reply_problem("security_exception", "unauthorized", 403)
    server.script = [forbidden, None, forbidden]
    found = open_sink().check()
    assert "does not say which" in found
    assert "template not checked" in found


def test_a_role_that_may_not_write_fails_the_check(server, open_sink, reply_problem):
    server.script = [
        None,
        reply_problem("security_exception", "unauthorized", 403),
    ]
    with pytest.raises(SetupError, match="HTTP 403"):
        open_sink().check()


@pytest.mark.parametrize(
    ("body", "what"), [(b"<html>", "without JSON"), (b'{"name":"x"}', "neither Elasticsearch nor OpenSearch")]
)
def test_another_web_site_fails_the_check(server, open_sink, reply, body, what):
    server.script = [reply(200, body)]
    with pytest.raises(SetupError, match=what):
        open_sink().check()


def test_a_product_without_bulk_at_this_path_fails_the_check(server, open_sink, reply_json):
    missing = reply_json({"error": "no handler found for uri [/x/_bulk] and method [POST]"}, 400)
    server.script = [None, missing]
    with pytest.raises(SetupError, match="no _bulk"):
        open_sink().check()


def test_setup_needs_to_know_the_product(server, open_sink, reply_problem):
    server.script = [reply_problem("security_exception", "unauthorized", 403)]
    with pytest.raises(SetupError, match="may not ask which product"):
        open_sink().setup()


def test_a_data_stream_gets_creates_with_a_timestamp(server, open_sink, batch_of):
    sink = open_sink(index="sunbird-telemetry", data_stream=True)
    assert sink.send(batch_of(sink)) == [DELIVERED] * 3
    assert {index for index, _ in server.documents} == {"sunbird-telemetry"}
    assert all("@timestamp" in json.loads(document) for document in server.documents.values())
