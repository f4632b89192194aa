"""The archive end to end in a folder: owners that crash, overlap, rewind and change their settings."""

from __future__ import annotations

import pytest

from bridge.errors import RecutError, SetupError
from bridge.sinks import DELIVERED, DUPLICATE, Batch, Span
from bridge_s3 import S3Sink, verify
from bridge_s3.folder import Folder


class CrashError(Exception):
    """The process ends here."""


class Dying(Folder):
    """A folder whose process dies after so many writes."""

    def __init__(self, root: str, writes: int) -> None:
        super().__init__(root)
        self._left = writes

    def create(self, key, parts):
        if self._left == 0:
            raise CrashError
        self._left -= 1
        return super().create(key, parts)


def dying(sink: S3Sink, folder, writes: int) -> S3Sink:
    sink._open = Dying(str(folder), writes)
    return sink


def test_a_range_becomes_a_plan_and_an_object_an_hour(owner, batch, journal, tree, contents, mids):
    sink = owner()
    assert sink.send(batch(sink, journal[:90], 0)) == [DELIVERED] * 2
    generation = sink.config.generation
    name = f"{generation}-00003-00000000000000000000-00000000000000000090.jsonl.gz"
    assert sorted(tree()) == [
        "_chunks/telemetry/00003/00000000000000000000.json",
        f"data/topic=telemetry/dt=2026-08-21/hour=12/{name}",
        f"data/topic=telemetry/dt=2026-08-21/hour=13/{name}",
    ]
    assert contents() == mids(0, 90)


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
def test_a_crash_after_any_write_is_made_good_by_the_next_owner(
    owner, batch, journal, folder, writes, contents, mids
):
    first = dying(owner(), folder, writes)
    with pytest.raises(CrashError):
        first.send(batch(first, journal[:200], 0))
    second = owner()
    assert second.send(batch(second, journal[:200], 0))
    assert contents() == mids(0, 200)
    assert verify(second.config).ok


def test_the_next_owner_adopts_the_end_that_was_planned(owner, batch, journal, folder, contents, mids):
    first = dying(owner(), folder, 2)  # the plan (and its proof) only
    with pytest.raises(CrashError):
        first.send(batch(first, journal[:120], 0))
    second = owner()
    for end in (80, 500):  # another clock closes the range elsewhere
        with pytest.raises(RecutError) as caught:
            second.send(batch(second, journal[:end], 0))
        assert caught.value.end == 120
    second.send(batch(second, journal[:120], 0))
    second.send(batch(second, journal[120:500], 120))
    assert contents() == mids(0, 500)
    assert verify(second.config).ok


def test_a_zombie_cannot_add_or_replace_anything(owner, batch, journal, tree, contents, mids):
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
    assert contents() == mids(0, 400)


def test_a_shorter_rerun_never_replaces_a_complete_object(owner, batch, journal, tree):
    """The journal's retention has eaten a part of the range: what is stored stays."""
    first, second = owner(), owner()
    first.send(batch(first, journal[:100], 0))
    before = tree()
    with pytest.raises(SetupError, match="lies inside the archived range 0-100"):
        second.send(batch(second, journal[40:140], 40))
    assert tree() == before


@pytest.mark.parametrize("ends", [[100, 200, 300], [7, 8, 300], [299, 300], [300]])
def test_wherever_the_clock_cuts_every_event_is_there_once(owner, batch, journal, ends, contents, mids):
    sink, start = owner(), 0
    for end in ends:
        sink.send(batch(sink, journal[start:end], start))
        start = end
    assert contents() == mids(0, 300)
    assert verify(sink.config).ok


def test_the_same_plan_gives_the_same_bytes_in_any_process(owner, batch, journal, tree, tmp_path):
    sink = owner()
    sink.send(batch(sink, journal[:300], 0))
    other = owner(url=f"file://{tmp_path}/other")
    other.send(batch(other, journal[:300], 0))
    copy = {path.relative_to(tmp_path / "other").as_posix(): path for path in (tmp_path / "other").rglob("*")}
    for key, body in tree().items():
        assert copy[key].read_bytes() == body


def test_streams_have_chains_of_their_own(owner, batch, journal, contents, mids):
    sink = owner()
    sink.send(batch(sink, journal[:10], 0, stream="telemetry[3]"))
    sink.send(batch(sink, journal[10:20], 0, stream="telemetry[4]"))
    sink.send(batch(sink, journal[20:30], 0, stream="journal"))
    assert contents() == mids(0, 30)
    assert [found.stream for found in verify(sink.config).streams] == [
        "journal",
        "telemetry[3]",
        "telemetry[4]",
    ]


def test_a_range_in_which_everything_was_filtered_is_planned_too(owner, batch, journal, contents, mids):
    sink = owner()
    assert sink.send(Batch([], (), "archive", 1, (Span("telemetry[3]", 0, 50, 0),))) == []
    sink.send(batch(sink, journal[50:60], 50))
    zombie = owner()
    with pytest.raises(RecutError) as caught:
        zombie.send(batch(zombie, journal[50:60], 0))
    assert caught.value.end == 50
    assert contents() == mids(50, 60)
    assert verify(sink.config).ok


def test_an_operator_who_rewinds_to_a_boundary_gets_nothing_twice(owner, batch, journal, contents, mids):
    sink = owner()
    sink.send(batch(sink, journal[:100], 0))
    sink.send(batch(sink, journal[100:200], 100))
    rewound = owner()
    assert rewound.send(batch(rewound, journal[:100], 0))[0] == DUPLICATE
    with pytest.raises(RecutError):
        rewound.send(batch(rewound, journal[100:150], 100))
    assert contents() == mids(0, 200)


def test_an_operator_who_rewinds_into_a_range_is_told_where_to_go(owner, batch, journal):
    sink = owner()
    sink.send(batch(sink, journal[:100], 0))
    rewound = owner()
    with pytest.raises(SetupError, match="0-100: set the sink's cursor to one of these"):
        rewound.send(batch(rewound, journal[50:70], 50))


def test_a_gap_that_an_operator_left_can_be_filled_later(owner, batch, journal, contents, mids):
    sink = owner()
    sink.send(batch(sink, journal[:100], 0))
    skipped = owner()
    skipped.send(batch(skipped, journal[200:300], 200))
    assert verify(sink.config).lines()[1] == "telemetry[3]: gap: no plan covers 100-200"
    back = owner()
    back.send(batch(back, journal[100:150], 100))
    with pytest.raises(RecutError) as caught:
        back.send(batch(back, journal[150:280], 150))
    assert caught.value.end == 200
    back.send(batch(back, journal[150:200], 150))
    assert back.send(batch(back, journal[200:300], 200))[0] == DUPLICATE
    assert contents() == mids(0, 300)
    assert verify(sink.config).ok


def test_a_plan_of_other_settings_holds_the_sink_until_they_are_back(owner, batch, journal, tree, folder):
    first = dying(owner(), folder, 2)
    with pytest.raises(CrashError):
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


def test_a_journal_that_ends_before_the_plan_is_told_apart_and_tried_again(owner, batch, journal):
    first, second = owner(), owner()
    first.send(batch(first, journal[:100], 0))
    short = batch(second, journal[:60], 0)
    for _ in range(2):
        with pytest.raises(RecutError):
            second.send(short)
        with pytest.raises(SetupError, match="planned up to 100, but ends at 60: is this another journal"):
            second.send(short)
    assert second.send(batch(second, journal[:100], 0))[0] == DUPLICATE


def test_a_foreign_object_under_a_planned_key_is_kept_and_stops_the_sink(owner, batch, journal, folder):
    sink = owner()
    name = f"{sink.config.generation}-00003-{0:020d}-{10:020d}.jsonl.gz"
    key = f"data/topic=telemetry/dt=2026-08-21/hour=12/{name}"
    (folder / key).parent.mkdir(parents=True)
    (folder / key).write_bytes(b"precious")
    with pytest.raises(SetupError, match="exists with other content"):
        sink.send(batch(sink, journal[:10], 0))
    assert (folder / key).read_bytes() == b"precious"
