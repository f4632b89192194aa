"""The commands and the HTTP intake on a real broker, as an operator meets them."""

from __future__ import annotations

import base64
import http.client
import json
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from bridge.cli import cli
from bridge.configuration.intake import HttpIntakeSettings
from bridge.deadletters import Filter
from bridge.intake.http import HttpIntake
from bridge.journals.base import JournalContext
from bridge.journals.kafka import KafkaJournal
from bridge.state import State

pytestmark = pytest.mark.real
PLUGINS = Path(__file__).parents[2] / "bridge" / "cli" / "plugins"
NOON = int(datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp() * 1000)
CONFIG = """
instance = "{topic}"
[plugins]
dir = "{plugins}"
[journal]
type = "kafka"
brokers = ["{address}"]
topics = ["{topic}"]
dead_letter_topic = "{graves}"
[sinks.tray]
type = "tray"
path = "tray.jsonl"
"""


def raw_event(number, message="m"):
    event = {
        "eid": "LOG",
        "ets": NOON + number,
        "ver": "3.0",
        "mid": f"LOG:{number}",
        "actor": {"id": "u1", "type": "User"},
        "context": {"channel": "in.test", "env": "home", "pdata": {"id": "test.app"}, "did": "d1"},
        "edata": {"type": "system", "level": "INFO", "message": message},
    }
    return json.dumps(event, separators=(",", ":")).encode()


@pytest.fixture
def bridge(address, make_topic, tmp_path, monkeypatch):
    """Commands on a configuration with a topic of two partitions and one for dead letters."""
    monkeypatch.chdir(tmp_path)
    topic, graves = make_topic(2, **{"retention.ms": "-1"}), make_topic(1)
    text = CONFIG.format(topic=topic, graves=graves, address=address, plugins=PLUGINS)
    (tmp_path / "config.toml").write_text(text)

    def call(*args, code=0):
        result = CliRunner().invoke(cli, args, prog_name="bridge")
        assert result.exit_code == code, f"{result.exit_code}: {result.output}\n{result.exception!r}"
        return result.output

    call.topic, call.graves = topic, graves
    return call


def test_a_sink_is_shown_and_moved_to_a_moment_once_nobody_reads_for_it(
    bridge, produce, open_reader, take, committed
):
    for n in range(10):
        produce(bridge.topic, [raw_event(n)], timestamp=NOON + 1_000 * n)
    reader = open_reader(bridge.topic, pipeline="tray", instance=bridge.topic)
    take(reader, 10, commit=True)
    move = ("cursors", "reset", "--sink", "tray", "--to", "2026-01-31T12:00:04Z")
    assert "6 again" in bridge(*move, "--dry-run")
    assert "has members: stop every bridge process" in bridge(*move, "--yes", code=1)
    reader.close()
    bridge(*move, "--yes")
    assert committed(f"{bridge.topic}.tray", bridge.topic)[0] == 4
    shown = bridge("cursors", "show")
    assert "6 records" in shown
    assert " d\n" in shown  # since January


@pytest.fixture
def post(bridge, make_config, tmp_path):
    """Send a batch to an intake behind which Kafka is the journal; the status of the answer."""
    with State(tmp_path / "data" / "bridge.db") as state:
        config = make_config(bridge.topic, dead_letter_topic=bridge.graves)
        with KafkaJournal(config, JournalContext(state, bridge.topic, ())) as journal:
            settings = HttpIntakeSettings(enabled=True, host="127.0.0.1", port=0)
            intake = HttpIntake(settings, journal, journal.dead_letters())
            intake.start()

            def send(*events):
                body = b'{"id":"api.sunbird.telemetry","events":[' + b",".join(events) + b"]}"
                connection = http.client.HTTPConnection("127.0.0.1", intake._port, timeout=30)
                connection.request("POST", "/v1/telemetry", body, {"content-type": "application/json"})
                status = connection.getresponse().status
                connection.close()
                return status

            send.letters = journal.dead_letters
            yield send
            intake.close()


def test_an_event_that_is_too_large_for_kafka_is_answered_with_200_and_can_be_replayed(
    post, bridge, open_reader, take
):
    """The dead letter topic would not take it either, so it is in the state file."""
    huge = raw_event(1, base64.b85encode(random.randbytes(2_000_000)).decode())
    assert post(raw_event(0), huge, raw_event(2)) == 200
    reader = open_reader(bridge.topic, instance=bridge.topic)
    assert len(take(reader, 2)[0]) == 2
    with post.letters().look() as shelf:
        assert list(shelf.find(Filter())) == []
    listed = bridge("dead-letters", "list")
    assert "record_too_large" in listed
    exported = bridge("dead-letters", "export", "--sink", "rejects")
    assert json.loads(exported)["mid"] == "LOG:1"
