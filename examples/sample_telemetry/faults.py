"""How real producers go wrong: each fault is one that production pipelines were seen to refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .recorder import Json

if TYPE_CHECKING:
    from random import Random

ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

Damage = Callable[[Json], Any]


def encode(event: Json) -> bytes:
    """Encode an event as one line of UTF-8 JSON, without a newline at the end."""
    return ENCODER.encode(event).encode()


def spoil(event: Json, rng: Random) -> tuple[str, bytes]:
    """Damage a copy of the event; returns the fault's name and the bytes.

    No level but `envelope` accepts the result, whatever the fault.
    """
    eid = event["eid"]
    if rng.random() < 0.12:
        return "not JSON", _garbage(event, rng)
    own = BY_EID.get(eid)
    name, damage = own if own and rng.random() < 0.7 else rng.choice(ANYWHERE)
    copy = json.loads(ENCODER.encode(event))
    damage(copy)
    return name, encode(copy)


def _garbage(event: Json, rng: Random) -> bytes:
    """Cut the event off, or leave what a proxy wrote into the stream."""
    if rng.random() < 0.5:
        line = encode(event)
        return line[: len(line) // 2]
    return f"{event['ets']} WARN upstream timed out, request {event['mid']} dropped".encode()


def _without(*path: str) -> Damage:
    """Leave a required key out."""

    def damage(event: Json) -> None:
        place = event
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return damage


def _class_list(event: Json) -> None:
    event["context"]["cdata"] = [{"type": "Class", "id": ["Class 5", "Class 6"]}]


def _quoted_disk(event: Json) -> None:
    event["edata"]["dspec"] = {"os": "Android 9", "make": "Generic", "edisk": "12.5", "idisk": "25.1"}


def _page_number(event: Json) -> None:
    event["edata"]["pageid"] = 3


def _quoted_params(event: Json) -> None:
    event["edata"]["params"] = json.dumps(event["edata"].get("params", []))


def _rollup_list(event: Json) -> None:
    event["object"] = {**event["object"], "rollup": []}


def _quoted_time(event: Json) -> None:
    event["ets"] = str(event["ets"])


def _numeric_version(event: Json) -> None:
    event["ver"] = 3.0


def _genie_tags(event: Json) -> None:
    event["tags"] = [{"genie": event["tags"]}]


BY_EID: dict[str, tuple[str, Damage]] = {
    "INTERACT": ("INTERACT without edata.id", _without("edata", "id")),
    "ERROR": ("ERROR without edata.err", _without("edata", "err")),
    "START": ("START with dspec.edisk as text", _quoted_disk),
    "IMPRESSION": ("IMPRESSION with pageid as a number", _page_number),
    "LOG": ("LOG with params as text", _quoted_params),
    "SEARCH": ("SEARCH without edata.size", _without("edata", "size")),
}
ANYWHERE: tuple[tuple[str, Damage], ...] = (
    ("cdata id as an array", _class_list),
    ("no context.channel", _without("context", "channel")),
    ("no context.pdata", _without("context", "pdata")),
    ("no mid", _without("mid")),
    ("object.rollup as an array", _rollup_list),
    ("ets as text", _quoted_time),
    ("ver as a number", _numeric_version),
    ("tags of objects", _genie_tags),
)
