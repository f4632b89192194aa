"""Streams that are read again, by this process or by another: what is not settled of them is let go."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from bridge.errors import BridgeError

if TYPE_CHECKING:
    from collections.abc import Collection

    from bridge.engine.inflow import Inflow
    from bridge.engine.loads import Load
    from bridge.engine.meter import Tally
    from bridge.engine.outbox import Outbox
    from bridge.engine.progress import Progress
    from bridge.journals.base import Reader

__all__ = ["Streams"]

log = logging.getLogger(__name__)


class Streams:
    """What one pipeline holds of each stream, in every part of it."""

    def __init__(
        self, name: str, reader: Reader, inflow: Inflow, outbox: Outbox, progress: Progress, tally: Tally
    ) -> None:
        self._name = name
        self._reader = reader
        self._inflow = inflow
        self._outbox = outbox
        self._progress = progress
        self._tally = tally

    def recut(self, load: Load, end: int) -> None:
        """Another owner planned this load's range: give back what is not settled, and read it again."""
        span = load.span
        if span is None:
            raise BridgeError("RecutError is for sinks that write objects")
        log.info("sink %s ends the object of %s at %d, as planned before", self._name, span.stream, end)
        start = self._let_go(span.stream)
        self._inflow.cut(span.stream, end)
        self._reader.rewind({span.stream: span.start if start is None else start})

    def lost(self, streams: Collection[str], *, commit: bool) -> None:
        """Another process has these streams now; `commit` what is settled, so that it repeats little."""
        if commit:
            self._reader.commit(self._progress.take())
        for stream in streams:
            self._let_go(stream)

    def _let_go(self, stream: str) -> int | None:
        """Where the unsettled part of the stream begins."""
        dropped, start = self._progress.forget(stream)
        self._tally.add(returned=dropped)
        self._inflow.discard(stream)
        self._outbox.drop_dead()
        return start
