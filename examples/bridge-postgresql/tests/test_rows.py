"""Events as lines of COPY, and the contract as far as it needs no server."""

from __future__ import annotations

import pytest
from bridge_postgresql import PostgresqlSink
from bridge_postgresql.rows import COLUMNS, CREATE, IDENTITY, row

from bridge import EventError
from bridge.events import decode
from bridge.testing import GoldenContract, MappingContract, encode, make_event

DSN = {"dsn": "postgresql://bridge:a-password-for-tests@127.0.0.1:9/events"}


class TestPostgresql(MappingContract):
    """Every check that needs no server; the others run against a real one."""

    sink_type = PostgresqlSink
    config = DSN

    def identity_of(self, payload):
        return payload[IDENTITY]


class TestPostgresqlRows(GoldenContract):
    """What each official event becomes: tests/golden/."""

    sink_type = PostgresqlSink
    config = DSN


def fields(event):
    return dict(zip(COLUMNS, row(decode(encode(event))).decode().removesuffix("\n").split("\t"), strict=True))


def test_a_line_has_a_field_for_each_column():
    found = fields(make_event("ASSESS", mid="m-1"))
    assert found["eid"] == "ASSESS"
    assert found["mid"] == "m-1"
    assert found["at"] == "2026-01-05 09:30:03.000+00"
    assert len(found["id"]) == 32
    assert [column for column in COLUMNS if f"\n    {column} " not in CREATE] == []


def test_what_is_absent_is_null_and_what_is_blank_is_blank():
    found = fields(make_event("JOB_START", object={}))
    assert found["object_id"] == r"\N"
    assert found["actor_id"] == ""


def test_characters_that_copy_takes_for_its_own_are_escaped():
    found = fields(make_event("LOG", {"actor.id": "a\tb\\c\nd\re"}))
    assert found["actor_id"] == r"a\tb\\c\nd\re"
    assert r"\\t" in found["event"]


@pytest.mark.parametrize("ets", [-5, 1e300, 253_402_300_800_000])
def test_a_moment_outside_the_calendar_is_null(ets):
    assert fields(make_event(ets=ets))["at"] == r"\N"


@pytest.mark.parametrize("text", ["\0", "a\0b", "\\\0"])
def test_a_nul_character_is_refused(text):
    with pytest.raises(EventError, match="NUL"):
        row(decode(encode(make_event("LOG", {"edata.message": text}))))


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", "u0000"])
def test_what_only_looks_like_a_nul_character_passes(text):
    assert row(decode(encode(make_event("LOG", {"edata.message": text}))))
