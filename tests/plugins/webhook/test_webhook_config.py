"""Configuration: every mistake is named, nothing secret is shown."""

from __future__ import annotations

import base64

import pytest
from pydantic import ValidationError

from bridge.secrets import Places
from bridge_webhook.config import WebhookConfig

GOOD = {"url": "https://hooks.example/in"}


def refusal(**config):
    with pytest.raises(ValidationError) as caught:
        WebhookConfig.model_validate(GOOD | config)
    return str(caught.value)


def test_an_address_is_enough():
    config = WebhookConfig.model_validate(GOOD)
    assert (config.body, config.ordered, config.compression) == ("batch", False, "none")


def test_every_key_is_described():
    assert all(field.description for field in WebhookConfig.model_fields.values())


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://hooks.example/", "write https://host/path"),
        ("hooks.example/in", "write https://host/path"),
        ("https://user:canary@hooks.example/", "write https://host/path, without user"),
        ("https://hooks.example/#part", "write https://host/path"),
        ("https://hooks.example\\@evil.example/", "write https://host/path"),
        ("https://hooks.example/\r\nx: y", "write https://host/path"),
        ("https://खोज.example/", "without user, # or characters beyond ASCII"),
        ("https:///in", "write https://host/path"),
        ("http://hooks.example/", "set allow_http = true"),
        ("https://hooks.example:9000/", "add ports = [9000]"),
        ("https://10.0.0.1/", "10.0.0.1 is not a public address"),
        ("https://[::ffff:127.0.0.1]/", "127.0.0.1 is not a public address"),
        ("https://[64:ff9b::7f00:1]/", "not a public address"),
    ],
)
def test_an_address_that_must_not_be_used_is_refused(url, message):
    text = refusal(url=url)
    assert message in text
    assert "canary" not in text


@pytest.mark.parametrize(
    "config",
    [
        {"url": "https://hooks.example"},
        {"url": "https://hooks.example?token=1"},
        {"url": "https://xn--21bm4l.example/a/b?c=d"},
        {"url": "https://1.1.1.1/"},
        {"url": "https://[2606:4700::1]:8443/"},
        {"url": "https://hooks.example:9000/", "ports": [9000]},
        {"url": "http://hooks.example/", "allow_http": True},
        {"url": "https://10.0.0.1/", "allow_networks": ["10.0.0.0/8"]},
        {"url": "https://[fd00::1]/", "allow_networks": ["fd00::/8"]},
    ],
)
def test_an_address_that_is_declared_is_taken(config):
    assert WebhookConfig.model_validate(config).policy


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"url": None}, "write one of url and secret_url"),
        ({"secret_url": "https://hooks.example/"}, "write one of url and secret_url"),
        ({"body": "xml"}, "Input should be 'raw', 'batch'"),
        ({"body": "template"}, 'body = "template" and a template go together'),
        ({"template": {"a": 1}}, 'body = "template" and a template go together'),
        ({"body": "template", "template": {"a": {"$": ""}}}, "template.a: write a path"),
        ({"secrets": ["whsec_AAAA"]}, "24 to 64 random bytes"),
        ({"secrets": ["env:NO_SUCH_VARIABLE_HERE"]}, "NO_SUCH_VARIABLE_HERE is not set"),
        ({"signature": "x-hub-signature-256"}, "takes exactly one of secrets"),
        ({"signature": "x-hub-signature-256", "secrets": ["a", "b"]}, "takes exactly one of secrets"),
        ({"ed25519_key": "whsk_AAAA"}, "an ed25519 key is whsk_"),
        ({"username": "u"}, "username and password go together"),
        ({"username": "u:v", "password": "p"}, "username"),
        ({"username": "u", "password": "p", "bearer_token": "t"}, "choose one of bearer_token"),
        ({"headers": {"Authorization": "x"}, "bearer_token": "t"}, "choose one of bearer_token"),
        ({"headers": {"Bad Name": "x"}}, "'Bad Name' cannot be the name of a header"),
        ({"headers": {"X-A": "a\r\nX-B: b"}}, "value of the header X-A must be printable"),
        ({"headers": {"X-A": "ü"}}, "value of the header X-A must be printable"),
        ({"headers": {"X-A": "a", "x-a": "b"}}, "a header is given twice"),
        ({"headers": {"Content-Length": "3"}}, "the header Content-Length is set by the sink itself"),
        ({"headers": {"Host": "x"}}, "set by the sink itself"),
        ({"headers": {"webhook-id": "x"}}, "set by the sink itself"),
        ({"headers": {"Transfer-Encoding": "chunked"}}, "set by the sink itself"),
        ({"allow_networks": ["10.0.0.1/8"]}, "allow_networks"),
        ({"ports": [0]}, "ports"),
        ({"ports": [65536]}, "ports"),
        ({"deadline": 0}, "deadline"),
        ({"ordering": "device"}, "Input should be 'none', 'partition' or 'key'"),
        ({"ordering": "key", "order_key": "mid"}, "Input should be 'did', 'sid' or 'actor'"),
        ({"ordering": "key", "lanes": 0}, "greater than or equal to 1"),
        ({"verify": False}, "Extra inputs are not permitted"),
    ],
)
def test_a_mistake_is_named(config, message):
    assert message in refusal(**config)


@pytest.mark.parametrize("url", ["http://hooks.example/canary", "https://10.0.0.1/canary", "canary"])
def test_a_secret_address_is_judged_without_being_shown(url):
    text = refusal(url=None, secret_url=url)
    assert "url: " in text
    assert "canary" not in text


def test_no_refusal_shows_a_secret():
    canary = "canary-7d0c5a1e"
    for config in (
        {"secrets": [canary]},
        {"ed25519_key": canary},
        {"headers": {"X-A": canary + "\n"}},
        {"bearer_token": canary, "username": "u"},
        {"url": f"https://user:{canary}@hooks.example/"},
        {"url": f"http://hooks.example/{canary}"},
        {"password": canary},
    ):
        assert canary not in refusal(**config)


def test_a_whole_secret_configuration_shows_none_of_it():
    key = base64.b64encode(b"canary" * 5).decode()
    config = WebhookConfig.model_validate(
        {
            "secret_url": "https://hooks.example/canary",
            "secrets": [key],
            "bearer_token": "canary",
            "headers": {"X-A": "canary"},
        }
    )
    for text in (repr(config), str(config), config.model_dump_json()):
        assert "canary" not in text
        assert key not in text


def test_secrets_are_taken_on_trust_where_they_are_not_kept():
    config = {
        "secret_url": "env:HOOK_URL",
        "secrets": ["file:/nowhere/secret"],
        "ed25519_key": "env:HOOK_KEY",
        "headers": {"X-A": "env:HOOK_HEADER"},
    }
    places = Places(environ={}, resolve=False)
    assert (
        WebhookConfig.model_validate(config, context={"places": places}).secret_url.origin == "env:HOOK_URL"
    )


def test_partition_order_is_told_to_the_host():
    assert WebhookConfig.model_validate(GOOD | {"ordering": "partition"}).ordered
    assert WebhookConfig.model_validate(GOOD | {"ordering": "key"}).ordered
