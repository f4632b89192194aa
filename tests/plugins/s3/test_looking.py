"""The plan chain on stores without conditional writes."""

from __future__ import annotations

import hashlib

import pytest

from bridge.errors import RecutError, SetupError, TransientError
from bridge.sinks import DELIVERED, DUPLICATE
from bridge_s3 import verify
from bridge_s3.folder import Folder
from bridge_s3.looking import LookingStore
from bridge_s3.planning import Fingerprint, Plan, write_chunk

KEY = "_chunks/t/00000/00000000000000000000.json"
PLAN = Plan("t[0]", 0, 10, 0, "g", ())


class Plain:
    """A store that overwrites; `late` is what another owner writes just after us."""

    def __init__(self, late=None, **objects):
        self.objects, self.late = dict(objects), late

    def replace(self, key, parts):
        self.objects[key] = b"".join(parts) if self.late is None else self.late

    def read(self, key):
        return self.objects.get(key)

    def size(self, key):
        return None if key not in self.objects else len(self.objects[key])

    def fingerprint(self, key):
        body = self.objects.get(key)
        return None if body is None else Fingerprint(len(body), hashlib.sha256(body).hexdigest())


def test_what_is_there_is_left_as_it_is():
    store = Plain(**{"data/x": b"old"})
    assert not LookingStore(store).create("data/x", [b"new"])
    assert store.objects == {"data/x": b"old"}


def test_what_is_absent_is_written():
    store = Plain()
    assert LookingStore(store).create("data/x", [b"a", b"b"])
    assert LookingStore(store).read("data/x") == b"ab"
    assert LookingStore(store).fingerprint("data/x").size == 2


def test_a_plan_that_another_owner_wrote_over_ours_is_adopted():
    other = Plan("t[0]", 0, 7, 0, "g", ())
    with pytest.raises(RecutError) as caught:
        write_chunk(LookingStore(Plain(late=other.encode())), KEY, PLAN, {})
    assert caught.value.end == 7


def test_a_plan_that_cannot_be_read_back_yet_is_waited_for():
    store = Plain()
    store.read = lambda _: None
    with pytest.raises(TransientError, match="another owner"):
        write_chunk(LookingStore(store), KEY, PLAN, {})


@pytest.fixture
def alone(owner, monkeypatch):
    """Sinks on a store that must not be asked for conditional writes."""

    def refuse(*_):
        raise AssertionError("this store has no conditional writes")

    monkeypatch.setattr(Folder, "create", refuse)
    return lambda **settings: owner(guarantee="single-owner", **settings)


def test_a_successor_adopts_what_its_predecessor_planned(alone, batch, journal, contents, mids):
    assert set(alone().send(batch(alone(), journal[:90], 0))) == {DELIVERED}
    successor = alone()
    with pytest.raises(RecutError) as caught:
        successor.send(batch(successor, journal[:60], 0))
    assert caught.value.end == 90
    assert set(successor.send(batch(successor, journal[:90], 0))) == {DUPLICATE}
    successor.send(batch(successor, journal[90:100], 90))
    assert contents() == mids(0, 100)
    assert verify(successor.config).ok


def test_a_predecessor_that_died_between_plan_and_objects_is_finished(alone, batch, journal, folder, tree):
    sink = alone()
    sink.send(batch(sink, journal[:90], 0))
    whole = tree()
    for key in [key for key in whole if not key.startswith("_")]:
        (folder / key).unlink()
    successor = alone()
    assert set(successor.send(batch(successor, journal[:90], 0))) == {DELIVERED}
    assert tree() == whole


def test_a_complete_object_is_never_replaced_by_an_incomplete_one(alone, batch, journal, tree):
    """As after the journal has lost the beginning of a range that was archived but not committed."""
    sink = alone()
    sink.send(batch(sink, journal[:50], 0))
    before = tree()
    with pytest.raises(SetupError, match="planned with other events"):
        alone().send(batch(sink, [*journal[20:50], *journal[:20]], 0))
    assert tree() == before


def test_secor_names_hold_the_end_too(alone, batch, journal, tree):
    sink = alone(layout="secor")
    sink.send(batch(sink, journal[:60], 5_000))
    assert "2026-08-21-3-5000-5060.json.gz" in tree()


def test_there_is_nothing_to_set_up_and_explain_shows_the_plan(alone, batch, journal):
    sink = alone()
    assert sink.setup() == "nothing to set up for single-owner"
    assert sink.explain(batch(sink, journal[:10], 0)).startswith("PUT _chunks/telemetry/00003/")
