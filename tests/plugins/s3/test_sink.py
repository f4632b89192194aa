"""The archive end to end in a folder: owners that crash, overlap, rewind and change their settings."""

from __future__ import annotations

import gzip
import json
from collections import Counter

import pytest

from bridge.errors import PluginError, RecutError, SetupError, TransientError
from bridge.sinks import DELIVERED, DUPLICATE, Batch, Span
from bridge_s3 import S3Config, S3Sink, verify
from bridge_s3.folder import Folder
from bridge_s3.wire import DigestError


class Crash(Exception):
    """The process ends here."""


class Dying(Folder):
    """A folder whose process dies after so many writes."""

    def __init__(self, root: str, writes: int) -> None:
        super().__init__(root)
        self._left = writes

    def create(self, key, parts):
        if self._left == 0:
            raise Crash
        self._left -= 1
        return super().create(key, parts)


def dying(sink: S3Sink, folder, writes: int) -> S3Sink:
    sink._open = Dying(str(folder), writes)
    return sink


def contents(tree: dict[str, bytes]) -> Counter[str]:
    """How often each mid is in the archive."""
    lines = [
        line for key, body in tree.items() if key.startswith("data/") for line in gzip.decompress(body).splitlines()
    ]
    return Counter(json.loads(line)["mid"] for line in lines)


def mids(start: int, end: int) -> Counter[str]:
    return Counter(f"m-{position}" for position in range(start, end))


def test_a_range_becomes_a_plan_and_an_object_an_hour(owner, batch, journal, tree):
    sink = owner()
    assert sink.send(batch(sink, journal[:90], 0)) == [DELIVERED] * 2
    generation = sink.config.generation
    name = f"{generation}-00003-00000000000000000000-00000000000000000090.jsonl.gz"
    assert sorted(tree()) == [
        "_chunks/telemetry/00003/00000000000000000000.json",
        f"data/topic=telemetry/dt=2026-08-21/hour=12/{name}",
        f"data/topic=telemetry/dt=2026-08-21/hour=13/{name}",
    ]
    assert contents(tree()) == mids(0, 90)


def test_events_keep_their_own_bytes_and_order(owner, batch, journal, tree):
    sink = owner(partition_by="none", compression="none")
    sink.send(batch(sink, journal[:250], 0))
    (body,) = (body for key, body in tree().items() if key.startswith("data/"))
    assert body == b"".join(event.raw + b"\n" for event in journal[:250])


def test_sending_again_changes_nothing_and_says_duplicate(owner, batch, journal, tree):
    first, second = owner(), owner()
    first.send(batch(first, journal[:50], 0))
    before = tree()
    assert second.send(batch(second, journal[:50], 0)) == [DUPLICATE]
    assert first.send(batch(first, journal[:50], 0, attempt=2)) == [DUPLICATE]
    assert tree() == before


@pytest.mark.parametrize("writes", range(6))
def test_a_crash_after_any_write_is_made_good_by_the_next_owner(owner, batch, journal, tree, folder, writes):
    first = dying(owner(), folder, writes)
    with pytest.raises(Crash):
        first.send(batch(first, journal[:200], 0))
    second = owner()
    assert second.send(batch(second, journal[:200], 0))
    assert contents(tree()) == mids(0, 200)
    assert verify(second.config).ok


def test_the_next_owner_adopts_the_end_that_was_planned(owner, batch, journal, tree, folder):
    first = dying(owner(), folder, 2)  # the plan (and its proof) only
    with pytest.raises(Crash):
        first.send(batch(first, journal[:120], 0))
    second = owner()
    for end in (80, 500):  # another clock closes the range elsewhere
        with pytest.raises(RecutError) as caught:
            second.send(batch(second, journal[:end], 0))
        assert caught.value.end == 120
    second.send(batch(second, journal[:120], 0))
    second.send(batch(second, journal[120:500], 120))
    assert contents(tree()) == mids(0, 500)
    assert verify(second.config).ok


def test_a_zombie_cannot_add_or_replace_anything(owner, batch, journal, tree):
    zombie, heir = owner(), owner()
    zombie.send(batch(zombie, journal[:100], 0))
    heir.send(batch(heir, journal[100:300], 100))
    heir.send(batch(heir, journal[300:400], 300))
    before = tree()
    with pytest.raises(RecutError) as caught:
        zombie.send(batch(zombie, journal[100:250], 100))
    assert caught.value.end == 300
    assert zombie.send(batch(zombie, journal[100:300], 100))[0] == DUPLICATE
    assert tree() == before
    assert contents(tree()) == mids(0, 400)


def test_a_shorter_rerun_never_replaces_a_complete_object(owner, batch, journal, tree):
    """The journal's retention has eaten a part of the range: what is stored stays."""
    first, second = owner(), owner()
    first.send(batch(first, journal[:100], 0))
    before = tree()
    with pytest.raises(SetupError, match="lies inside the archived range 0-100"):
        second.send(batch(second, journal[40:140], 40))
    assert tree() == before


@pytest.mark.parametrize("ends", [[100, 200, 300], [7, 8, 300], [299, 300], [300]])
def test_wherever_the_clock_cuts_every_event_is_there_once(owner, batch, journal, tree, ends):
    sink, start = owner(), 0
    for end in ends:
        sink.send(batch(sink, journal[start:end], start))
        start = end
    assert contents(tree()) == mids(0, 300)
    assert verify(sink.config).ok


def test_the_same_plan_gives_the_same_bytes_in_any_process(owner, batch, journal, tree, tmp_path):
    sink = owner()
    sink.send(batch(sink, journal[:300], 0))
    other = owner(url=f"file://{tmp_path}/other")
    other.send(batch(other, journal[:300], 0))
    copy = {path.relative_to(tmp_path / "other").as_posix(): path for path in (tmp_path / "other").rglob("*")}
    for key, body in tree().items():
        assert copy[key].read_bytes() == body


def test_streams_have_chains_of_their_own(owner, batch, journal, tree):
    sink = owner()
    sink.send(batch(sink, journal[:10], 0, stream="telemetry/3"))
    sink.send(batch(sink, journal[10:20], 0, stream="telemetry/4"))
    sink.send(batch(sink, journal[20:30], 0, stream="journal"))
    assert contents(tree()) == mids(0, 30)
    assert [found.stream for found in verify(sink.config).streams] == ["journal", "telemetry/3", "telemetry/4"]


def test_a_range_in_which_everything_was_filtered_is_planned_too(owner, batch, journal, tree):
    sink = owner()
    assert sink.send(Batch([], (), "archive", 1, (Span("telemetry/3", 0, 50, 0),))) == []
    sink.send(batch(sink, journal[50:60], 50))
    zombie = owner()
    with pytest.raises(RecutError) as caught:
        zombie.send(batch(zombie, journal[50:60], 0))
    assert caught.value.end == 50
    assert contents(tree()) == mids(50, 60)
    assert verify(sink.config).ok


def test_an_operator_who_rewinds_to_a_boundary_gets_nothing_twice(owner, batch, journal, tree):
    sink = owner()
    sink.send(batch(sink, journal[:100], 0))
    sink.send(batch(sink, journal[100:200], 100))
    rewound = owner()
    assert rewound.send(batch(rewound, journal[:100], 0))[0] == DUPLICATE
    with pytest.raises(RecutError):
        rewound.send(batch(rewound, journal[100:150], 100))
    assert contents(tree()) == mids(0, 200)


def test_an_operator_who_rewinds_into_a_range_is_told_where_to_go(owner, batch, journal):
    sink = owner()
    sink.send(batch(sink, journal[:100], 0))
    rewound = owner()
    with pytest.raises(SetupError, match="0-100: set the sink's cursor to one of these"):
        rewound.send(batch(rewound, journal[50:70], 50))


def test_a_gap_that_an_operator_left_can_be_filled_later(owner, batch, journal, tree):
    sink = owner()
    sink.send(batch(sink, journal[:100], 0))
    skipped = owner()
    skipped.send(batch(skipped, journal[200:300], 200))
    assert verify(sink.config).lines()[1] == "telemetry/3: gap: no plan covers 100-200"
    back = owner()
    back.send(batch(back, journal[100:150], 100))
    with pytest.raises(RecutError) as caught:
        back.send(batch(back, journal[150:280], 150))
    assert caught.value.end == 200
    back.send(batch(back, journal[150:200], 150))
    assert back.send(batch(back, journal[200:300], 200))[0] == DUPLICATE
    assert contents(tree()) == mids(0, 300)
    assert verify(sink.config).ok


def test_a_plan_of_other_settings_holds_the_sink_until_they_are_back(owner, batch, journal, tree, folder):
    first = dying(owner(), folder, 2)
    with pytest.raises(Crash):
        first.send(batch(first, journal[:100], 0))
    changed = owner(compression="zstd")
    with pytest.raises(SetupError, match="other settings"):
        changed.send(batch(changed, journal[:100], 0))
    again = owner()
    again.send(batch(again, journal[:100], 0))
    changed.send(batch(changed, journal[100:200], 100))
    assert len(tree()) == 2 + 2 + 3


def test_another_journal_cannot_pass_for_this_one(owner, batch, journal, tree):
    sink, stranger = owner(), owner()
    sink.send(batch(sink, journal[:100], 0))
    before = tree()
    with pytest.raises(SetupError, match="another journal"):
        stranger.send(batch(stranger, journal[500:600], 0))
    assert tree() == before


def test_a_foreign_object_under_a_planned_key_is_kept_and_stops_the_sink(owner, batch, journal, folder):
    sink = owner()
    key = f"data/topic=telemetry/dt=2026-08-21/hour=12/{sink.config.generation}-00003-{0:020d}-{10:020d}.jsonl.gz"
    (folder / key).parent.mkdir(parents=True)
    (folder / key).write_bytes(b"precious")
    with pytest.raises(SetupError, match="exists with other content"):
        sink.send(batch(sink, journal[:10], 0))
    assert (folder / key).read_bytes() == b"precious"


def test_late_events_land_in_their_own_hour_under_a_new_name(owner, batch, event, tree):
    hour = 3_600_000
    noon = 1_787_313_600_000
    sink = owner()
    sink.send(batch(sink, [event(n, syncts=noon) for n in range(10)], 0))
    sink.send(batch(sink, [event(n, syncts=noon + hour * (n < 19)) for n in range(10, 20)], 10))
    assert sum("hour=12" in key for key in tree()) == 2
    assert contents(tree()) == mids(0, 20)


def test_late_events_make_no_tiny_objects_where_that_is_asked(owner, batch, event, tree):
    noon = 1_787_313_600_000
    events = [event(n, syncts=noon if n % 10 else noon - n * 3_600_000) for n in range(200)]
    sink = owner(min_object_bytes=1_500)
    sink.send(batch(sink, events, 0))
    data = [key for key in tree() if key.startswith("data/")]
    assert len(data) == 2
    assert sum("dt=__HIVE_DEFAULT_PARTITION__/hour=__HIVE_DEFAULT_PARTITION__/" in key for key in data) == 1
    assert contents(tree()) == mids(0, 200)


def test_hostile_event_types_make_at_most_64_objects(owner, batch, event, tree, folder):
    eids = ["../../../etc/x", "..", ".", "a\0b", "a/b", "\u202e", "आ" * 400] + [f"E{n}" for n in range(300)]
    sink = owner(partition_eid=True)
    sink.send(batch(sink, [event(n, eid) for n, eid in enumerate(eids)], 0))
    assert len(tree()) == 65
    assert contents(tree()) == mids(0, 307)
    assert {path.name for path in folder.parent.iterdir()} == {"archive"}
    assert verify(sink.config).ok


def test_hostile_channels_and_streams_stay_below_the_archive(owner, batch, event, tree, folder):
    sink = owner()
    events = [event(0, context={"channel": "../../x", "pdata": {"id": "p", "ver": "1"}, "env": "e"})]
    sink.send(batch(sink, events, 0, stream="../../../tmp/evil/3"))
    assert {path.name for path in folder.parent.iterdir()} == {"archive"}
    assert [found.stream for found in verify(sink.config).streams] == ["../../../tmp/evil/3"]


def test_at_least_once_writes_no_plans_and_repeats_itself_exactly(owner, batch, journal, tree):
    sink, again = owner(guarantee="at-least-once"), owner(guarantee="at-least-once")
    assert sink.send(batch(sink, journal[:90], 0)) == [DELIVERED] * 2
    before = tree()
    assert again.send(batch(again, journal[:90], 0)) == [DELIVERED] * 2
    assert tree() == before
    assert not any(key.startswith("_chunks") for key in before)


def test_at_least_once_loses_nothing_when_ranges_are_cut_differently(owner, batch, journal, tree):
    sink, again = owner(guarantee="at-least-once"), owner(guarantee="at-least-once")
    sink.send(batch(sink, journal[:90], 0))
    again.send(batch(again, journal[:60], 0))
    again.send(batch(again, journal[60:100], 60))
    assert set(contents(tree())) == set(mids(0, 100))


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
    assert "PUT data/topic=journal/" in sink.explain(Batch(sink.pack(journal[:1], [journal[0].raw]), (), "archive"))


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


def test_the_sink_asks_for_order(owner):
    sink = owner()
    assert sink.max_in_flight == 1
    assert (sink.limits.max_events, sink.limits.max_bytes, sink.limits.max_age) == (500_000, 16 * 1024**2, 300)
