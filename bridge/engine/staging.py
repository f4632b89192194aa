"""Stages at work: which events each gets, what it made of them, and whose fault a failure is. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import compress
from operator import is_
from typing import TYPE_CHECKING, Any

from bridge.errors import EventError
from bridge.events import Event
from bridge.validation import Decoded, Invalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bridge.engine.routing import Router
    from bridge.stages.base import Stage

__all__ = ["Chain", "Link"]


@dataclass(frozen=True, slots=True)
class Link:
    """One stage of a chain: its id in the configuration, and the rules for what it gets."""

    id: str
    stage: Stage[Any]
    router: Router


@dataclass(slots=True)
class _Columns:
    """Events under way with the places they came from, and what has left the way."""

    events: list[Event]
    origins: list[int]
    failed: list[Invalid] = field(default_factory=list)
    dropped: int = 0
    derived: int = 0


class Chain:
    """Stages one after the other. A chain of none changes nothing, and costs nothing."""

    def __init__(self, links: Sequence[Link] = ()) -> None:
        self.links = tuple(links)

    def run(self, decoded: Decoded) -> Decoded:
        """What the stages make of decoded events; their failures come behind what was invalid before."""
        if not self.links or not decoded.events:
            return decoded
        origins = decoded.origins if decoded.origins is not None else range(len(decoded.events))
        columns = _Columns(list(decoded.events), list(origins))
        for link in self.links:
            _pass(link, columns)
        return Decoded(
            columns.events,
            columns.origins,
            [*decoded.invalid, *columns.failed],
            decoded.dropped + columns.dropped,
            decoded.derived + columns.derived,
        )


def _pass(link: Link, columns: _Columns) -> None:
    wanted = link.router.select(columns.events)
    chosen = columns.events if wanted is None else list(compress(columns.events, wanted))
    results = _results(link, chosen)
    if all(map(is_, results, chosen)):
        return
    before, origins = columns.events, columns.origins
    columns.events, columns.origins = [], []
    given = iter(results)
    for index, (event, origin) in enumerate(zip(before, origins, strict=True)):
        result = next(given) if wanted is None or wanted[index] else event
        _settle(link, columns, event, origin, result)


def _results(link: Link, events: Sequence[Event]) -> Sequence[Any]:
    """One result an event: what the stage returned, or the EventError it is refused with."""
    if not events:
        return []
    try:
        results = link.stage.apply_batch(events)
        if len(results) == len(events):
            return results
    except Exception:  # noqa: BLE001, S110 - boundary: the culprit is found one by one
        pass
    return [_result(link, event) for event in events]


def _result(link: Link, event: Event) -> Any:
    try:
        return link.stage.apply(event)
    except EventError as error:
        return error
    except Exception as error:  # noqa: BLE001 - boundary: poison for a plugin is a dead letter, not a crash
        # The text of a stranger's exception may quote the event; its kind is enough to find the fault.
        return EventError("plugin_error", f"failed with {type(error).__name__}")


def _settle(link: Link, columns: _Columns, event: Event, origin: int, result: Any) -> None:
    try:
        made = list(_made(result))
    except EventError as error:
        reason = f"stage {link.id}: {error.reason}"
        columns.failed.append(
            Invalid(origin, event.source, error.code, error.path, reason, event.eid, event.mid, "stage")
        )
        return
    columns.dropped += not made
    columns.derived += max(0, len(made) - 1)
    for new in made:
        if new is not event:
            new.original = event.source
            new.received = event.received
    columns.events += made
    columns.origins += [origin] * len(made)


def _made(result: Any) -> Iterator[Event]:
    """The events of a result; EventError if there is anything else in it."""
    if isinstance(result, EventError):
        raise result
    if result is None:
        return
    for event in result if isinstance(result, list | tuple) else (result,):
        if not isinstance(event, Event):
            raise EventError("plugin_error", f"returned {type(event).__name__}, not an Event")
        yield event
