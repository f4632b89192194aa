"""Leave out of posted batches what was imported from a file before.

A phone whose telemetry was shared as a file posts the same batches, under the same ids, once it is
on the network. The ledger of the imports knows them, so they cost nothing behind this point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.intake.ledger import batch_key, mark_of, marks_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.intake.ledger import Ledger
    from bridge.validation import Decoder

__all__ = ["Imported"]


class Imported:
    """Asks the ledger about batches by their ids, and only about the events of those that it knows.

    `decoder` judges as the imports do, since a mark depends on whether an event is valid.
    """

    def __init__(self, ledger: Ledger, decoder: Decoder) -> None:
        self._ledger = ledger
        self._decoder = decoder

    def fresh(self, batches: Sequence[tuple[str, Sequence[bytes]]]) -> list[Sequence[bytes]]:
        """Of each batch (its id, "" for none, and its events) the events that no file has brought."""
        keys = [batch_key(identifier) if identifier else b"" for identifier, _ in batches]
        wanted = {key for key in keys if key}
        known = self._ledger.known(wanted) if wanted else {}
        return [
            self._without(events, known[key]) if key in known else events
            for key, (_, events) in zip(keys, batches, strict=True)
        ]

    def _without(self, events: Sequence[bytes], known: frozenset[bytes]) -> Sequence[bytes]:
        """These events but for those that are known; an array of events is known if all of them are."""
        decoded = self._decoder.batch(events)
        places = range(len(decoded.events)) if decoded.origins is None else decoded.origins
        marks = zip(places, marks_of(decoded.events), strict=True)
        found = [*marks, *((one.index, mark_of(one)) for one in decoded.invalid)]
        old = {place for place, _ in found} - {place for place, mark in found if mark not in known}
        return [event for place, event in enumerate(events) if place not in old]
