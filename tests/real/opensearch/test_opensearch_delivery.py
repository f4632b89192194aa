"""What a real server does with our requests: documents, duplicates, refusals, set-up problems."""

from __future__ import annotations

import base64
import json

import pytest

from bridge.errors import EventError, RejectedError, SetupError
from bridge.events import Decoder, Level
from bridge.sinks import DELIVERED, DUPLICATE, Batch, Delivered, Reject, Retry
from bridge.testing import nasty, samples
from bridge_elasticsearch import wire

pytestmark = pytest.mark.real
NO_GREETING = "this node lacks the module that answers GET /"
WEEK = 7 * 86_400_000


def found(server, name, query=None, size=100):
    body = {"size": size, "query": query or {"match_all": {}}}
    return server.ok("POST", f"/{name}*/_search", body)["hits"]["hits"]


def test_setup_is_accepted_and_check_agrees(server, open_sink):
    if not server.greets:
        pytest.skip(NO_GREETING)
    sink = open_sink()
    with pytest.raises(SetupError, match="no template of the bridge"):
        sink.check()
    assert sink.setup().startswith(f"{server.product} {server.version}: wrote index template")
    assert "is right for" in sink.check()


def test_setup_may_be_repeated(server, open_sink):
    if not server.greets:
        pytest.skip(NO_GREETING)
    sink = open_sink(shape="ecs")
    assert sink.setup() == sink.setup()
    assert "is right for" in sink.check()


def test_every_kind_of_event_is_delivered_once(server, name, ready_sink, event, deliver, refresh):
    sink = ready_sink()
    events = [event(eid, mid=f"m-{eid}") for eid in samples()]
    assert deliver(sink, events) == [DELIVERED] * len(events)
    assert deliver(sink, events) == [DUPLICATE] * len(events)
    refresh()
    hits = found(server, name)
    assert {hit["_id"]: hit["_source"] for hit in hits} == {
        base64.urlsafe_b64encode(one.identity).decode().rstrip("="): json.loads(one.raw) for one in events
    }


def test_the_answer_is_as_short_as_the_fast_way_expects(server, ready_sink, event):
    sink = ready_sink()
    events = [event(mid="a"), event(mid="b")]
    batch = Batch(sink.map_batch(events), events, "search")
    body, headers = wire.frame(sink._lines(batch), "gzip")
    answer = server.client.request("POST", server.url + wire.bulk_path(None), content=body, headers=headers)
    assert answer.body == b'{"errors":false,"items":[{"create":{"status":201}},{"create":{"status":201}}]}'
    assert answer.body == wire.all_created(len(events))


def test_days_have_indices_of_their_own(server, name, ready_sink, event, deliver):
    sink = ready_sink()
    noon = 1_787_313_600_000
    deliver(sink, [event(ets=noon), event(ets=noon + 86_400_000), event(ets=noon - 9 * WEEK, syncts=noon)])
    indices = server.ok("GET", f"/{name}*/_settings")
    assert sorted(indices) == [f"{name}-2026.08.21", f"{name}-2026.08.22"]


def test_a_document_that_does_not_fit_is_rejected_alone(ready_sink, event, deliver):
    sink = ready_sink()
    events = [event(mid="a"), event("LOG", {"edata.target": "text"}, mid="b"), event(mid="c")]
    first, second, third = deliver(sink, events)
    assert (first, third) == (DELIVERED, DELIVERED)
    assert isinstance(second, Reject)
    assert second.code == "es.mapping"
    assert "edata.target" in second.reason
    assert "'text'" not in second.reason


@pytest.mark.parametrize("key", ["", ".", "a..b", ".a", "a."])
def test_a_key_no_field_can_have_is_rejected_with_its_cause(ready_sink, event, deliver, key):
    sink = ready_sink()
    one = event("LOG", mid="odd", edata={"type": "t", "level": "INFO", "message": "m", key: 1})
    [outcome] = deliver(sink, [one])
    if isinstance(outcome, Reject):
        assert outcome.code == "es.mapping"
        assert len(outcome.reason) > len("mapper_parsing_exception: failed to parse")
    else:
        assert outcome is DELIVERED


def test_long_texts_are_kept_but_not_indexed(server, name, ready_sink, event, deliver, refresh):
    sink = ready_sink()
    text = "x" * 40_000
    assert deliver(sink, [event("LOG", {"edata.message": text}, mid="long")]) == [DELIVERED]
    refresh()
    assert found(server, name)[0]["_source"]["edata"]["message"] == text


def test_without_the_template_a_long_text_is_an_immense_term(server, name, open_sink, event, deliver):
    server.ok("PUT", f"/{name}-plain", {"mappings": {"properties": {"eid": {"type": "keyword"}}}})
    sink = open_sink(index=f"{name}-plain", template="")
    [outcome] = deliver(sink, [event("X" * 40_000)])
    assert isinstance(outcome, Reject)
    assert outcome.code == "es.immense_term"
    assert "eid" in outcome.reason
    assert "XX" not in outcome.reason


def test_nothing_that_breaks_programs_breaks_a_bulk_request(ready_sink, deliver):
    sink = ready_sink()
    decode = Decoder(Level.ENVELOPE).event
    outcomes = {}
    for label, raw in nasty().items():
        try:
            outcomes[label] = deliver(sink, [decode(raw)])[0]
        except EventError:
            continue
    assert len(outcomes) > 20
    rejected = {label: outcome for label, outcome in outcomes.items() if not isinstance(outcome, Delivered)}
    assert all(isinstance(outcome, Reject) for outcome in rejected.values()), rejected


def send_raw(sink, line):
    """Send one action line as it is, with an empty document."""
    sink._lines = lambda batch: batch.payloads
    return sink.send(Batch([line + b"\n{}\n"], [], "search"))


def test_an_id_beyond_512_bytes_is_refused_for_the_whole_request(open_sink, name):
    sink = open_sink(template="")
    line = b'{"create":{"_index":"%b","_id":"%b"}}' % (name.encode(), b"x" * 513)
    with pytest.raises(RejectedError) as caught:
        send_raw(sink, line)
    assert caught.value.code == "es.bad_request"


def test_ids_that_are_mids_are_never_too_long(ready_sink, event, deliver):
    sink = ready_sink(id="mid")
    assert deliver(sink, [event(mid="क" * 400), event(mid='a b/ü"\\')]) == [DELIVERED] * 2


@pytest.mark.parametrize("line", [b'{"create":{"_index":"x"', b"\xff\xfe", b'{"unknown":{}}'])
def test_a_malformed_action_is_refused_for_the_whole_request(open_sink, line):
    sink = open_sink(template="")
    with pytest.raises(RejectedError):
        send_raw(sink, line)


def test_a_request_above_the_server_s_limit_is_too_large(server, open_sink, event):
    if not server.own:
        pytest.skip("the limit of a server that was there already is not known")
    sink = open_sink(template="", compression="none")
    events = [event("LOG", {"edata.message": "x" * 60_000})] * 150
    with pytest.raises(RejectedError) as caught:
        sink.send(Batch(sink.map_batch(events), events, "search"))
    assert caught.value.code == "es.too_large"


def test_one_large_but_lawful_batch_passes(ready_sink, event, deliver):
    sink = ready_sink(compression="gzip")
    events = [event("LOG", {"edata.message": "x" * 5_000}, mid=f"m{number}") for number in range(1_000)]
    assert deliver(sink, events) == [DELIVERED] * 1_000


@pytest.mark.parametrize("block", [{"index.blocks.write": True}, {"index.blocks.read_only": True}])
def test_a_blocked_index_holds_the_stream(server, name, open_sink, event, deliver, block):
    server.ok("PUT", f"/{name}-b")
    server.ok("PUT", f"/{name}-b/_settings", block)
    try:
        with pytest.raises(SetupError, match="cluster_block_exception"):
            deliver(open_sink(index=f"{name}-b"), [event()])
    finally:
        server.ok("PUT", f"/{name}-b/_settings", dict.fromkeys(block))


def test_a_full_disk_is_waited_for(server, name, open_sink, event, deliver):
    server.ok("PUT", f"/{name}-b")
    server.ok("PUT", f"/{name}-b/_settings", {"index.blocks.read_only_allow_delete": True})
    sink = open_sink(index=f"{name}-b")
    [outcome] = deliver(sink, [event()])
    assert isinstance(outcome, Retry)
    server.call("PUT", f"/{name}-b/_settings", {"index.blocks.read_only_allow_delete": None})


def test_a_closed_index_holds_the_stream(server, name, open_sink, event, deliver):
    server.ok("PUT", f"/{name}-b")
    server.ok("POST", f"/{name}-b/_close")
    with pytest.raises(SetupError, match="index_closed_exception"):
        deliver(open_sink(index=f"{name}-b"), [event()])


def test_an_ingest_pipeline_that_is_not_there_holds_the_stream(server, open_sink, event, deliver):
    if server.product == "OpenSearch" and server.own:
        pytest.skip("the runner starts OpenSearch without the role of an ingest node")
    with pytest.raises(SetupError, match="pipeline with id"):
        deliver(open_sink(pipeline="nowhere"), [event()])


@pytest.mark.parametrize(
    "settings",
    [{"action.auto_create_index": "nothing*"}, {"cluster.max_shards_per_node": 1}],
)
def test_an_index_that_cannot_be_made_holds_the_stream(server, name, open_sink, event, deliver, settings):
    if not server.own:
        pytest.skip("settings of the whole cluster are changed only on a server of our own")
    server.ok("PUT", f"/{name}-first")
    server.ok("PUT", "/_cluster/settings", {"persistent": settings})
    try:
        with pytest.raises(SetupError):
            deliver(open_sink(template=""), [event()])
    finally:
        server.ok("PUT", "/_cluster/settings", {"persistent": dict.fromkeys(settings)})


def test_a_mapping_that_is_full_holds_the_stream(server, name, open_sink, event, deliver):
    body = {"settings": {"index.mapping.total_fields.limit": 3}, "mappings": {"dynamic": True}}
    server.ok("PUT", f"/{name}-full", body)
    with pytest.raises(SetupError, match="Limit of total fields"):
        deliver(open_sink(index=f"{name}-full", template=""), [event()])


def test_documents_of_an_older_indexer_are_recognised_by_their_mid(server, name, open_sink, event, deliver):
    before = event(mid="b6b0a7a6-0001")
    server.ok("PUT", f"/{name}-v1/_doc/b6b0a7a6-0001", json.loads(before.raw))
    sink = open_sink(index=f"{name}-v1", id="mid", template="")
    assert deliver(sink, [before, event(mid="b6b0a7a6-0002")]) == [DUPLICATE, DELIVERED]


def test_a_data_stream_takes_creates_and_their_timestamps(server, name, ready_sink, event, deliver, refresh):
    if server.product == "Elasticsearch" and server.own:
        pytest.skip("data streams are a module of Elasticsearch that is not on Maven Central")
    sink = ready_sink(index=f"{name}-stream", data_stream=True)
    events = [event(mid="a"), event(mid="b", **{"@timestamp": "2026-08-21T12:00:00Z"})]
    assert deliver(sink, events) == [DELIVERED] * 2
    assert deliver(sink, events) == [DUPLICATE] * 2
    refresh()
    assert all(hit["_index"].startswith(".ds-") for hit in found(server, f"{name}-stream"))


def test_every_key_of_edata_can_be_searched_if_asked_for(server, name, ready_sink, event, deliver, refresh):
    sink = ready_sink(search_all_edata=True)
    events = [event("LOG", {"edata.city": {"ward": "w-7"}}, mid="a"), event(mid="b")]
    assert deliver(sink, events) == [DELIVERED] * 2
    refresh()
    assert len(found(server, name, {"term": {"edata_all.city.ward": "w-7"}})) == 1


def test_the_ecs_shape_answers_in_its_own_terms(server, name, ready_sink, event, deliver, refresh):
    sink = ready_sink(shape="ecs")
    events = [event(eid, mid=f"m-{eid}") for eid in samples()]
    assert deliver(sink, events) == [DELIVERED] * len(events)
    refresh()
    query = {
        "bool": {"filter": [{"term": {"event.action": "search"}}, {"range": {"@timestamp": {"gte": "2000"}}}]}
    }
    [hit] = found(server, name, query)
    assert hit["_source"]["sunbird"]["eid"] == "SEARCH"


def test_real_events_are_stored(server, shared, name, ready_sink, deliver, refresh):
    """Of the public samples, everything that the lenient level lets through fits the template."""
    lines = [
        line
        for path in sorted((shared / "sunbird/samples/v3").glob("*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]
    decoded = Decoder(Level.LENIENT).batch(lines)
    sink = ready_sink(index=f"{name}-samples")  # one index: the samples' days would make hundreds
    outcomes = [
        outcome
        for at in range(0, len(decoded.events), 500)
        for outcome in deliver(sink, decoded.events[at : at + 500])
    ]
    rejected = [outcome for outcome in outcomes if isinstance(outcome, Reject)]
    print(f"{server.product}: {len(outcomes)} samples, {len(rejected)} rejected: {rejected}")  # noqa: T201
    assert len(outcomes) > 500
    assert len(rejected) <= len(outcomes) // 500
