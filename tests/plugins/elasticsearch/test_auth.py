from __future__ import annotations

import base64

import pytest

from bridge.errors import SetupError
from bridge_elasticsearch import auth

URL = "https://search.example.org/_bulk"


def sent(config):
    return auth.headers(config, "POST", URL, b"body", 1_766_000_000.0)


def test_nothing_configured_sends_nothing(config):
    assert sent(config()) == {}


@pytest.mark.parametrize(
    ("key", "header"),
    [
        ("abc:def", "ApiKey YWJjOmRlZg=="),
        ("YWJjOmRlZg==", "ApiKey YWJjOmRlZg=="),
        ("essu_YWJj", "ApiKey essu_YWJj"),
        ("äbc:def", "ApiKey " + base64.b64encode("äbc:def".encode()).decode()),
    ],
)
def test_an_api_key_is_sent_encoded_once(config, key, header):
    assert sent(config(api_key=key)) == {"authorization": header}


def test_basic_is_base64_of_user_and_password(config):
    header = sent(config(username="bridge", password="p:w"))["authorization"]
    assert base64.b64decode(header.removeprefix("Basic ")) == b"bridge:p:w"


def test_a_bearer_token_is_sent_as_it_is(config):
    assert sent(config(bearer_token="eyJ.x")) == {"authorization": "Bearer eyJ.x"}


def test_a_rotated_key_is_taken_up_at_once(config, tmp_path):
    secret = tmp_path / "key"
    secret.write_text("id:one\n")
    settings = config(api_key=f"file:{secret}")
    before = sent(settings)
    secret.write_text("id:two\n")
    assert sent(settings) != before


@pytest.mark.parametrize("content", [None, "", "garbage"])
def test_a_key_that_went_missing_holds_the_stream(config, tmp_path, content):
    secret = tmp_path / "key"
    secret.write_text("id:one")
    settings = config(api_key=f"file:{secret}")
    secret.unlink()
    if content is not None:
        secret.write_text(content)
    with pytest.raises(SetupError):
        sent(settings)


def test_sigv4_signs_with_the_session_token(config):
    keys = {"access_key_id": "AKID", "secret_access_key": "SK", "session_token": "token"}
    headers = sent(config(sigv4={"region": "ap-south-1", **keys}))
    assert headers["x-amz-security-token"] == "token"
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/20251217/ap-south-1/es/")
