"""Parquet objects, where pyarrow is installed."""

from __future__ import annotations

import io
import json
import sys

import pytest

from bridge.errors import PluginError, RecutError
from bridge.events import decode
from bridge.testing import encode, samples, unknown_samples
from bridge_s3 import S3Config, S3Sink, verify

parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow (extra `parquet`) is not installed")


@pytest.fixture
def sink(owner):
    return owner(format="parquet", partition_by="none")


@pytest.fixture
def table(tree):
    def read():
        (body,) = (body for key, body in tree().items() if key.endswith(".parquet"))
        return parquet.read_table(io.BytesIO(body))

    return read


def test_a_row_holds_the_head_of_the_event_and_edata_as_it_came(sink, batch, event, table):
    one = event(
        7,
        "ASSESS",
        object={"id": "do_1", "type": "Content", "ver": "2", "rollup": {"l1": "course", "l2": "unit"}},
        tags=["a", "b"],
        **{"context.rollup": {"l1": "org"}, "context.cdata": [{"type": "Session", "id": "s-1"}]},
    )
    sink.send(batch(sink, [one], 0))
    (row,) = table().to_pylist()
    assert (row["mid"], row["eid"], row["ver"]) == ("m-7", "ASSESS", one.ver)
    assert row["ets"].timestamp() * 1000 == one.ets
    assert row["syncts"].isoformat() == "2026-08-21T12:00:00+00:00"
    assert (row["channel"], row["pdata_id"], row["did"]) == (
        one.context.channel,
        one.context.pdata.id,
        one.context.did,
    )
    assert (row["object_rollup_l1"], row["object_rollup_l2"], row["object_rollup_l3"]) == (
        "course",
        "unit",
        None,
    )
    assert (row["rollup_l1"], row["rollup_l2"]) == ("org", None)
    assert row["cdata"] == [{"type": "Session", "id": "s-1"}]
    assert row["tags"] == ["a", "b"]
    assert json.loads(row["edata"]) == one.edata


def test_every_sample_event_has_a_row_of_the_same_schema(sink, batch, table):
    events = [decode(encode(event)) for event in (samples() | unknown_samples()).values()]
    sink.send(batch(sink, events, 0))
    assert table().column("eid").to_pylist() == [event.eid for event in events]
    assert len(table().schema) == 33


def test_odd_values_become_nulls_and_not_other_types(sink, batch, event, table):
    odd = [
        event(0, syncts="soon", edata={"type": 5, "id": None, "pageid": "p"}),
        event(1, syncts=10**300, edata={}),
        event(2, ets=1e17, **{"context.rollup": 5}),
        event(3, edata=None, **{"context.rollup": {"l1": 5, "l2": "x"}}),
    ]
    sink.send(batch(sink, odd, 0))
    rows = table().to_pylist()
    assert [row["syncts"] for row in rows[:2]] == [None, None]
    assert (rows[0]["edata_type"], rows[0]["edata_pageid"]) == (None, "p")
    assert (rows[2]["ets"], rows[2]["rollup_l1"]) == (None, None)
    assert (rows[3]["rollup_l1"], rows[3]["rollup_l2"], rows[3]["edata"]) == (None, "x", "null")


def test_runs_are_joined_in_order(sink, batch, journal, table):
    sink.send(batch(sink, journal, 0))
    assert table().column("mid").to_pylist() == [f"m-{n}" for n in range(1_000)]


def test_the_same_range_gives_the_same_file(owner, batch, journal, tree, sink):
    sink.send(batch(sink, journal, 0))
    before = tree()
    again = owner(format="parquet", partition_by="none")
    assert again.send(batch(again, journal, 0))[0].duplicate
    with pytest.raises(RecutError):
        again.send(batch(again, journal[:10], 0))
    assert tree() == before


@pytest.mark.parametrize("codec", ["zstd", "gzip", "none"])
def test_a_parquet_archive_can_be_verified(owner, batch, journal, codec, tree):
    sink = owner(format="parquet", compression=codec)
    sink.send(batch(sink, journal, 0))
    assert verify(sink.config).ok
    key = next(key for key in tree() if key.endswith(".parquet"))
    with pytest.raises(ValueError, match="damaged"):
        sink._form.count([tree()[key][:-5]])


def test_explain_shows_the_rows(batch, journal):
    sink = S3Sink(S3Config(url="s3://bucket", format="parquet"))
    assert '"mid": "m-0", "eid": "INTERACT"' in sink.explain(batch(sink, journal[:1], 0))


def test_without_pyarrow_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "bridge_s3.parquet", raising=False)
    with pytest.raises(PluginError, match=r"pip install 'sunbird-bridge\[parquet\]'"):
        S3Sink(S3Config(url="memory:///x", format="parquet")).__enter__()


def test_a_big_object_tells_how_far_it_is(sink, batch, journal, caplog, monkeypatch):
    monkeypatch.setattr("bridge_s3.parquet.ROW_GROUP", 250)
    with caplog.at_level("INFO", logger="bridge.sinks.s3"):
        sink.send(batch(sink, journal[:700], 0))
    told = [message.rpartition(", ")[0] for message in caplog.messages]
    assert told == [
        "parquet: 3 of 7 packs written, 300 events",
        "parquet: 6 of 7 packs written, 600 events",
        "parquet: 7 of 7 packs written, 700 events",
    ]
    assert verify(sink.config).ok
