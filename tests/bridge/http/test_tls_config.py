"""The TLS table that any sink can put into its configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from bridge import SinkConfig
from bridge.http import Tls, TlsConfig
from bridge.secrets import Secret
from bridge_elasticsearch.config import ElasticsearchConfig
from bridge_webhook.config import WebhookConfig


class StrangersConfig(SinkConfig):
    """What the author of a plugin writes."""

    tls: TlsConfig | None = None


def test_a_stranger_s_sink_takes_the_table_and_hands_it_to_the_client():
    table = {"ca_file": "/etc/ca.pem", "cert_file": "/etc/own.pem", "key_file": "/etc/own.key"}
    tls = StrangersConfig.model_validate({"tls": table}).tls
    assert tls is not None
    assert tls.settings() == Tls(Path("/etc/ca.pem"), Path("/etc/own.pem"), Path("/etc/own.key"))


def test_the_built_in_sinks_use_that_same_table():
    for config in (ElasticsearchConfig, WebhookConfig, StrangersConfig):
        assert config.model_fields["tls"].annotation == TlsConfig | None


@pytest.mark.parametrize("part", [{"key_file": "/etc/own.key"}, {"key_password": "env:KEY_PASSWORD"}])
def test_a_key_without_its_certificate_is_refused(part, monkeypatch):
    monkeypatch.setenv("KEY_PASSWORD", "opensesame")

    with pytest.raises(ValidationError, match="belong to a cert_file"):
        TlsConfig.model_validate(part)


def test_there_is_no_way_to_switch_verification_off():
    with pytest.raises(ValidationError):
        TlsConfig.model_validate({"verify": False})


def test_the_password_of_the_key_is_never_shown(monkeypatch):
    monkeypatch.setenv("KEY_PASSWORD", "opensesame")
    tls = TlsConfig.model_validate({"cert_file": "/etc/own.pem", "key_password": "env:KEY_PASSWORD"})
    assert tls.settings().key_password == Secret("env:KEY_PASSWORD")
    assert "opensesame" not in repr(tls) + tls.model_dump_json()
