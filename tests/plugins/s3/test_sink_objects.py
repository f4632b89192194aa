"""What the archive writes, and what it says: names, groups, layouts, checks."""

from __future__ import annotations

import gzip

import pytest

from bridge.errors import PluginError, SetupError, TransientError
from bridge.sinks import DELIVERED, Batch
from bridge_s3 import S3Config, S3Sink, verify
from bridge_s3.folder import Folder
from bridge_s3.wire import DigestError


def test_late_events_land_in_their_own_hour_under_a_new_name(owner, batch, event, tree, contents, mids):
    hour = 3_600_000
    noon = 1_787_313_600_000
    sink = owner()
    sink.send(batch(sink, [event(n, syncts=noon) for n in range(10)], 0))
    sink.send(batch(sink, [event(n, syncts=noon + hour * (n < 19)) for n in range(10, 20)], 10))
    assert sum("hour=12" in key for key in tree()) == 2
    assert contents() == mids(0, 20)


def test_late_events_make_no_tiny_objects_where_that_is_asked(owner, batch, event, tree, contents, mids):
    noon = 1_787_313_600_000
    events = [event(n, syncts=noon if n % 10 else noon - n * 3_600_000) for n in range(200)]
    sink = owner(min_object_bytes=1_500)
    sink.send(batch(sink, events, 0))
    data = [key for key in tree() if key.startswith("data/")]
    assert len(data) == 2
    assert sum("dt=__HIVE_DEFAULT_PARTITION__/hour=__HIVE_DEFAULT_PARTITION__/" in key for key in data) == 1
    assert contents() == mids(0, 200)


def test_hostile_event_types_make_at_most_64_objects(owner, batch, event, tree, folder, contents, mids):
    eids = ["../../../etc/x", "..", ".", "a\0b", "a/b", "\u202e", "आ" * 400] + [f"E{n}" for n in range(300)]
    sink = owner(partition_eid=True)
    sink.send(batch(sink, [event(n, eid) for n, eid in enumerate(eids)], 0))
    assert len(tree()) == 65
    assert contents() == mids(0, 307)
    assert {path.name for path in folder.parent.iterdir()} == {"archive"}
    assert verify(sink.config).ok


def test_hostile_channels_and_streams_stay_below_the_archive(owner, batch, event, folder):
    sink = owner()
    events = [event(0, context={"channel": "../../x", "pdata": {"id": "p", "ver": "1"}, "env": "e"})]
    sink.send(batch(sink, events, 0, stream="../../../tmp/evil[3]"))
    assert {path.name for path in folder.parent.iterdir()} == {"archive"}
    assert [found.stream for found in verify(sink.config).streams] == ["../../../tmp/evil[3]"]


def test_at_least_once_writes_no_plans_and_repeats_itself_exactly(owner, batch, journal, tree):
    sink, again = owner(guarantee="at-least-once"), owner(guarantee="at-least-once")
    assert sink.send(batch(sink, journal[:90], 0)) == [DELIVERED] * 2
    before = tree()
    assert again.send(batch(again, journal[:90], 0)) == [DELIVERED] * 2
    assert tree() == before
    assert not any(key.startswith("_chunks") for key in before)


def test_at_least_once_loses_nothing_when_ranges_are_cut_differently(owner, batch, journal, contents, mids):
    sink, again = owner(guarantee="at-least-once"), owner(guarantee="at-least-once")
    sink.send(batch(sink, journal[:90], 0))
    again.send(batch(again, journal[:60], 0))
    again.send(batch(again, journal[60:100], 60))
    assert set(contents()) == set(mids(0, 100))


def test_secor_names_are_those_that_sunbirds_jobs_read(owner, batch, journal, tree):
    sink = owner(layout="secor")
    sink.send(batch(sink, journal, 5_000))
    days = [key for key in tree() if not key.startswith("_")]
    assert sorted(days) == ["2026-08-21-3-5000.json.gz", "2026-08-22-3-5000.json.gz"]
    assert gzip.decompress(tree()[days[0]]).splitlines()[0].startswith(b"{")
    assert verify(sink.config).ok


def test_secor_names_hold_the_end_too_where_nothing_guards_them(owner, batch, journal, tree):
    sink = owner(layout="secor", guarantee="at-least-once")
    sink.send(batch(sink, journal[:60], 5_000))
    assert list(tree()) == ["2026-08-21-3-5000-5060.json.gz"]


def test_packing_depends_on_events_alone(owner, journal):
    sink = owner()
    packs = sink.pack(journal[:100], sink.map_batch(journal[:100]))
    assert [(pack.group, pack.count) for pack in packs] == [
        ("dt=2026-08-21/hour=12", 60),
        ("dt=2026-08-21/hour=13", 40),
    ]
    assert packs == owner().pack(journal[:100], [sink.map(event) for event in journal[:100]])
    assert sink.pack([], []) == []


def test_explain_shows_the_plan_the_keys_and_every_byte(batch, journal):
    sink = S3Sink(S3Config(url="s3://bucket/archive"))  # not opened: nothing is asked of the network
    shown = sink.explain(batch(sink, journal[:70], 0))
    assert shown.startswith("PUT _chunks/telemetry/00003/00000000000000000000.json\n{\n")
    assert shown.count("PUT data/topic=telemetry/dt=2026-08-21/hour=1") == 2
    assert all(event.raw.decode() in shown for event in journal[:70])
    assert "PUT data/topic=journal/" in sink.explain(
        Batch(sink.pack(journal[:1], [journal[0].raw]), (), "archive")
    )


def test_a_body_that_arrives_damaged_twice_is_a_set_up_problem(owner, batch, journal, monkeypatch):
    sink = owner()

    def damaged(key, parts):
        raise DigestError("writing failed: 400 BadDigest")

    monkeypatch.setattr(sink._open, "create", damaged)
    with pytest.raises(TransientError):
        sink.send(batch(sink, journal[:10], 0))
    with pytest.raises(SetupError, match="400 BadDigest, again"):
        sink.send(batch(sink, journal[:10], 0, attempt=2))


def test_check_changes_nothing_and_says_what_it_found(owner, batch, journal, folder):
    sink = owner()
    assert sink.check() == f"file://{folder}: reachable, nothing archived yet"
    assert not folder.exists()
    sink.send(batch(sink, journal[:10], 0))
    assert sink.check() == f"file://{folder}: archive found"


def test_setup_proves_conditional_writes_with_one_small_object(owner, tree):
    sink = owner()
    assert sink.setup() == "the store honours If-None-Match"
    assert sink.setup() == "the store honours If-None-Match"
    assert tree() == {"_chunks/conditions.json": b'{"v":1}\n'}
    assert owner(guarantee="at-least-once").setup() == "nothing to set up for at-least-once"


def test_a_batch_of_two_streams_or_an_unopened_sink_is_a_fault(owner, batch, journal):
    sink = owner()
    with pytest.raises(PluginError, match="one stream"):
        sink.send(Batch([], (), "archive"))
    with pytest.raises(PluginError, match="not been opened"):
        S3Sink(sink.config).send(batch(sink, journal[:1], 0))


def test_ranges_are_never_written_side_by_side(owner, batch, journal):
    """A plan behind one that is not written yet could be stranded by a crash."""
    sink = owner()
    refused = []

    class Slow(Folder):
        def create(self, key, parts):
            if not refused:
                with pytest.raises(SetupError, match="leave max_in_flight at 1") as caught:
                    sink.send(batch(sink, journal[10:20], 10))
                refused.append(caught)
            return super().create(key, parts)

    sink._open = Slow(str(sink._open._root))
    sink.send(batch(sink, journal[:10], 0))
    assert refused
    sink.send(batch(sink, journal[10:20], 10))


def test_the_sink_asks_for_order(owner):
    sink = owner()
    assert sink.max_in_flight == 1
    assert (sink.limits.max_events, sink.limits.max_bytes, sink.limits.max_age) == (
        500_000,
        16 * 1024**2,
        300,
    )


def test_a_big_object_is_announced(owner, batch, journal, caplog, monkeypatch):
    monkeypatch.setattr("bridge_s3.sink.BIG", 1_000)
    sink = owner(compression="none", partition_by="none")
    with caplog.at_level("INFO", logger="bridge.sinks.s3"):
        sink.send(batch(sink, journal[:100], 0))
    (line,) = caplog.messages
    assert line.startswith("archive: writes data/topic=telemetry/")
    assert line.endswith(".jsonl, 0 MiB with 100 events")
