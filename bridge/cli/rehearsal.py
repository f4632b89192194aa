"""A replay without sending: what would become of each letter."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any

from bridge.cli.output import say, table
from bridge.deadletters import REJECTS, SqliteDeadLetters
from bridge.engine.mapping import map_events
from bridge.engine.routing import Router
from bridge.journals.base import Page

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bridge.cli.host import Host
    from bridge.deadletters import DeadLetter, Filter
    from bridge.engine.assembly import Stages
    from bridge.sinks import Sink
    from bridge.state import State

__all__ = ["rehearse"]

PAGE = 200
OUTCOMES = ("would send", "filtered", "would be refused", "still invalid")


def rehearse(host: Host, state: State, parts: Sequence[Filter], limit: int | None) -> int:
    """Print what a replay of these letters would do; sends nothing, changes nothing."""
    store, stages = SqliteDeadLetters(state), host.stages()
    rows: list[tuple[object, ...]] = []
    stages.open()
    for part in parts:
        owner = part.sink or REJECTS
        sinks = list(host.settings.enabled) if owner == REJECTS else [owner]
        tallies: dict[str, Counter[str]] = {sink: Counter() for sink in sinks}
        rehearsals = [_Rehearsal(host, stages, sink, tallies[sink]) for sink in sinks]
        for letters in _pages(store.find(part, limit)):
            limit = None if limit is None else limit - len(letters)
            for rehearsal in rehearsals:
                rehearsal.take(letters)
        rows += [(owner, sink, *(tallies[sink][name] for name in OUTCOMES)) for sink in sinks]
    stages.close()
    if rows:
        table(("letters of", "sent to", *OUTCOMES), rows)
    say("nothing was sent (--dry-run)" if rows else "no dead letters to replay")
    return 0


class _Rehearsal:
    """One sink's way as far as the sending."""

    def __init__(self, host: Host, stages: Stages, name: str, tally: Counter[str]) -> None:
        settings = host.settings.sinks[name]
        self._sink: Sink[Any, Any] = host.sink(name)
        self._decoder = host.decoder()
        self._chains = (stages.shared, stages.of(name))
        self._router = Router(settings.route)
        self._max_bytes = settings.limits(self._sink).max_payload_bytes
        self._tally = tally

    def take(self, letters: Sequence[DeadLetter]) -> None:
        """Count what would become of these."""
        payloads = [letter.payload for letter in letters]
        decoded = self._decoder.batch(payloads)
        for chain in self._chains:
            decoded = chain.run(decoded)
        wanted = self._router.select(decoded.events)
        events = (
            decoded.events
            if wanted is None
            else [e for e, keep in zip(decoded.events, wanted, strict=True) if keep]
        )
        page = Page("rehearsal", 0, len(payloads), payloads, 0, range(1, len(payloads) + 1))
        mapped = map_events(self._sink, page, events, [0] * len(events), self._max_bytes)
        self._tally["still invalid"] += len(decoded.invalid)
        self._tally["filtered"] += decoded.dropped + len(decoded.events) - len(events) + mapped.declined
        self._tally["would be refused"] += len(mapped.doomed)
        self._tally["would send"] += len(mapped.payloads)


def _pages(letters: Iterator[DeadLetter]) -> Iterator[list[DeadLetter]]:
    while page := list(islice(letters, PAGE)):
        yield page
