"""What may be written under `[journal]`, and what the client is given of it."""

from __future__ import annotations

import base64
import json
import logging
import sys

import pytest
from pydantic import ValidationError

from bridge import settings
from bridge.errors import BridgeError, PluginError
from bridge.journals.base import JournalContext
from bridge.journals.kafka import KafkaJournal, KafkaJournalConfig
from bridge.journals.kafka_client import ClientLog, Clients, _expiry, _security
from bridge.journals.kafka_config import KafkaSecurity, refusal
from bridge.plugins import Plugins


def config(**keys):
    return KafkaJournalConfig(brokers="localhost:9092", **{"topics": ["t"], **keys})


def refused(**keys):
    with pytest.raises(ValidationError) as caught:
        config(**keys)
    return caught.value.errors()[0]["msg"]


def test_the_sunbird_preset_reads_the_unique_events_and_what_leaves_them_early():
    made = KafkaJournalConfig(brokers="kafka-1:9092, kafka-2:9092", preset="sunbird", env="prod")
    assert made.brokers == ("kafka-1:9092", "kafka-2:9092")
    assert made.read_topics == ("prod.telemetry.unique", "prod.telemetry.error", "prod.druid.events.log")
    assert made.validation_level is None
    assert made.write_topic is None


def test_the_digit_preset_asks_for_its_validation_level():
    made = KafkaJournalConfig(brokers=["localhost:9092"], preset="digit")
    assert made.read_topics == ("telemetry-final-messages",)
    assert made.validation_level == "envelope"


@pytest.mark.parametrize(
    ("preset", "written", "environ", "level"),
    [
        ("digit", "", {}, "envelope"),
        ("digit", "[validation]\nmax_event_bytes = 2048\n", {}, "envelope"),
        ("digit", '[validation]\nlevel = "strict"\n', {}, "strict"),
        ("digit", '[validation]\nlevel = "lenient"\n', {}, "lenient"),
        ("digit", "", {"BRIDGE_VALIDATION__LEVEL": "strict"}, "strict"),
        ("sunbird", "", {}, "lenient"),
    ],
)
def test_a_presets_level_holds_until_the_operator_says_otherwise(tmp_path, preset, written, environ, level):
    path = tmp_path / "config.toml"
    path.write_text(
        f'{written}[journal]\ntype = "kafka"\nbrokers = ["localhost:9092"]\npreset = "{preset}"\nenv = "e"\n'
        '[sinks.hook]\ntype = "webhook"\nurl = "https://hook.example"\n'
    )
    loaded = settings.load(path, environ, plugins=Plugins())
    assert loaded.validation.level == level
    assert loaded.validation.max_event_bytes == (2_048 if "2048" in written else 1_048_576)


def test_topics_of_ones_own_replace_the_presets():
    assert config(preset="sunbird", topics=["mine"]).read_topics == ("mine",)


def test_events_are_written_to_the_only_topic_or_to_the_one_that_is_named():
    assert config().write_topic == "t"
    assert config(topics=["a", "b"]).write_topic is None
    assert config(topics=["^t.*"]).write_topic is None
    assert config(topics=["a", "b"], append_to="c").write_topic == "c"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"topics": []}, "write topics, or a preset"),
        ({"topics": [], "preset": "sunbird"}, "needs env"),
        ({"topics": ["a topic"]}, "a topic has letters"),
        ({"topics": ["^("]}, "no regular expression"),
        ({"append_to": "^t"}, "the name of one topic"),
        ({"start_timestamp": "2026-01-31T00:00:00"}, "which time zone"),
        ({"options": {"group.id": "x"}}, "what it promises depends on it"),
        ({"options": {"enable.auto.commit": True}}, "what it promises depends on it"),
        ({"options": {"plugin.library.paths": "x"}}, "load code"),
        ({"options": {"sasl.kerberos.kinit.cmd": "x"}}, "load code"),
        ({"options": {"sasl.oauthbearer.token.endpoint.url": "file:///etc/passwd"}}, "load code"),
        ({"options": {"enable.ssl.certificate.verification": False}}, "always verified"),
        ({"options": {"sasl.password": "x"}}, "write it under security"),
        ({"options": {"group.instance.id": "x"}}, "static_id"),
        ({"security": {"sasl": "PLAIN", "username": "u"}}, "needs username and password"),
        ({"security": {"sasl": "OAUTHBEARER"}}, "either token or token_url"),
        ({"security": {"ca_file": "ca.pem"}}, "tls = true"),
        ({"security": {"tls": True, "cert_file": "c.pem"}}, "go together"),
        ({"security": {"sasl": "OAUTHBEARER", "token_url": "http://x"}}, "https://"),
        ({"security": {"sasl": "OAUTHBEARER", "token_url": "https://x"}}, "client_id and client_secret"),
    ],
)
def test_what_is_wrong_is_said(keys, said):
    assert said in refused(**keys)


def test_a_broker_is_a_host_and_a_port():
    with pytest.raises(ValidationError, match="host:port"):
        KafkaJournalConfig(brokers="localhost", topics=["t"])


def test_ordinary_options_pass():
    for option in ("client.rack", "fetch.min.bytes", "ssl.cipher.suites", "socket.keepalive.enable", "debug"):
        assert refusal(option) is None


def test_each_client_gets_the_options_that_concern_it():
    clients = Clients(
        config(options={"fetch.min.bytes": 5, "linger.ms": 7, "client.rack": "a", "log_level": 0}), "i"
    )
    for made in (clients.consumer("x"), clients.producer(), clients.admin(), clients.probe()):
        del made  # an option of another kind of client would have been complained of


def test_an_option_the_client_does_not_know_is_named():
    with pytest.raises(BridgeError, match="No such configuration property"):
        Clients(config(options={"no.such": 1}), "i").consumer("x")


def test_the_group_is_named_after_instance_and_sink():
    assert Clients(config(), "prod").group("search") == "prod.search"


def test_silence_is_measured_by_the_shorter_limit():
    assert Clients(config(), "i").patience == 45
    assert Clients(config(options={"max.poll.interval.ms": 7_000}), "i").patience == 7


@pytest.mark.parametrize(
    ("keys", "settings"),
    [
        ({}, {"security.protocol": "PLAINTEXT"}),
        ({"tls": True, "ca_file": "/ca.pem"}, {"security.protocol": "SSL", "ssl.ca.location": "/ca.pem"}),
        (
            {"tls": True, "sasl": "SCRAM-SHA-512", "username": "u", "password": "long-password"},
            {
                "security.protocol": "SASL_SSL",
                "sasl.mechanisms": "SCRAM-SHA-512",
                "sasl.username": "u",
                "sasl.password": "long-password",
            },
        ),
        (
            {
                "sasl": "OAUTHBEARER",
                "token_url": "https://x/t",
                "client_id": "c",
                "client_secret": "long-secret",
            },
            {
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanisms": "OAUTHBEARER",
                "sasl.oauthbearer.method": "oidc",
                "sasl.oauthbearer.token.endpoint.url": "https://x/t",
                "sasl.oauthbearer.client.id": "c",
                "sasl.oauthbearer.client.secret": "long-secret",
            },
        ),
    ],
)
def test_security_becomes_the_clients_own_settings(keys, settings):
    assert _security(KafkaSecurity(**keys)) == settings


def test_a_token_is_read_anew_each_time_and_lives_as_long_as_it_says(tmp_path):
    place = tmp_path / "token"
    claims = base64.urlsafe_b64encode(json.dumps({"exp": 4_000_000_000}).encode()).decode().rstrip("=")
    place.write_text("opaque-token\n")
    settings = _security(KafkaSecurity(sasl="OAUTHBEARER", token=f"file:{place}"))
    place.write_text(f"head.{claims}.tail\n")
    assert settings["oauth_cb"]("") == (f"head.{claims}.tail", 4_000_000_000.0)
    assert _expiry("opaque-token") > 0


def test_the_clients_log_says_each_kind_of_thing_once_a_minute(caplog):
    caplog.set_level(logging.DEBUG, "bridge")
    now = [0.0]
    client_log = ClientLog(lambda: now[0])
    for second in (0, 1, 2, 61):
        now[0] = float(second)
        client_log.log(logging.ERROR, "%s [%s] %s", "FAIL", "rdkafka#1", "refused")
    assert [record.levelname for record in caplog.records] == ["WARNING", "DEBUG", "DEBUG", "WARNING"]


def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch):
    for name in [
        name for name in sys.modules if name.startswith(("bridge.journals.kafka_", "confluent_kafka"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    journal = KafkaJournal(config(), JournalContext(None, "i", ("x",)))
    with pytest.raises(PluginError, match=r"pip install 'sunbird-bridge\[kafka\]'"):
        journal.reader("x", "earliest", lambda: None)
