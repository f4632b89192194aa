"""Senders are told apart by keys and tokens, may send their own channels only, and only so often."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from pydantic import ValidationError

from bridge.configuration.intake import HttpIntakeSettings
from bridge.errors import SetupError
from bridge.intake.auth import digest
from bridge.intake.auth_keysets import KeySet
from bridge.intake.auth_tokens import Tokens
from bridge.intake.http_answers import Refused
from bridge.intake.http_rates import Rates
from bridge.testing import make_event
from bridge.testing.sources import CHANNEL

KEY, OTHER = "portal-key-0123456789abcdef", "other-key-0123456789abcdef"
SECRET = "kong-secret-0123456789abcdef0123"
KEYS = {"portal": {"sha256": digest(KEY), "channels": [CHANNEL]}, "any": {"sha256": digest(OTHER)}}
KONG = {"kong": {"iss": "consumer", "secret": SECRET, "expiring": False, "channels": [CHANNEL]}}


@pytest.fixture(scope="module")
def private_keys():
    return {
        "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }


def pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def private_pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def token(key=SECRET, algorithm="HS256", kid=None, **claims):
    headers = {"kid": kid} if kid else None
    return jwt.encode({"iss": "consumer", **claims}, key, algorithm, headers)


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def handmade(header, claims, secret=b""):
    """A token that no library would make."""
    text = part(header) + b"." + part(claims)
    signature = hmac.digest(secret, text, hashlib.sha256) if secret else b""
    return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def tokens(**issuer):
    settings = HttpIntakeSettings.model_validate({"issuers": {"kong": {"iss": "consumer", **issuer}}})
    return Tokens(settings.issuers)


def verdict(checker, text, now=None):
    try:
        return checker.sender(text, now or time.time()).name
    except ValueError as error:
        return str(error)


def test_strangers_are_sent_away_before_their_bodies_are_read(serve, batch):
    running = serve(keys=KEYS)
    for headers in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {KEY}"},
        {"x_api_key": "x"},
    ):
        answer = running.send(batch(make_event()), **headers)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="telemetry"'
        assert answer.json["responseCode"] == "CLIENT_ERROR"
    assert running.rows() == []
    assert running.get("/health").status == 200


@pytest.mark.parametrize(
    "headers", [{"authorization": f"Bearer {KEY}"}, {"authorization": f"bearer  {KEY} "}, {"x_api_key": KEY}]
)
def test_a_key_opens_the_door(serve, batch, headers):
    running = serve(keys=KEYS)
    assert running.send(batch(make_event()), **headers).status == 200
    assert len(running.rows()) == 1


def test_events_of_another_channel_become_dead_letters_and_the_others_go_on(serve, batch):
    running = serve(keys=KEYS)
    own, foreign = make_event(mid="own"), make_event("LOG", {"context.channel": "in.other"}, mid="foreign")
    wrapped = b'{"events":[%b]}' % batch(make_event("LOG", {"context.channel": "in.other"}))
    body = batch(own, foreign, wrapped, b"[]", b"7")
    for _ in range(2):
        assert running.send(body, x_api_key=KEY).status == 200
    assert set(running.mids()) == {"own"}
    letters = running.dead()
    assert len(letters) == 4
    letter = next(letter for letter in letters if letter.mid == "foreign")
    assert (letter.sink, letter.stage, letter.code, letter.eid) == (
        "rejects",
        "validate",
        "channel_mismatch",
        "LOG",
    )
    assert letter.path == "$.context.channel"
    assert letter.reason == "the sender portal may not send events of this channel"
    assert json.loads(letter.payload)["mid"] == "foreign"
    assert running.intake.tally.foreign == 8


def test_a_sender_without_channels_may_send_any(serve, batch):
    running = serve(keys=KEYS)
    assert (
        running.send(batch(make_event("LOG", {"context.channel": "in.other"})), x_api_key=OTHER).status == 200
    )
    assert len(running.rows()) == 1
    assert running.dead() == []


def test_two_senders_with_one_batch_id_are_not_taken_for_one(serve, batch):
    running = serve(keys=KEYS)
    body = batch(make_event(), mid="x")
    assert [running.send(body, x_api_key=key).status for key in (KEY, OTHER, KEY)] == [200, 200, 200]
    assert len(running.rows()) == 2


def test_a_token_of_kong_opens_the_door(serve, batch):
    running = serve(issuers=KONG)
    assert running.send(batch(make_event()), authorization=f"Bearer {token()}").status == 200
    answer = running.send(batch(make_event()), authorization=f"Bearer {token('x' * 32)}")
    assert (answer.status, answer.reason) == (401, "this token is not good: Signature verification failed")
    assert len(running.rows()) == 1


def test_keys_and_tokens_may_be_used_beside_each_other(serve, batch):
    running = serve(issuers=KONG, keys=KEYS)
    for credential in (KEY, OTHER, token()):
        assert running.send(batch(make_event()), authorization=f"Bearer {credential}").status == 200


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_tokens_are_checked_with_public_keys(private_keys, algorithm):
    checker = tokens(algorithm=algorithm, public_key=pem(private_keys[algorithm]), expiring=False)
    assert verdict(checker, token(private_keys[algorithm], algorithm)) == "kong"
    assert verdict(checker, token(private_keys[algorithm], algorithm, sub="device-1")) == "kong/device-1"


def test_a_token_cannot_choose_its_algorithm(private_keys):
    public = pem(private_keys["RS256"])
    checker = tokens(algorithm="RS256", public_key=public, expiring=False)
    claims = {"iss": "consumer"}
    for forged in (
        handmade({"alg": "HS256", "typ": "JWT"}, claims, public.encode()),
        handmade({"alg": "none"}, claims),
        handmade({"alg": "None"}, claims),
        handmade({"alg": ["RS256"]}, claims),
        handmade({}, claims),
        token(private_keys["ES256"], "ES256"),
    ):
        assert verdict(checker, forged).startswith("this token is not good")


@pytest.mark.parametrize(
    ("claims", "found"),
    [
        ({"exp": 2_000_000_000}, "kong"),
        ({"exp": 2_000_000_000, "aud": "other"}, "kong"),
        ({}, 'this token is not good: Token is missing the "exp" claim'),
        ({"exp": 1_000_000_000}, "this token is not good: Signature has expired"),
        (
            {"exp": 2_000_000_000, "nbf": 1_990_000_000},
            "this token is not good: The token is not yet valid (nbf)",
        ),
        ({"exp": 2_000_000_000, "iss": "other"}, "this token's issuer is not known"),
    ],
)
def test_claims_are_looked_at(claims, found):
    assert verdict(tokens(secret=SECRET), token(**claims)) == found


def test_an_audience_is_looked_at_where_it_is_configured():
    checker = tokens(secret=SECRET, audience="telemetry", expiring=False)
    assert verdict(checker, token(aud="telemetry")) == "kong"
    assert verdict(checker, token(aud=["a", "telemetry"])) == "kong"
    assert "Audience" in verdict(checker, token(aud="other"))
    assert "aud" in verdict(checker, token())


@pytest.mark.parametrize(
    "text",
    [
        "..", "a.b.c", "=.=.=", "e30.e30.", "e30.W10.", "\u0660.\u0660.\u0660",
        handmade({"alg": "HS256"}, {"iss": "consumer", "exp": 1e400}, SECRET.encode()),
        handmade({"alg": "HS256"}, {"iss": "consumer", "exp": "soon"}, SECRET.encode()),
        handmade({"alg": "HS256"}, {"iss": "consumer", "exp": [1]}, SECRET.encode()),
        *(handmade({"alg": "HS256"}, {"iss": iss}, SECRET.encode()) for iss in ({}, ["consumer"], None, 7)),
        handmade({"alg": "HS256", "kid": {}}, {"iss": "consumer"}, SECRET.encode()),
        handmade({"alg": "HS256", "b64": False, "crit": ["b64"]}, {"iss": "consumer"}, SECRET.encode()),
        "e30." + base64.urlsafe_b64encode(b"[" * 5000).decode() + ".e30",
    ],
)  # fmt: skip
def test_odd_tokens_are_refused_and_never_crash(text):
    assert verdict(tokens(secret=SECRET), text).startswith("this token")


def test_a_good_token_is_remembered_until_it_expires():
    checker, now = tokens(secret=SECRET), time.time()
    good = token(exp=int(now) + 100)
    assert verdict(checker, good, now) == "kong"
    checker._rules.clear()
    assert verdict(checker, good, now + 100) == "kong"
    assert verdict(checker, good, now + 161) == "this token's issuer is not known"


def test_no_more_tokens_than_so_many_are_remembered(monkeypatch):
    monkeypatch.setattr("bridge.intake.auth_tokens.REMEMBERED", 3)
    checker = tokens(secret=SECRET, expiring=False)
    for number in range(10):
        assert verdict(checker, token(sub=str(number))) == f"kong/{number}"
    assert len(checker._good) == 3


@pytest.mark.parametrize(
    ("issuer", "why"),
    [
        ({"secret": "tiny"}, "can be guessed"),
        ({"algorithm": "RS256", "public_key": "no key"}, "no key for RS256"),
        ({"algorithm": "ES256", "public_key": "no key"}, "no key for ES256"),
    ],
)
def test_a_key_that_is_none_is_told_at_the_start(issuer, why):
    with pytest.raises(SetupError, match=why) as caught:
        tokens(**issuer)
    assert issuer.get("secret", "no key at all") not in str(caught.value)


def test_a_public_key_is_no_secret_for_hs256(private_keys):
    with pytest.raises(SetupError, match="no key for HS256"):
        tokens(secret=pem(private_keys["RS256"]))


@pytest.mark.parametrize(
    ("issuer", "why"),
    [
        ({}, "HS256 takes a secret"),
        ({"secret": "s", "public_key": "p"}, "HS256 takes a secret"),
        ({"algorithm": "RS256", "secret": "s"}, "RS256 takes either"),
        ({"algorithm": "RS256"}, "RS256 takes either"),
        ({"algorithm": "RS256", "public_key": "p", "jwks": "https://x.example"}, "RS256 takes either"),
        ({"algorithm": "RS256", "jwks": "http://x.example/keys"}, "must begin with https://"),
        ({"algorithm": "none"}, "HS256"),
    ],
)
def test_an_issuer_needs_what_its_algorithm_needs(issuer, why):
    with pytest.raises(ValidationError, match=why):
        HttpIntakeSettings.model_validate({"issuers": {"kong": {"iss": "consumer", **issuer}}})


class Publisher:
    """An issuer's key set on loopback; `keys` are what it publishes, None for a server error."""

    def __init__(self):
        self.keys = None
        self.asked = 0
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                publisher.asked += 1
                body = json.dumps({"keys": publisher.keys}).encode()
                self.send_response(500 if publisher.keys is None else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def publish(self, **keys):
        self.keys = [
            json.loads(jwt.get_algorithm_by_name(kid.split("-")[0]).to_jwk(key.public_key())) | {"kid": kid}
            for kid, key in keys.items()
        ]

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def publisher():
    found = Publisher()
    yield found
    found.close()


def test_a_published_key_set_is_used_and_followed_when_it_changes(private_keys, publisher, until):
    keyset = KeySet(jwt, "idp", publisher.url, "RS256", at_most_every=0.01)
    try:
        with pytest.raises(Refused) as caught:
            keyset.key("RS256-a")
        assert (caught.value.status, caught.value.after) == (503, 30)
        publisher.publish(**{"RS256-a": private_keys["RS256"], "ES256-b": private_keys["ES256"]})
        until(lambda: _has(keyset, "RS256-a"))
        assert not _has(keyset, "ES256-b")
        assert keyset.key(None) is keyset.key("RS256-a")
        publisher.publish(**{"RS256-c": private_keys["RS256"]})
        until(lambda: _has(keyset, "RS256-c"))
        publisher.keys = [{"kty": "odd"}, {"use": "enc"}]
        asked = publisher.asked
        until(lambda: not _has(keyset, "RS256-x") and publisher.asked > asked)
        assert _has(keyset, "RS256-c")
    finally:
        keyset.close()


def _has(keyset, kid):
    try:
        return bool(keyset.key(kid))
    except (Refused, jwt.InvalidKeyError):
        return False


def test_tokens_are_taken_by_a_key_set(serve, batch, private_keys, publisher, until):
    publisher.publish(**{"RS256-a": private_keys["RS256"]})
    running = serve(issuers={"idp": {"iss": "consumer", "algorithm": "RS256", "jwks": publisher.url}})
    good = token(private_keys["RS256"], "RS256", kid="RS256-a", exp=2_000_000_000)
    until(lambda: running.send(batch(), authorization=f"Bearer {good}").status == 200)
    stranger = token(private_keys["RS256"], "RS256", kid="other", exp=2_000_000_000)
    assert running.send(batch(), authorization=f"Bearer {stranger}").status == 401


def test_while_an_issuer_cannot_be_asked_its_tokens_have_to_wait(serve, batch, private_keys, publisher):
    running = serve(issuers={"idp": {"iss": "consumer", "algorithm": "RS256", "jwks": publisher.url}})
    good = token(private_keys["RS256"], "RS256", kid="RS256-a", exp=2_000_000_000)
    answer = running.send(batch(), authorization=f"Bearer {good}")
    assert (answer.status, answer.headers["retry-after"]) == (503, "30")


def test_a_sender_that_comes_too_often_is_told_when_to_come_again(serve, batch):
    running = serve(keys=KEYS, limits={"rate": 0.01, "burst": 3})
    answers = [running.send(batch(), x_api_key=KEY) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 100
    assert running.send(batch(), x_api_key=OTHER).status == 200


def test_without_keys_this_machine_may_send_as_often_as_it_likes(serve, batch):
    running = serve(limits={"rate": 0.01, "burst": 1})
    assert [running.send(batch()).status for _ in range(5)] == [200] * 5


def test_guessing_keys_is_slowed_down(serve, batch):
    running = serve(keys=KEYS)
    statuses = [running.send(batch(), x_api_key=f"guess-{number}").status for number in range(60)]
    assert statuses[:50] == [401] * 50
    assert 429 in statuses[50:]
    assert running.send(batch(), x_api_key=KEY).status == 200


def test_a_bucket_fills_up_again():
    rates = Rates(rate=2.0, burst=2)
    assert [rates.wait("a", 0.0) for _ in range(3)] == [0.0, 0.0, 0.5]
    assert rates.wait("b", 0.0) == 0.0
    assert rates.wait("a", 0.4) == pytest.approx(0.1)
    assert rates.wait("a", 0.5) == 0.0
    assert [rates.wait("a", 1e9) for _ in range(3)] == [0.0, 0.0, 0.5]
    assert rates.wait("a", 0.0) > 0.0  # a clock that was set back earns nothing


def test_no_rate_is_no_limit_and_buckets_are_forgotten_in_the_end(monkeypatch):
    assert all(Rates(0, 1).wait("a", 0.0) == 0.0 for _ in range(5))
    monkeypatch.setattr("bridge.intake.http_rates.REMEMBERED", 2)
    rates = Rates(1.0, 1)
    for sender in "abc":
        rates.wait(sender, 0.0)
    assert len(rates._buckets) == 2


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "bridge.example"])
def test_without_keys_nobody_else_can_reach_it(host):
    with pytest.raises(ValidationError, match="needs keys or issuers"):
        HttpIntakeSettings(enabled=True, host=host)
    HttpIntakeSettings(enabled=False, host=host)
    HttpIntakeSettings.model_validate({"enabled": True, "host": host, "keys": KEYS})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_without_keys_it_listens_to_this_machine(host):
    assert HttpIntakeSettings(enabled=True, host=host).open


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"cors_origins": ["*"]}, "exact origin"),
        ({"cors_origins": ["https://portal.example/"]}, "exact origin"),
        ({"cors_origins": ["https://*.example"]}, "exact origin"),
        ({"paths": []}, "at least 1"),
        ({"paths": ["telemetry"]}, "plain characters"),
        ({"paths": ["/a/"]}, "plain characters"),
        ({"paths": ["/health"]}, "plain characters"),
        ({"keys": {"a": {"sha256": "x"}}}, "should match pattern"),
        ({"issuers": dict.fromkeys("ab", KONG["kong"])}, "the same iss"),
    ],
)
def test_a_configuration_that_would_not_work_is_refused(settings, why):
    with pytest.raises(ValidationError, match=why):
        HttpIntakeSettings.model_validate(settings)
