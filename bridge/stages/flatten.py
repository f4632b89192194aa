"""The stage `flatten`: a SHARE event, and a SHARE_ITEM event for each thing that was shared.

As in Sunbird's preprocessor (ShareEventsFlattener), but for `mid`, which is random there: here a replay
makes the same events again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from bridge.errors import EventError
from bridge.events import Event, rewrite
from bridge.hookspecs import hookimpl
from bridge.stages.base import Stage, StageConfig
from bridge.stages.jsonvalues import read_fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bridge.stages.base import Staged

__all__ = ["FlattenConfig", "FlattenStage", "bridge_stages"]

SHARED = ("ets", "actor", "context", "tags", "syncts", "@timestamp")
OBJECT_KEYS = ("id", "type", "ver")


class FlattenConfig(StageConfig):
    """SHARE events with one SHARE_ITEM event for each item, as Sunbird's pipeline makes them."""

    keep: bool = Field(default=True, description="false leaves out the SHARE event itself.")
    max_items: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="A SHARE event that makes more than this is dead-lettered.",
    )


class FlattenStage(Stage[FlattenConfig]):
    """Leaves every other event as it is."""

    name = "flatten"
    config_type = FlattenConfig

    def apply(self, event: Event) -> Staged:
        """The SHARE event, then its items: one for each of an item's `params`, or one if it has none."""
        if event.eid != "SHARE":
            return event
        items = list(_items(event, self.config.max_items))
        if not items:
            return event
        common = {key: value for key, value in read_fields(event.raw).items() if key in SHARED}
        made = [_item_event(event, common, number, item) for number, item in enumerate(items)]
        return [event, *made] if self.config.keep else made

    def apply_batch(self, events: Sequence[Event]) -> Sequence[Staged]:
        """As `apply`, without a call for each event that is no SHARE."""
        return [self.apply(event) if event.eid == "SHARE" else event for event in events]


_Item = tuple[dict[str, Any], dict[str, Any]]  # a SHARE_ITEM's object and edata


def _items(event: Event, most: int) -> Iterator[_Item]:
    edata = event.edata
    rollup = {"l1": event.object.id} if event.object and event.object.id else {}
    count = 0
    for item in _objects(edata.get("items")):
        named = {key: item[key] for key in OBJECT_KEYS if isinstance(item.get(key), str)}
        thing = {**named, "rollup": rollup} if rollup else named
        for what in _transfers(item, edata.get("type")):
            count += 1
            if count > most:
                raise EventError(
                    "too_many_items", f"share at most {most} items, or raise max_items", "$.edata.items"
                )
            found = {"dir": edata.get("dir"), **what}
            yield thing, {key: value for key, value in found.items() if value is not None}


def _transfers(item: dict[str, Any], kind: object) -> Iterator[dict[str, Any]]:
    """`type` and `size` of each transfer of an item; what was never passed on before is a download."""
    if not isinstance(item.get("params"), list):
        yield {"type": kind, "size": 0}
    for param in _objects(item.get("params")):
        fresh = _number(param.get("transfers")) == 0
        yield {"type": "download" if fresh else "import", "size": _number(param.get("size"))}


def _item_event(event: Event, common: dict[str, Any], number: int, item: _Item) -> Event:
    thing, edata = item
    head = {"eid": "SHARE_ITEM", "ver": "3.0", "mid": f"{event.mid}-{number}"}
    return rewrite(event, {**head, **common, "object": thing, "edata": edata})


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _number(value: Any) -> float:
    """A number, or one written as text; 0 for anything else, as in Sunbird."""
    try:
        number = float(value) if isinstance(value, int | float | str) else 0.0
    except (ValueError, OverflowError):
        return 0
    if number != number or abs(number) == float("inf"):  # noqa: PLR0124 - NaN alone differs from itself
        return 0
    return int(number) if number.is_integer() else number


@hookimpl
def bridge_stages() -> list[type[Stage[Any]]]:
    """The stage `flatten`."""
    return [FlattenStage]
