"""A stranger's sink against the real PostgreSQL: once, whatever happens on the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bridge.deadletters import Filter
from bridge.engine.supervisor import Supervisor
from bridge.errors import EventError, RejectedError, SetupError, TransientError
from bridge.events import decode
from bridge.plugins import Plugins
from bridge.settings import load
from bridge.sinks import DELIVERED, DUPLICATE, Batch
from bridge.state import State
from bridge.testing import SinkContract, encode, make_event, nasty, samples

pytestmark = pytest.mark.real


class TestContract(SinkContract):
    """Every check of the contract."""

    @pytest.fixture(autouse=True)
    def _server(self, postgres, plugin, table):
        kind = type(self)
        kind.sink_type = plugin.PostgresqlSink
        kind.config = {"dsn": postgres.dsn, "table": table}
        with plugin.PostgresqlSink(plugin.PostgresqlSink.config_type.model_validate(kind.config)) as sink:
            sink.setup()

    def identity_of(self, payload):
        return payload[:32]


def batch_of(sink, events, attempt=1):
    return Batch(sink.map_batch(events), events, "warehouse", attempt)


def some(count):
    return [decode(encode(make_event(mid=f"m-{n}"))) for n in range(count)]


def test_every_official_event_becomes_a_row(open_sink, postgres, table):
    sink = open_sink()
    events = [decode(encode(event)) for event in samples().values()]
    assert sink.send(batch_of(sink, events)) == [DELIVERED] * len(events)
    found = postgres.ask(f"SELECT eid, mid, event->>'mid', event->'edata' FROM {table} ORDER BY at")
    assert {row[0] for row in found} == set(samples())
    assert all(mid == inside for _, mid, inside, _ in found)
    assert {row[0]: row[3] for row in found}["ASSESS"] == samples()["ASSESS"]["edata"]


def test_a_batch_that_comes_again_changes_nothing(open_sink, postgres, table):
    sink = open_sink()
    assert sink.send(batch_of(sink, some(50))) == [DELIVERED] * 50
    assert sink.send(batch_of(sink, some(60), attempt=2)) == [DUPLICATE] * 50 + [DELIVERED] * 10
    assert postgres.ask(f"SELECT count(*) FROM {table}") == [(60,)]


def test_what_is_twice_in_a_batch_is_kept_once(open_sink, postgres, table):
    sink = open_sink()
    assert sink.send(batch_of(sink, some(2) + some(2))) == [DELIVERED] * 2 + [DUPLICATE] * 2
    assert postgres.ask(f"SELECT count(*) FROM {table}") == [(2,)]


def test_the_server_takes_every_odd_event_that_is_mapped(open_sink, postgres, table):
    sink = open_sink()
    taken = 0
    for line in nasty().values():
        try:
            event = decode(line)
            payload = sink.map(event)
        except EventError:
            continue
        assert sink.send(Batch([payload], [event], "warehouse")) in ([DELIVERED], [DUPLICATE])
        taken += 1
    assert taken > 50
    assert postgres.ask(f"SELECT count(*) FROM {table} WHERE event IS NULL") == [(0,)]


def test_a_refused_row_takes_the_whole_batch_back(open_sink, postgres, table):
    sink = open_sink()
    postgres.ask(f"ALTER TABLE {table} ADD CHECK (mid <> 'm-3')")
    with pytest.raises(RejectedError) as refused:
        sink.send(batch_of(sink, some(5)))
    assert refused.value.code == "pg_23514"
    assert postgres.ask(f"SELECT count(*) FROM {table}") == [(0,)]
    assert sink.send(batch_of(sink, some(3))) == [DELIVERED] * 3


def test_a_lost_connection_is_replaced(open_sink, postgres):
    sink = open_sink()
    sink.send(batch_of(sink, some(1)))
    postgres.ask(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sunbird-bridge'"
    )
    with pytest.raises(TransientError):
        sink.send(batch_of(sink, some(2)))
    assert sink.send(batch_of(sink, some(2))) == [DUPLICATE, DELIVERED]


def test_a_locked_table_is_given_up_after_the_deadline(open_sink, postgres, table):
    sink = open_sink()
    patient = open_sink(deadline=0.2)
    with postgres.driver.connect(postgres.dsn) as connection:
        connection.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
        with pytest.raises(TransientError, match="57014"):
            patient.send(batch_of(patient, some(1)))
    assert sink.send(batch_of(sink, some(1))) == [DELIVERED]


def test_a_missing_table_is_a_set_up_problem(open_sink, table):
    sink = open_sink(setup=False)
    with pytest.raises(SetupError, match="42P01"):
        sink.send(batch_of(sink, some(1)))
    with pytest.raises(SetupError, match=f"there is no table {table}"):
        sink.check()
    assert sink.setup() == f"table {table} is there"
    assert sink.check().endswith(f", table {table}")


@pytest.mark.parametrize(("old", "new"), [("//bridge:", "//bridge:x"), ("/postgres", "/nowhere")])
def test_a_wrong_dsn_is_a_set_up_problem_that_shows_no_password(open_sink, postgres, old, new):
    sink = open_sink(setup=False, dsn=postgres.dsn.replace(old, new))
    with pytest.raises(SetupError, match="check dsn") as refused:
        sink.check()
    assert postgres.dsn.split(":")[2].split("@")[0] not in str(refused.value)


def test_a_user_without_rights_is_told(open_sink, postgres, table):
    open_sink()
    postgres.ask("DROP ROLE IF EXISTS reader")
    postgres.ask("CREATE ROLE reader LOGIN PASSWORD 'a-password-for-tests'")
    sink = open_sink(
        setup=False,
        dsn=postgres.dsn.replace(postgres.dsn.split("//")[1].split("@")[0], "reader:a-password-for-tests"),
    )
    with pytest.raises(SetupError, match="may not insert"):
        sink.check()
    with pytest.raises(SetupError, match="42501"):
        sink.send(batch_of(sink, some(1)))
    sink.__exit__(None, None, None)
    postgres.ask("DROP ROLE reader")


def test_nobody_there_is_tried_again(open_sink):
    sink = open_sink(setup=False, dsn="postgresql://bridge@127.0.0.1:9/postgres")
    with pytest.raises(TransientError):
        sink.send(batch_of(sink, some(1)))


def test_the_host_finds_the_one_bad_event_and_delivers_the_others(
    open_sink, postgres, plugin, table, tmp_path
):
    open_sink()
    postgres.ask(f"ALTER TABLE {table} ADD CHECK (mid <> 'm-77')")
    lines = [encode(make_event(mid=f"m-{n}")) for n in range(200)]
    (tmp_path / "events.jsonl").write_bytes(b"\n".join([*lines, *lines[:20]]) + b"\n")
    config = tmp_path / "config.toml"
    config.write_text(
        f'data_dir = "data"\n[journal]\ntype = "file"\npath = "{tmp_path}/events.jsonl"\n'
        f'[sinks.warehouse]\ntype = "postgresql"\ndsn = "env:DSN"\ntable = "{table}"\n'
        "[sinks.warehouse.dedup]\nwindow = 0\n"
    )
    plugins = Plugins()
    plugins.register(plugin, "postgresql")
    settings = load(config, {"DSN": postgres.dsn}, plugins=plugins)
    Path(settings.data_dir).mkdir()
    with State(settings.data_dir / "bridge.db") as state:
        host = Supervisor(settings, plugins.registry, state, plugins.notify, until_idle=True)
        with host.journal:
            host.start()
            assert host.join(60)
        assert host.failures() == []
        (letter,) = host.dead_letters.find(Filter(sink="warehouse"))
        counts = {snapshot.pipeline: snapshot.counts for snapshot in host.snapshots()}["warehouse"]
    assert (letter.code, letter.mid) == ("pg_23514", "m-77")
    assert counts.conserved
    assert (counts.delivered, counts.duplicate, counts.dead_lettered) == (199, 20, 1)
    assert postgres.ask(f"SELECT count(*) FROM {table}") == [(199,)]
    assert json.loads(letter.payload)["mid"] == "m-77"
