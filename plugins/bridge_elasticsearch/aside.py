"""Documents that a cluster acknowledged but put into its failure store (Elasticsearch 9.1, data streams).

They count as delivered, for they are in the cluster; a search of the data stream does not find
them, though. So they are counted, and told in the log.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FAILURE_STORE", "FailureStore"]

FAILURE_STORE = "failure_store"
TELL_EVERY = 60.0

_log = logging.getLogger("bridge.sinks.elasticsearch")


class FailureStore:
    """Counts them, from many threads; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._told = 0
        self._told_at = float("-inf")
        self.total = 0

    def add(self, count: int, sink: str) -> None:
        """Count them; the log hears of the first at once, of later ones once a minute."""
        with self._lock:
            self.total += count
            now = self._clock()
            if 0 <= now - self._told_at < TELL_EVERY:
                return
            fresh, total = self.total - self._told, self.total
            self._told, self._told_at = total, now
        _log.warning(
            "%s: %d more documents went to the failure store, %d since the start; see <index>::failures",
            sink,
            fresh,
            total,
        )
