"""The stage `flatten`: SHARE_ITEM events as Sunbird makes them, but the same at every replay."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from bridge.errors import EventError
from bridge.events import Decoder, Level, decode
from bridge.testing import encode, make_event, nasty, samples


def share(*items, **edata):
    """A SHARE event of these items."""
    return decode(
        encode(make_event("SHARE", edata={"dir": "In", "type": "File", "items": list(items), **edata}))
    )


def item(name="do_1", **keys):
    return {"id": name, "type": "Content", "ver": "2", **keys}


def made(stage, event):
    staged = stage.apply(event)
    return staged[1:] if isinstance(staged, list) else []


def test_a_share_is_followed_by_an_event_for_each_item(flatten):
    before = share(item("do_1"), item("do_2"))
    kept, *items = flatten().apply(before)
    assert kept is before
    assert [(event.eid, event.object.id) for event in items] == [
        ("SHARE_ITEM", "do_1"),
        ("SHARE_ITEM", "do_2"),
    ]


def test_each_transfer_of_an_item_is_an_event(flatten):
    params = [{"transfers": 0, "size": 4096}, {"transfers": 12, "size": "123"}, {"size": ""}]
    items = made(flatten(), share(item(params=params)))
    assert [event.edata for event in items] == [
        {"dir": "In", "type": "download", "size": 4096},
        {"dir": "In", "type": "import", "size": 123},
        {"dir": "In", "type": "download", "size": 0},
    ]


def test_an_item_without_params_takes_the_type_of_the_share(flatten):
    (found,) = made(flatten(), share(item()))
    assert found.edata == {"dir": "In", "type": "File", "size": 0}


def test_an_item_without_transfers_in_its_params_makes_none(flatten):
    before = share(item(params=[]))
    assert flatten().apply(before) is before


def test_the_ids_are_the_same_at_every_replay_and_told_apart(flatten):
    before = share(item("do_1", params=[{"transfers": 0}, {"transfers": 1}]), item("do_2"))
    first, again = (made(flatten(), event) for event in (before, decode(before.raw)))
    assert [event.mid for event in first] == [f"{before.mid}-{number}" for number in range(3)]
    assert [event.raw for event in first] == [event.raw for event in again]
    assert len({event.identity for event in (before, *first)}) == 4


def test_who_when_and_where_are_those_of_the_share(flatten):
    document = make_event("SHARE", {"object.id": "do_course"}, syncts=1767605408000)
    document["@timestamp"] = "2026-01-05T09:30:08.000Z"
    document["flags"] = {"pp_validation_processed": True}
    (found,) = made(flatten(), decode(encode(document)))
    for key in ("ets", "actor", "context", "tags", "syncts", "@timestamp"):
        assert found.document[key] == document[key]
    assert found.document["object"]["rollup"] == {"l1": "do_course"}
    assert found.ver == "3.0"
    assert "flags" not in found.document


def test_numbers_of_the_share_keep_their_notation(flatten):
    raw = encode(make_event("SHARE")).replace(b'"ets":1767605407000', b'"ets":1.767605407E12')
    (found,) = made(flatten(), decode(raw))
    assert b'"ets":1.767605407E12' in found.raw


@pytest.mark.parametrize("eid", sorted(set(samples()) - {"SHARE"}))
def test_every_other_event_stays_as_it_is(flatten, eid):
    before = decode(encode(samples()[eid]))
    assert flatten().apply(before) is before
    assert flatten().apply_batch([before])[0] is before


@pytest.mark.parametrize(
    "edata",
    [
        {},
        {"items": None},
        {"items": "do_1"},
        {"items": []},
        {"items": [None, 7, "do_1"]},
        {"items": [{"params": [None, "x"]}]},
    ],
)
def test_a_share_of_nothing_stays_as_it_is(flatten, edata):
    before = Decoder(Level.ENVELOPE).event(encode(make_event("SHARE", edata=edata)))
    assert flatten().apply(before) is before


@pytest.mark.parametrize("size", [None, "much", [], {}, "nan", "inf", 1e308, -1, True, "1e400", 10**400])
def test_odd_sizes_are_numbers(flatten, size):
    before = Decoder(Level.ENVELOPE).event(
        json.dumps(make_event("SHARE", edata={"items": [{"params": [{"size": size}]}]})).encode()
    )
    (found,) = made(flatten(), before)
    assert isinstance(found.edata["size"], int | float)
    decode(found.raw)


def test_the_share_itself_can_be_left_out(flatten):
    staged = flatten(keep=False).apply(share(item()))
    assert [event.eid for event in staged] == ["SHARE_ITEM"]


def test_a_share_of_too_many_items_is_refused(flatten):
    with pytest.raises(EventError, match="raise max_items") as refused:
        flatten(max_items=2).apply(share(item(), item(params=[{}, {}])))
    assert (refused.value.code, refused.value.path) == ("too_many_items", "$.edata.items")
    assert len(made(flatten(max_items=2), share(item(), item()))) == 2


def test_a_limit_of_no_items_is_refused(flatten):
    with pytest.raises(ValidationError):
        flatten(max_items=0)


def test_nasty_events_come_through(flatten):
    for raw in nasty().values():
        try:
            event = decode(raw)
        except EventError:
            continue
        flatten().apply(event)


def test_real_shares_give_what_sunbird_gives(flatten, real_events):
    shares = [event for event in real_events if event.eid == "SHARE" and event.edata.get("items")]
    assert len(shares) > 3
    for event in shares:
        for found in made(flatten(), event):
            assert found.document.keys() >= {
                "eid",
                "ver",
                "mid",
                "ets",
                "actor",
                "context",
                "object",
                "edata",
            }
            assert found.edata.keys() <= {"dir", "type", "size"}
            assert found.edata["type"] in {"download", "import", event.edata.get("type")}


def test_the_golden_share_of_sunbird_gives_its_three_items(flatten, shared):
    """What ShareEventsFlattener makes of the first line: a download, an import, an item without params."""
    lines = (shared / "sunbird/samples/v3/dp-samza-share-events-flattener.jsonl").read_bytes().splitlines()
    event = Decoder(Level.ENVELOPE).event(lines[0])
    found = made(flatten(), event)
    assert [(one.edata["type"], one.edata["size"], one.object.ver) for one in found] == [
        ("download", 21084308, "1"),
        ("import", 123, "18"),
        ("File", 0, "1"),
    ]
    assert {one.object.rollup["l1"] for one in found} == {event.object.id}
