"""The sink as the host uses it: limits, order of sending, check, explain, addresses."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import socket

import pytest

from bridge.errors import DeliveryError, RejectedError, SetupError, ThrottledError, TransientError
from bridge.hookspecs import bridge_sinks as spec
from bridge.sinks import DELIVERED, DUPLICATE, Batch, BatchLimits, Reject, Retry
from bridge_webhook import WebhookSink, bridge_sinks


def test_the_plugin_offers_its_sink():
    assert spec.__name__ == bridge_sinks.__name__
    assert bridge_sinks() == [WebhookSink]
    assert WebhookSink.name == "webhook"


@pytest.mark.parametrize("mode", ["raw", "cloudevents", "cloudevents-binary", "template"])
def test_one_event_a_request_means_one_event_a_batch(configure, mode):
    sink = configure(body=mode, **({"template": {"a": 1}} if mode == "template" else {}))
    assert sink.limits.max_events == 1
    assert isinstance(WebhookSink.limits, BatchLimits)
    assert WebhookSink.limits.max_events == 1_000


@pytest.mark.parametrize("mode", ["batch", "cloudevents-batch"])
def test_arrays_stay_below_a_mebibyte(configure, mode):
    limits = configure(body=mode).limits
    assert limits.max_bytes + limits.max_events + 1 < 1024 * 1024


@pytest.mark.parametrize("mode", ["batch", "cloudevents-batch"])
def test_compressed_arrays_hold_twice_as_much(configure, mode):
    plain, packed = configure(body=mode).limits, configure(body=mode, compression="gzip").limits
    assert (packed.max_events, packed.max_bytes) == (2 * plain.max_events, 2 * plain.max_bytes)


def test_a_compressed_array_of_telemetry_stays_below_a_mebibyte(connect, serve, events, batch):
    server = serve()
    sink = connect(server, compression="gzip")
    sink.send(batch(sink, events(sink.limits.max_events)))
    assert len(server.requests[0].body) < sink.limits.max_bytes / 4
    assert len(json.loads(gzip.decompress(server.requests[0].body))) == sink.limits.max_events


def test_single_events_are_not_batched_for_being_compressed(configure):
    assert configure(body="raw", compression="gzip").limits.max_events == 1


def test_a_signed_array_is_as_large_compressed_as_it_is_plain(configure, secret):
    signed = configure(compression="gzip", secrets=[secret()])
    assert signed.limits == configure().limits


def test_larger_batches_of_single_events_are_posted_one_by_one_in_order(serve, connect, send):
    server = serve()
    sink = connect(server, body="raw")
    assert send(sink, 4) == [DELIVERED] * 4
    assert [json.loads(request.body)["mid"] for request in server.requests] == ["m-0", "m-1", "m-2", "m-3"]


@pytest.fixture
def answers(serve, connect, answer, send):
    """Post four single events; the receiver answers with these statuses in turn."""

    def run(*statuses, headers=None):
        turns = iter(statuses)
        server = serve(reply=lambda _: answer(next(turns), b"", headers))
        sink = connect(server, body="raw")
        return send(sink, 4)

    return run


def test_a_refused_event_is_rejected_alone(answers):
    assert answers(200, 422, 200, 409) == [
        DELIVERED,
        Reject("http_422", "HTTP 422: no reason given"),
        DELIVERED,
        DUPLICATE,
    ]


def test_after_a_fault_the_rest_waits_so_that_order_is_kept(answers):
    assert answers(200, 503, headers={"retry-after": "7"}) == [DELIVERED, *[Retry("HTTP 503", 7.0)] * 3]
    assert (
        answers(200, 200, 401)[2:]
        == [Retry("HTTP 401: the destination does not let us in; check the credentials")] * 2
    )


def test_a_fault_at_the_first_event_is_the_batchs(answers):
    with pytest.raises(ThrottledError):
        answers(503)
    with pytest.raises(SetupError):
        answers(401)
    with pytest.raises(TransientError):
        answers(500)


def test_a_refused_array_is_the_hosts_to_halve(serve, connect, answer, events, batch):
    """As the host does: halve until the culprit is alone, and count the requests."""

    def strict(received):
        return answer(422 if b'"m-5"' in received.body else 200)

    server = serve(reply=strict)
    sink = connect(server)
    culprits = []

    def deliver(part):
        try:
            sink.send(batch(sink, part))
        except RejectedError:
            if len(part) == 1:
                culprits.append(part[0].mid)
                return
            deliver(part[: len(part) // 2])
            deliver(part[len(part) // 2 :])

    deliver(events(8))
    assert culprits == ["m-5"]
    assert len(server.requests) == 7


def test_credentials_and_headers_are_sent(serve, connect, send):
    server = serve()
    for config in (
        {"bearer_token": "tok", "headers": {"X-Team": "telemetry"}},
        {"username": "ü", "password": "p:w"},
        {"headers": {"Authorization": "Custom x"}},
    ):
        sink = connect(server, **config)
        send(sink)
    first, second, third = (request.headers for request in server.requests)
    assert (first["authorization"], first["x-team"]) == ("Bearer tok", "telemetry")
    assert base64.b64decode(second["authorization"].removeprefix("Basic ")).decode() == "ü:p:w"
    assert third["authorization"] == "Custom x"


def test_mutual_tls_lets_us_in(serve, connect, send, authority, tmp_path):
    import ssl

    context = authority.context(authority.issue("127.0.0.1"))
    context.verify_mode = ssl.CERT_REQUIRED
    authority.ca.configure_trust(context)
    place = tmp_path / "client.pem"
    authority.issue("bridge.example").private_key_and_cert_chain_pem.write_to_path(str(place))
    server = serve(tls=context)
    sink = connect(server, tls={"ca_file": str(authority.ca_file), "cert_file": str(place)}, allow_http=False)
    assert send(sink) == [DELIVERED]
    stranger = connect(server, tls={"ca_file": str(authority.ca_file)})
    with pytest.raises(SetupError, match="certificate required"):
        send(stranger)


def test_check_says_who_answers_and_posts_nothing(serve, connect, answer):
    server = serve(reply=lambda _: answer(405))
    found = connect(server, bearer_token="tok").check()
    assert found == f"127.0.0.1 port {server.port}, no TLS; HTTP 405 to OPTIONS (nothing was posted)"
    (request,) = server.requests
    assert (request.method, request.body) == ("OPTIONS", b"")
    assert request.headers["authorization"] == "Bearer tok"


@pytest.mark.parametrize("status", [301, 401, 407, 410])
def test_check_fails_where_delivery_would(serve, connect, answer, status):
    with pytest.raises(SetupError, match=f"HTTP {status}"):
        connect(serve(reply=lambda _: answer(status))).check()


@pytest.mark.parametrize("status", [200, 204, 403, 404, 500, 501, 503])
def test_check_forgives_receivers_that_only_know_post(serve, connect, answer, status):
    assert f"HTTP {status}" in connect(serve(reply=lambda _: answer(status))).check()


def test_check_fails_where_nobody_listens(configure):
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    sink = configure(
        f"http://127.0.0.1:{port}/", allow_http=True, allow_networks=["127.0.0.0/8"], ports=[port]
    )
    with sink, pytest.raises(TransientError, match="refused"):
        sink.check()


def test_a_sink_outside_its_context_is_a_mistake(configure, send):
    sink = configure()
    with pytest.raises(RuntimeError, match="outside its context manager"):
        send(sink)


def test_explain_shows_the_request_and_no_secret(configure, events, batch, secret):
    sink = configure(
        "https://hooks.example/in?token=canary",
        secrets=[secret("a"), secret("b")],
        ed25519_key="whsk_" + base64.b64encode(b"canary!!" * 4).decode(),
        bearer_token="canary",
        headers={"X-Key": "canary"},
        compression="gzip",
    )
    sent = events(2)
    text = sink.explain(batch(sink, sent))
    head, _, body = text.partition("\n\n")
    assert body == "[" + ",".join(event.raw.decode() for event in sent) + "]"
    lines = head.split("\n")
    assert lines[0] == "POST https://hooks.example/in?**********"
    assert "content-encoding: gzip" in lines
    assert "authorization: Bearer **********" in lines
    assert "x-key: **********" in lines
    assert "webhook-signature: v1,********** v1,********** v1a,**********" in lines
    assert "canary" not in text


def test_explain_names_the_headers_that_are_sent(serve, connect, events, batch, secret):
    for config in (
        {"body": "batch", "secrets": [secret()], "compression": "gzip"},
        {"body": "cloudevents-binary", "username": "u", "password": "p"},
        {"body": "raw", "signature": "x-hub-signature-256", "secrets": ["a"]},
    ):
        server = serve()
        sink = connect(server, **config)
        sent = batch(sink, events(1))
        sink.send(sent)
        shown = dict(line.split(": ", 1) for line in sink.explain(sent).partition("\n\n")[0].split("\n")[1:])
        ours = {"host", "content-length", "accept", "accept-encoding", "user-agent"}
        received = server.requests[0].headers
        assert set(shown) == set(received) - ours
        plain = {
            name for name, value in shown.items() if "*****" not in value and name != "webhook-timestamp"
        }
        assert {name: shown[name] for name in plain} == {name: received[name] for name in plain}


def test_explain_hides_an_address_that_is_kept_elsewhere(configure, events, batch, monkeypatch):
    monkeypatch.setenv("HOOK", "https://hooks.example/services/canary?x=canary")
    sink = configure("env:HOOK")
    text = sink.explain(batch(sink, events(1)))
    assert text.startswith("POST https://hooks.example/**********\n")
    assert "canary" not in text


def test_nothing_secret_reaches_the_log_or_an_error(serve, connect, answer, send, caplog):
    caplog.set_level(logging.DEBUG)
    key = base64.b64encode(b"canary!!" * 4).decode()
    sink = connect(
        serve(reply=lambda received: answer(422, repr(received).encode())),
        path="/canary?token=canary-token",
        secrets=[key],
        bearer_token="canary-token",
        headers={"X-Key": "canary-key"},
    )
    with pytest.raises(DeliveryError) as caught:
        send(sink)
    for text in (caplog.text, str(caught.value), repr(caught.value)):
        assert "canary-" not in text
        assert key not in text


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["169.254.169.254"], ["10.0.0.1"], ["::1"], ["::ffff:127.0.0.1"], ["64:ff9b::a9fe:a9fe"]],
)
def test_a_name_that_leads_inside_is_a_setup_error_without_a_connection(
    configure, send, connects, monkeypatch, addresses
):
    def inside(host, port, *_args, **_options):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", inside)
    with configure() as sink, pytest.raises(SetupError, match="not a public address"):
        send(sink)
    assert connects == []


def test_an_address_that_changes_in_its_file_is_judged_again(configure, send, connects, tmp_path):
    place = tmp_path / "url"
    place.write_text("https://hooks.example/")
    with configure(f"file:{place}") as sink:
        for text, reason in (
            ("http://hooks.example/", "allow_http"),
            ("https://127.0.0.1/", "not a public"),
            ("https://hooks.example:25/", "port 25"),
            ("gopher://hooks.example/", "write https://"),
        ):
            place.write_text(text)
            with pytest.raises(SetupError, match=reason):
                send(sink)
    assert connects == []


def test_one_sinks_message_is_not_another_sinks(configure, events):
    sink, sent = configure(), events(2)
    texts = {sink.explain(Batch(sink.map_batch(sent), sent, name)) for name in ("a", "b")}
    assert len(texts) == 2
