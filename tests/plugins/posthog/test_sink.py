"""The sink against a strict capture on loopback: every answer, and every kind of none."""

from __future__ import annotations

import gzip
import json
import random
import threading

import pytest
import zstandard

from bridge.errors import RejectedError, SetupError, ThrottledError, TransientError
from bridge.sinks import DELIVERED, DUPLICATE, Batch, Reject, Retry
from bridge.testing import samples
from bridge_posthog import PostHogSink, bridge_sinks

KEY = "phc_" + "t" * 43
MODES = ["v0", "v1"]


@pytest.fixture
def open_sink(make_sink, capture):
    """Enter sinks that talk to the capture; they are closed at the end."""
    opened = []

    def make(**options):
        sink = make_sink(**{"host": capture.url, **options})
        sink.__enter__()
        opened.append(sink)
        return sink

    yield make
    for sink in opened:
        sink.__exit__(None, None, None)


def _inflated(request):
    encoding = request.headers.get("content-encoding", "")
    inflate = {"gzip": gzip.decompress, "zstd": zstandard.ZstdDecompressor().decompress, "": bytes}[encoding]
    return json.loads(inflate(request.body))


def test_the_plugin_offers_its_sink():
    assert bridge_sinks() == [PostHogSink]
    assert PostHogSink.name == "posthog"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("compression", ["auto", "gzip", "none"])
def test_every_official_event_arrives(mode, compression, open_sink, capture, event, batch_of):
    sink = open_sink(capture_mode=mode, compression=compression)
    batch = batch_of(sink, [event(eid) for eid in samples()])
    assert sink.send(batch) == [DELIVERED] * len(samples())
    assert len(capture.stored) == len(samples())
    assert capture.batches[0].token == KEY


@pytest.mark.parametrize(("mode", "encoding"), [("v0", "gzip"), ("v1", "zstd")])
def test_bodies_are_compressed_as_the_protocol_can(mode, encoding, open_sink, capture, event, batch_of):
    sink = open_sink(capture_mode=mode)
    sink.send(batch_of(sink, [event()]))
    assert capture.requests[-1].headers["content-encoding"] == encoding


@pytest.mark.parametrize(("offers", "protocol"), [(True, "v1"), (False, "v0")])
def test_auto_asks_the_server_once_and_maps_accordingly(
    offers, protocol, open_sink, capture, event, batch_of
):
    capture.offers_v1 = offers
    sink = open_sink(capture_mode="auto", compression="zstd")
    assert sink.protocol == protocol
    assert len(capture.requests) == 1
    assert sink.send(batch_of(sink, [event()])) == [DELIVERED]
    assert ("options" in capture.events[0]) is offers
    assert capture.requests[-1].headers["content-encoding"] == ("zstd" if offers else "gzip")


def test_asking_leaves_no_event_behind(open_sink, capture):
    open_sink(capture_mode="auto").check()
    assert capture.events == []


@pytest.mark.parametrize(("status", "error"), [(401, SetupError), (503, TransientError), (302, SetupError)])
def test_a_server_that_cannot_be_asked_is_not_guessed_at(status, error, make_sink, capture, server_module):
    capture.faults.append(lambda *_: server_module.Reply(status, b"{}"))
    with pytest.raises(error):
        make_sink(host=capture.url).__enter__()


def test_nobody_at_home_is_transient(make_sink):
    with pytest.raises(TransientError):
        make_sink(host="http://127.0.0.1:9").__enter__()


def test_a_sink_that_is_not_open_says_so(make_sink, event, batch_of):
    sink = make_sink()
    with pytest.raises(SetupError, match="not open"):
        sink.send(batch_of(sink, [event()]))


@pytest.mark.parametrize("mode", MODES)
def test_an_event_twice_in_a_batch_is_sent_once(mode, open_sink, capture, event, batch_of):
    sink = open_sink(capture_mode=mode)
    batch = batch_of(sink, [event(mid="a"), event(mid="b"), event(mid="a")])
    assert sink.send(batch) == [DELIVERED, DELIVERED, DUPLICATE]
    assert len(capture.events) == 2


def test_v1_verdicts_reach_their_payloads(open_sink, capture, event, batch_of):
    answers = {"b": {"result": "drop", "details": "event_restriction_drop"}, "c": {"result": "retry"}}
    capture.overrule = lambda event: answers.get(event["properties"]["mid"])
    sink = open_sink(capture_mode="v1")
    batch = batch_of(sink, [event(mid=mid) for mid in "abcd"])
    first, second, third, fourth = sink.send(batch)
    assert first is fourth is DELIVERED
    assert second == Reject("event_restriction_drop", "PostHog dropped the event: event_restriction_drop")
    assert third == Retry("PostHog asks to send the event again", 1.0)


STATUSES = {
    400: RejectedError,
    401: SetupError,
    402: SetupError,
    403: SetupError,
    404: SetupError,
    408: TransientError,
    413: RejectedError,
    415: SetupError,
    429: ThrottledError,
    500: TransientError,
    502: TransientError,
    503: ThrottledError,
    504: TransientError,
    307: SetupError,
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("transport", ["httpx", "sdk"])
@pytest.mark.parametrize(("status", "error"), STATUSES.items())
def test_every_status_is_judged(
    mode, transport, status, error, open_sink, capture, server_module, event, batch_of
):
    sink = open_sink(capture_mode=mode, transport=transport)
    headers = {"Content-Type": "application/json", "Retry-After": "3", "Location": "/elsewhere"}
    capture.faults.extend([lambda *_: server_module.Reply(status, b'{"error":"x_y"}', headers)] * 2)
    with pytest.raises(error) as caught:
        sink.send(batch_of(sink, [event()]))
    assert KEY not in str(caught.value)
    if error is ThrottledError:
        assert caught.value.after == 3.0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("content", [b"<html>please log in</html>", b"", b"{}"])
def test_a_proxys_page_acknowledges_nothing(
    mode, content, open_sink, capture, server_module, event, batch_of
):
    sink = open_sink(capture_mode=mode)
    capture.faults.append(lambda *_: server_module.Reply(200, content, {"Content-Type": "text/html"}))
    with pytest.raises(TransientError):
        sink.send(batch_of(sink, [event()]))


@pytest.mark.parametrize("mode", MODES)
def test_a_reset_after_acceptance_is_sent_again_and_stored_once(
    mode, open_sink, capture, server_module, event, batch_of
):
    sink = open_sink(capture_mode=mode)
    batch = batch_of(sink, [event(mid=f"m-{n}") for n in range(5)])
    capture.faults.append(server_module.reset_after_acceptance)
    with pytest.raises(TransientError):
        sink.send(batch)
    assert sink.send(batch) == [DELIVERED] * 5
    assert len(capture.events) == 10
    assert len(capture.stored) == 5


def test_a_dripping_answer_is_given_up_in_time(open_sink, capture, server_module, event, batch_of):
    sink = open_sink(capture_mode="v1", timeout=0.3)
    capture.faults.append(server_module.drip)
    with pytest.raises(TransientError):
        sink.send(batch_of(sink, [event()]))


def _deliver(sink, payloads, events, requests):
    """What the host does: halve what is refused as a whole."""
    requests.append(len(payloads))
    try:
        return list(sink.send(Batch(payloads, events, "product")))
    except RejectedError as refusal:
        if len(payloads) == 1:
            return [Reject(refusal.code, refusal.reason)]
        half = len(payloads) // 2
        return _deliver(sink, payloads[:half], events[:half], requests) + _deliver(
            sink, payloads[half:], events[half:], requests
        )


@pytest.mark.parametrize("mode", MODES)
def test_one_poisoned_payload_in_a_thousand_costs_little_and_nobody_else(mode, open_sink, capture, event):
    sink = open_sink(capture_mode=mode)
    events = [event(mid=f"m-{n}") for n in range(1_000)]
    payloads = [sink.map(one) for one in events]
    payloads[613] = payloads[613].replace(b'"timestamp":"', b'"timestamp":5,"x":"', 1)
    requests = []
    outcomes = _deliver(sink, payloads, events, requests)
    assert outcomes.count(DELIVERED) == 999
    assert isinstance(outcomes[613], Reject)
    assert len(capture.stored) == 999
    assert len(requests) <= 2 * 10 + 1


def test_a_retry_repeats_the_events_and_the_requests_id(open_sink, capture, event, batch_of):
    sink = open_sink(capture_mode="v1")
    for attempt in (1, 2):
        sink.send(batch_of(sink, [event(mid="a"), event(mid="b")], attempt))
    one, two = capture.requests[-2:]
    assert one.headers["posthog-request-id"] == two.headers["posthog-request-id"]
    assert (one.headers["posthog-attempt"], two.headers["posthog-attempt"]) == ("1", "2")
    assert _inflated(one)["batch"] == _inflated(two)["batch"]


def test_a_backfill_uses_the_lane_for_history(open_sink, capture, event, batch_of):
    for mode in MODES:
        sink = open_sink(capture_mode=mode, historical_migration=True)
        sink.send(batch_of(sink, [event()]))
    assert all(batch.historical for batch in capture.batches)


def test_a_group_is_identified_once_while_the_sink_runs(open_sink, capture, event, batch_of):
    sink = open_sink(capture_mode="v1", group_identify=True)
    for round_ in range(2):
        batch = batch_of(sink, [event("START", mid=f"m-{round_}-{n}") for n in range(3)])
        assert sink.send(batch) == [DELIVERED] * 3
    names = [event["event"] for event in capture.events]
    assert names.count("$groupidentify") == 1
    assert len(names) == 7


def test_a_group_that_did_not_arrive_is_sent_again(open_sink, capture, event, batch_of):
    sink = open_sink(capture_mode="v1", group_identify=True)
    capture.overrule = lambda event: {"result": "retry"} if event["event"] == "$groupidentify" else None
    batch = batch_of(sink, [event("START")])
    assert isinstance(sink.send(batch)[0], Retry)
    capture.overrule = None
    assert sink.send(batch) == [DELIVERED]
    assert "$groupidentify" in {event["event"] for event in capture.events}


def test_several_threads_may_send_at_once(open_sink, capture, event, batch_of):
    sink = open_sink(capture_mode="v1")
    batches = [batch_of(sink, [event(mid=f"{n}-{m}") for m in range(20)]) for n in range(8)]
    results = []
    threads = [threading.Thread(target=lambda b=batch: results.append(sink.send(b))) for batch in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[DELIVERED] * 20] * 8
    assert len(capture.stored) == 160


def test_a_key_that_is_rotated_on_disk_is_used_from_then_on(open_sink, capture, event, batch_of, tmp_path):
    place = tmp_path / "key"
    place.write_text("phc_old\n")
    sink = open_sink(capture_mode="v1", api_key=f"file:{place}")
    sink.send(batch_of(sink, [event(mid="a")]))
    place.write_text("phc_new\n")
    sink.send(batch_of(sink, [event(mid="b")]))
    assert [batch.token for batch in capture.batches] == ["phc_old", "phc_new"]


@pytest.mark.parametrize("mode", ["auto", "v0", "v1"])
def test_check_says_what_was_found(mode, open_sink, capture):
    found = open_sink(capture_mode=mode).check()
    assert capture.url in found
    assert ("V0" if mode == "v0" else "V1") in found
    assert "looks like a project key" in found
    assert KEY not in found


def test_check_tells_a_server_that_is_no_capture(open_sink, capture, server_module):
    sink = open_sink(capture_mode="v0")
    capture.faults.append(lambda *_: server_module.Reply(404, b"no"))
    with pytest.raises(SetupError, match="check host"):
        sink.check()


def test_check_tells_a_server_without_v1(open_sink, capture):
    capture.offers_v1 = False
    with pytest.raises(SetupError, match='capture_mode = "auto"'):
        open_sink(capture_mode="v1").check()


def test_the_web_address_of_posthogs_cloud_is_turned_into_its_intake():
    from bridge_posthog.sdk import ingestion_host

    assert ingestion_host("https://eu.posthog.com") == "https://eu.i.posthog.com"
    assert ingestion_host("https://app.posthog.com/") == "https://us.i.posthog.com"
    assert ingestion_host("https://ph.example.org/x") == "https://ph.example.org/x"


def test_a_missing_package_is_told_in_one_sentence(make_sink, monkeypatch):
    import sys

    from bridge.errors import PluginError

    monkeypatch.setitem(sys.modules, "posthog.request", None)
    with pytest.raises(PluginError, match=r"pip install 'sunbird-bridge\[posthog\]'"):
        make_sink().__enter__()


def test_an_old_package_is_told_in_one_sentence(make_sink, capture, monkeypatch):
    import sys

    from bridge.errors import PluginError

    monkeypatch.setitem(sys.modules, "posthog.capture_mode", None)
    with pytest.raises(PluginError, match="newer posthog package"):
        make_sink(host=capture.url, transport="sdk").__enter__()


def test_faults_in_any_order_lose_nothing(open_sink, capture, server_module, event, batch_of):
    """A host that repeats what was not acknowledged ends with every event stored, each once."""
    chance = random.Random(11)
    sink = open_sink(capture_mode="v1")
    faults = [
        server_module.reset_after_acceptance,
        lambda *_: server_module.Reply(503, b""),
        lambda *_: server_module.Reply(200, b"<html>"),
        lambda *_: server_module.Reply(429, b"{}"),
    ]
    capture.overrule = lambda _: {"result": "retry"} if chance.random() < 0.2 else None
    left = [event(mid=f"m-{n}") for n in range(60)]
    for _ in range(200):
        if chance.random() < 0.4:
            capture.faults.append(chance.choice(faults))
        try:
            outcomes = sink.send(batch_of(sink, left[:10]))
        except TransientError:
            continue
        left = [one for one, outcome in zip(left, outcomes, strict=False) if outcome is not DELIVERED] + left[
            10:
        ]
        if not left:
            break
    assert left == []
    assert {found["properties"]["mid"] for found in capture.stored.values()} == {f"m-{n}" for n in range(60)}
    assert len(capture.stored) == 60
