"""PostgreSQL's error codes and what happens next."""

from __future__ import annotations

import sys

import pytest
from bridge_postgresql import PostgresqlSink
from bridge_postgresql.config import PostgresqlConfig
from bridge_postgresql.verdicts import verdict

from bridge.errors import PluginError, RejectedError, SetupError, TransientError


@pytest.mark.parametrize(
    "sqlstate", ["08006", "40001", "40P01", "53100", "53300", "55P03", "57014", "57P03", "XX000"]
)
def test_what_passes_is_tried_again(sqlstate):
    assert type(verdict(sqlstate)) is TransientError


@pytest.mark.parametrize("sqlstate", ["22P02", "22021", "23502", "23514"])
def test_bad_data_is_rejected_under_its_code(sqlstate):
    error = verdict(sqlstate, "Key (actor_id)=(somebody) already exists")
    assert isinstance(error, RejectedError)
    assert error.code == f"pg_{sqlstate.lower()}"
    assert "somebody" not in str(error)


@pytest.mark.parametrize("sqlstate", ["28P01", "3D000", "42P01", "42501", "42703"])
def test_a_wrong_set_up_is_held(sqlstate):
    assert isinstance(verdict(sqlstate), SetupError)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ('connection failed: FATAL:  password authentication failed for user "x"', SetupError),
        ('connection failed: FATAL:  database "x" does not exist', SetupError),
        ("connection failed: Connection refused", TransientError),
        ("server closed the connection unexpectedly", TransientError),
        ("connection timeout expired", TransientError),
    ],
)
def test_a_failed_connection_is_told_by_its_text(message, kind):
    error = verdict(None, message)
    assert type(error) is kind
    assert '"x"' not in str(error)


def test_a_missing_driver_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    sink = PostgresqlSink(PostgresqlConfig(dsn="host=nowhere"))
    with pytest.raises(PluginError, match=r"pip install 'psycopg\[binary\]'"):
        sink.__enter__()


def test_a_sink_that_is_not_open_says_so():
    with pytest.raises(SetupError, match="not open"):
        PostgresqlSink(PostgresqlConfig(dsn="host=nowhere")).check()
