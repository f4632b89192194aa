"""Signatures, verified by the official `standardwebhooks` package and by `cryptography`."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import sys
import time

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from bridge.errors import SetupError
from bridge.sinks import DELIVERED
from bridge_webhook.signing import ed25519_seed, message_id, standard_signature, symmetric_key

MODES = ["raw", "batch", "cloudevents", "cloudevents-batch", "cloudevents-binary"]


@pytest.fixture
def post(serve, connect, send):
    """Send two events to a receiver; the first request."""

    def run(**config):
        server = serve()
        sink = connect(server, clock=time.time, **config)
        send(sink, 2)
        return server.requests[0]

    return run


@pytest.mark.parametrize("mode", MODES)
def test_the_official_library_verifies_every_mode(post, secret, mode):
    request = post(body=mode, secrets=[secret()])
    Webhook(secret()).verify(request.body, request.headers)


def test_a_packed_body_is_verified_after_unpacking(post, secret):
    request = post(secrets=[secret()], compression="gzip")
    Webhook(secret()).verify(gzip.decompress(request.body), request.headers)


def test_while_secrets_rotate_either_one_verifies_and_the_first_signs_first(post, secret):
    request = post(secrets=[secret("n"), secret("o")])
    Webhook(secret("n")).verify(request.body, request.headers)
    Webhook(secret("o")).verify(request.body, request.headers)
    first = request.headers["webhook-signature"].split(" ")[0]
    Webhook(secret("n")).verify(request.body, {**request.headers, "webhook-signature": first})
    with pytest.raises(WebhookVerificationError):
        Webhook(secret("x")).verify(request.body, request.headers)


@pytest.mark.parametrize("part", ["body", "webhook-id", "webhook-timestamp"])
def test_nothing_that_is_signed_can_be_changed(post, secret, part):
    request = post(secrets=[secret()])
    body, headers = request.body, dict(request.headers)
    if part == "body":
        body += b" "
    else:
        headers[part] = headers[part][:-1] + ("1" if headers[part][-1] != "1" else "2")
    with pytest.raises(WebhookVerificationError):
        Webhook(secret()).verify(body, headers)


def test_a_secret_file_that_changes_is_used_at_once(serve, connect, send, secret, tmp_path):
    server, place = serve(), tmp_path / "secret"
    place.write_text(secret("a") + "\n")
    sink = connect(server, clock=time.time, secrets=[f"file:{place}"])
    send(sink)
    place.write_text(secret("b") + "\n")
    send(sink)
    for request, letter in zip(server.requests, "ab", strict=True):
        Webhook(secret(letter)).verify(request.body, request.headers)


def test_a_secret_file_that_becomes_unusable_holds_the_cursor(serve, connect, send, secret, tmp_path):
    place = tmp_path / "secret"
    place.write_text(secret())
    sink = connect(serve(), secrets=[f"file:{place}"])
    place.write_text("canary, too short")
    with pytest.raises(SetupError, match=f"secret file:{place}") as caught:
        send(sink)
    assert "canary" not in str(caught.value)
    place.unlink()
    with pytest.raises(SetupError, match="cannot read"):
        send(sink)


def test_a_retry_keeps_the_id_and_the_body_but_not_the_time(serve, connect, events, batch, secret):
    server, now = serve(), [1_767_605_402.9]
    sink = connect(server, clock=lambda: now[0], secrets=[secret()])
    sent = events(2)
    sink.send(batch(sink, sent))
    now[0] += 60
    sink.send(batch(sink, sent, attempt=2))
    first, second = server.requests
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    assert (first.headers["webhook-timestamp"], second.headers["webhook-timestamp"]) == (
        "1767605402",
        "1767605462",
    )
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


def test_without_a_secret_nothing_is_signed_but_the_id_is_there(post):
    headers = post().headers
    assert headers["webhook-id"].startswith("bat_")
    assert "webhook-signature" not in headers


def test_an_asymmetric_signature_stands_beside_the_symmetric_ones(post, secret):
    key = Ed25519PrivateKey.generate()
    text = "whsk_" + base64.b64encode(key.private_bytes_raw()).decode()
    request = post(secrets=[secret()], ed25519_key=text)
    Webhook(secret()).verify(request.body, request.headers)
    symmetric, asymmetric = request.headers["webhook-signature"].split(" ")
    version, _, signature = asymmetric.partition(",")
    assert (symmetric[:3], version) == ("v1,", "v1a")
    ident, stamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    signed = f"{ident}.{stamp}.".encode() + request.body
    key.public_key().verify(base64.b64decode(signature), signed)
    with pytest.raises(InvalidSignature):
        key.public_key().verify(base64.b64decode(signature), signed + b" ")


def test_an_asymmetric_signature_can_stand_alone(post):
    key = base64.b64encode(bytes(32)).decode()
    assert post(ed25519_key=key).headers["webhook-signature"].startswith("v1a,")


def test_a_missing_extra_is_one_clear_sentence(configure, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    sink = configure(ed25519_key="whsk_" + base64.b64encode(bytes(32)).decode())
    with pytest.raises(SetupError, match=r"pip install 'sunbird-bridge\[ed25519\]'"):
        sink.__enter__()


def test_the_older_way_signs_as_github_does(post):
    request = post(signature="x-hub-signature-256", secrets=["It's a Secret to Everybody"])
    digest = hmac.new(b"It's a Secret to Everybody", request.body, hashlib.sha256).hexdigest()
    assert request.headers["x-hub-signature-256"] == f"sha256={digest}"
    assert "webhook-signature" not in request.headers


def test_githubs_published_example_comes_out(serve):
    from bridge_webhook.signing import github_signature

    expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert github_signature("It's a Secret to Everybody", b"Hello, World!") == expected


def test_the_published_vector_of_standard_webhooks_comes_out():
    key = symmetric_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = standard_signature([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("text", ["whsec_", "whsec_AAAA", "not base64!", "whsec_" + "A" * 200, ""])
def test_a_weak_or_broken_secret_is_refused(text):
    with pytest.raises(ValueError, match="secret"):
        symmetric_key(text)


def test_a_secret_may_come_without_its_padding():
    assert symmetric_key("whsec_" + base64.b64encode(b"k" * 25).decode().rstrip("=")) == b"k" * 25


def test_an_ed25519_key_may_carry_its_public_half():
    assert ed25519_seed(base64.b64encode(b"s" * 32 + b"p" * 32).decode()) == b"s" * 32
    with pytest.raises(ValueError, match="32 bytes"):
        ed25519_seed(base64.b64encode(b"s" * 31).decode())


@given(st.sampled_from(["evt", "bat"]), st.text(), st.lists(st.binary(min_size=16, max_size=16), min_size=1))
def test_a_message_id_is_a_plain_word_that_depends_on_nothing_else(kind, sink, identities):
    ident = message_id(kind, sink, identities)
    assert ident == message_id(kind, sink, list(identities))
    assert "." not in ident
    assert ident.replace("_", "").isalnum()
    assert ident.isascii()
    assert len(ident) == 36
    assert ident != message_id(kind, sink + "x", identities)


def test_an_event_cannot_choose_its_webhook_id(post, serve, connect, event, batch):
    server = serve()
    sink = connect(server, body="raw")
    assert sink.send(batch(sink, [event(mid="chosen.1700000000.by a user")])) == [DELIVERED]
    assert "chosen" not in server.requests[0].headers["webhook-id"]
