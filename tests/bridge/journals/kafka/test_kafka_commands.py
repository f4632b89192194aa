"""`bridge cursors` and `bridge dead-letters` where the journal, and the dead letters, are in Kafka."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from bridge.cli import cli
from bridge.deadletters import DeadLetter, Filter, SqliteDeadLetters
from bridge.state import State, StateError

PLUGINS = Path(__file__).parents[2] / "cli" / "plugins"
CONFIG = """
instance = "test"
[plugins]
dir = "{plugins}"
[ops]
port = 0
[validation]
level = "lenient"
[journal]
type = "kafka"
brokers = ["{brokers}"]
topics = ["t"]
group_protocol = "consumer"
{letters}
[journal.options]
"message.timeout.ms" = 3000
[sinks.tray]
type = "tray"
path = "tray.jsonl"
{sink}
"""
NOW = datetime.now(UTC)
CELL = re.compile(r"\s{2,}")


@pytest.fixture
def configure(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cluster.topic("t", 2)

    def write(sink="", letters=""):
        text = CONFIG.format(plugins=PLUGINS, brokers=cluster.brokers, sink=sink, letters=letters)
        (tmp_path / "config.toml").write_text(text)

    write()
    return write


@pytest.fixture
def bridge(configure, monkeypatch):
    """Call a command; its output, after its exit code was compared."""
    monkeypatch.setattr("bridge.journals.kafka_cursors.SETTINGS_WAIT", 0.2)  # the mock never answers
    root = logging.getLogger()
    before, level = list(root.handlers), root.level

    def call(*args, code=0):
        result = CliRunner().invoke(cli, args, prog_name="bridge")
        assert result.exit_code == code, f"{result.exit_code}: {result.output}\n{result.exception!r}"
        return result.output

    yield call
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def rows_of(text, first):
    """The rows of the table whose first headings these are."""
    lines = text.splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith(first))
    rows = []
    for line in lines[begin + 1 :]:
        if not line.strip():
            break
        rows.append(CELL.split(line.strip()))
    return rows


@pytest.fixture
def filled(configure, produce, make_raw, commit_for):
    """20 events in two partitions, one a second up to 10 seconds ago; the sink has read 7 of the first."""
    begin = int(NOW.timestamp() * 1000) - 60_000
    for n in range(20):
        produce("t", [make_raw(n)], n % 2, timestamp=begin + 1_000 * n)
    commit_for("test.tray", 7)


def test_places_are_shown_with_lag_in_records_and_in_time(filled, bridge):
    out = bridge("cursors", "show")
    totals = {row[0]: row[1:] for row in rows_of(out, "pipeline  group")}
    assert totals["tray"][:2] == ["test.tray", "13 records"]
    assert totals["rejects"][:2] == ["test.rejects", "20 records"]
    assert re.fullmatch(r"\d+ (s|min)", totals["tray"][2])
    places = {(row[0], row[1]): row[2:] for row in rows_of(out, "pipeline  stream")}
    assert places["tray", "t[0]"][:3] == ["7", "0 to 10", "3 records"]
    assert places["tray", "t[1]"][:3] == ["none yet", "0 to 10", "10 records"]


def test_places_are_shown_without_a_state_file_and_without_a_topic(bridge, cluster):
    assert "0 records" in bridge("cursors", "show")
    cluster.remove_topic("t")
    assert "there is no topic t yet" in bridge("cursors", "show")


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        (["earliest"], {0: 0, 1: 0}),
        (["latest"], {0: 10, 1: 10}),
        (["3"], {0: 3, 1: 3}),
        (["999", "--stream", "t[1]"], {0: 7, 1: 10}),
    ],
)
def test_a_sink_is_moved_to_any_place(filled, bridge, committed, to, expected):
    dry = bridge("cursors", "reset", "--sink", "tray", "--dry-run", "--to", *to)
    assert "nothing was changed (--dry-run)" in dry
    assert committed("test.tray", partitions=2) == {0: 7}
    assert "tray begins there" in bridge("cursors", "reset", "--sink", "tray", "--yes", "--to", *to)
    assert committed("test.tray", partitions=2) == expected


def test_a_move_tells_what_comes_again_and_what_is_left_out(filled, bridge, commit_for):
    commit_for("test.tray", 2, partition=1)
    assert rows_of(
        bridge("cursors", "reset", "--sink", "tray", "--dry-run", "--to", "5") + "\n", "stream  from"
    )[:2] == [["t[0]", "7", "5", "2 again"], ["t[1]", "2", "5", "3 left out"]]


def test_nobody_is_moved_under_a_running_bridge_or_unasked(filled, bridge, open_reader, patience, committed):
    assert "write --yes" in bridge("cursors", "reset", "--sink", "tray", "--to", "latest", code=2)
    patience.take(open_reader("t", pipeline="tray", group_protocol="consumer"), 13)
    told = bridge("cursors", "reset", "--sink", "tray", "--to", "earliest", "--yes", code=1)
    assert "the group test.tray has members: stop every bridge process that runs tray first" in told
    assert committed("test.tray", partitions=2) == {0: 7}


def test_what_kafka_has_not_cannot_be_moved(filled, bridge):
    told = bridge("cursors", "reset", "--sink", "tray", "--to", "1", "--stream", "t[9]", "--yes", code=1)
    assert "no such partition" in told
    assert "Kafka forgets the group test.old by itself" in bridge("cursors", "remove", "old", "--yes", code=1)


def test_brokers_that_do_not_answer_are_told(bridge, cluster, monkeypatch):
    monkeypatch.setattr("bridge.journals.kafka_cursors.WAIT", 1.0)
    cluster.down()
    assert "bridge: Kafka: " in bridge("cursors", "show", code=1)
    cluster.up()


def raw(n, eid="EXTRA"):
    return b'{"eid":"%s","ets":%d,"ver":"3.0","mid":"%d","actor":{"id":"u","type":"User"},"edata":{},' % (
        eid.encode(), 1_767_605_400_000 + n, n,
    ) + b'"context":{"channel":"c","env":"e","pdata":{"id":"p"},"did":"d"}}'  # fmt: skip


def letter(n, sink="tray", eid="HATED", code="refused", payload=None):
    return DeadLetter(
        f"{n:032x}", sink, "tray 1", "deliver", code, "", "HATED is not welcome", 1, 1_000 + n, 1_000 + n,
        "t[0]", n, eid, str(n), payload or raw(n, eid),
    )  # fmt: skip


@pytest.fixture
def letters(configure, cluster, make_journal):
    """The store, with 6 letters of the sink, and 2 that are not valid for any."""
    configure('refuse = ["HATED"]', 'dead_letter_topic = "letters"')
    cluster.topic("letters", 2)
    store = make_journal("t", dead_letter_topic="letters").dead_letters()
    store.write([letter(n) for n in range(6)])
    store.write([letter(6, "rejects", code="missing_key"), letter(7, "rejects", code="bad", payload=b"{}")])
    return store


def found(store, **chosen):
    with store.look() as shelf:
        return {one.id: one for one in shelf.find(Filter(**chosen))}


def delivered():
    path = Path("tray.jsonl")
    return path.read_bytes().splitlines() if path.exists() else []


def test_letters_in_kafka_are_listed_shown_and_exported(letters, bridge):
    out = bridge("dead-letters", "list", "--limit", "3")
    assert rows_of(out, "sink  ") == [
        ["rejects", "bad", "1"], ["rejects", "missing_key", "1"], ["tray", "refused", "6"]
    ]  # fmt: skip
    assert "and 5 more letters" in out
    shown = bridge("dead-letters", "show", letter(3).id)
    assert shown.splitlines()[-1].encode() == raw(3, "HATED")
    assert "more than one" in bridge("dead-letters", "show", "0000", code=1)
    lines = bridge("dead-letters", "export", "--sink", "tray", "--format", "full").splitlines()
    assert sorted(json.loads(line)["position"] for line in lines) == [0, 1, 2, 3, 4, 5]


def test_a_run_ends_with_the_letters_that_it_wrote_to_the_topic(letters, produce, make_raw, tmp_path):
    produce("t", [make_raw(1), raw(2, "HATED"), raw(3, "HATED"), b"{}"])
    command = [sys.executable, "-m", "bridge", "run", "--until-idle"]
    out = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=True).stdout
    assert "dead letters  3 events of this run, in the topic letters: bridge dead-letters list" in out
    assert out.count("dead-letters list") == 1


def test_letters_in_the_state_file_are_found_beside_those_in_kafka(letters, bridge, tmp_path):
    with State(tmp_path / "data" / "bridge.db") as state:
        SqliteDeadLetters(state).write([letter(9)])
    assert rows_of(bridge("dead-letters", "list"), "sink  ")[-1] == ["tray", "refused", "7"]
    assert "position  9" in bridge("dead-letters", "show", letter(9).id)
    Path("config.toml").write_text(Path("config.toml").read_text().replace('refuse = ["HATED"]', ""))
    out = bridge("dead-letters", "replay", "--sink", "tray")
    assert "6 of 6 letters resolved" in out
    assert "1 of 1 letter resolved" in out
    assert len(delivered()) == 7


def test_a_replay_resolves_letters_in_kafka_and_leaves_nothing_behind(letters, bridge, configure, tmp_path):
    configure("", 'dead_letter_topic = "letters"')
    dry = bridge("dead-letters", "replay", "--dry-run")
    assert ["tray", "tray", "6", "0", "0", "0"] in rows_of(dry + "\n", "letters of")
    assert delivered() == []
    assert "2 of 2 letters resolved" in bridge("dead-letters", "replay", "--sink", "tray", "--limit", "2")
    bridge("dead-letters", "replay", "--sink", "tray")
    assert sorted(delivered()) == sorted(raw(n, "HATED") for n in range(6))
    assert set(found(letters)) == {letter(6).id, letter(7).id}
    assert len(found(letters, resolved=True)) == 6
    assert "no dead letters to replay" in bridge("dead-letters", "replay", "--sink", "tray")
    assert [path.name for path in (tmp_path / "data" / "replay").iterdir()] == ["bridge.lock"]


def test_what_is_refused_again_stays_with_its_attempts_added_up(letters, bridge):
    out = bridge("dead-letters", "replay", "--sink", "tray", code=1)
    assert "0 of 6 letters resolved" in out
    again = found(letters, sink="tray")
    assert {one.attempts for one in again.values()} == {2}
    assert {one.first_ms for one in again.values()} == set(range(1_000, 1_006))


def test_invalid_letters_go_to_every_sink_and_stay_while_they_are_not_valid(letters, bridge, configure):
    configure("", 'dead_letter_topic = "letters"')
    assert "1 of 2 letters resolved" in bridge("dead-letters", "replay", "--sink", "rejects")
    assert delivered() == [raw(6, "HATED")]
    assert set(found(letters, sink="rejects")) == {letter(7).id}


def test_a_replay_from_kafka_goes_on_beside_a_running_bridge_and_one_at_a_time(
    letters, bridge, configure, tmp_path
):
    configure("", 'dead_letter_topic = "letters"')
    with State(tmp_path / "data" / "bridge.db"):
        assert "6 of 6 letters resolved" in bridge("dead-letters", "replay", "--sink", "tray")
    with State(tmp_path / "data" / "replay" / "bridge.db"):
        assert "is in use by process" in bridge("dead-letters", "replay", code=1)


def test_a_copy_that_a_killed_replay_has_left_is_not_replayed(letters, bridge, configure, tmp_path):
    configure("", 'dead_letter_topic = "letters"')
    with State(tmp_path / "data" / "replay" / "bridge.db") as state:
        SqliteDeadLetters(state).write([letter(99)])
    bridge("dead-letters", "replay", "--sink", "tray")
    assert raw(99, "HATED") not in delivered()
    assert len(delivered()) == 6


def test_a_replay_that_cannot_tell_kafka_says_so(letters, bridge, configure, monkeypatch):
    configure("", 'dead_letter_topic = "letters"')

    def away(self, letters):
        raise StateError("Kafka did not take it: no broker can be reached")

    monkeypatch.setattr("bridge.deadletters_kafka.KafkaDeadLetters.write", away)
    out = bridge("dead-letters", "replay", "--sink", "tray", code=1)
    assert "no broker can be reached" in out
    assert len(found(letters, sink="tray")) == 6
