"""Decoded pages shared between the pipelines of one process, without coupling them.

Pipelines that stand at the same place of the same journal decode each page once. Nobody waits
for a slower neighbour: a pipeline that falls behind the few pages kept here decodes by itself.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from bridge.engine.staging import Chain

if TYPE_CHECKING:
    from bridge.journals.base import Page
    from bridge.validation import Decoded, Decoder

__all__ = ["SharedDecoder"]

Key = tuple[str, int, int]
WAIT = 0.2


class SharedDecoder:
    """Decodes pages and passes the stages, remembering the last `max_bytes` for the other pipelines."""

    def __init__(
        self, decoder: Decoder, max_bytes: int = 3 * 1024 * 1024, chain: Chain | None = None
    ) -> None:
        self._decoder = decoder
        self._chain = chain or Chain()
        self._max_bytes = max_bytes
        self._pages: OrderedDict[Key, tuple[Decoded, int]] = OrderedDict()
        self._busy: set[Key] = set()
        self._size = 0
        self._published: dict[str, tuple[int, float]] = {}
        self._change = threading.Condition()

    def decode(self, page: Page, *, patient: bool = False) -> Decoded:
        """The page's events and rejects.

        A `patient` caller, who adds nothing to the hot path, leaves the work to a neighbour
        that is making progress, for a moment at least.
        """
        key = (page.stream, page.start, page.end)
        with self._change:
            found = self._await(key, patient=patient)
            if found is not None:
                return found
            self._busy.add(key)
        try:
            decoded = self._decoder.batch(page.payloads)
            _stamp(decoded, page)
            decoded = self._chain.run(decoded)
        finally:
            with self._change:
                self._busy.discard(key)
                self._change.notify_all()
        self._publish(key, decoded, page.size, follower=patient)
        return decoded

    def _await(self, key: Key, *, patient: bool) -> Decoded | None:
        ends = time.monotonic() + WAIT
        while True:
            if key in self._pages:
                return self._pages[key][0]
            neighbours = patient and self._is_coming(key)
            left = ends - time.monotonic()
            if left <= 0 or not (key in self._busy or neighbours):
                return None
            self._change.wait(left)

    def _is_coming(self, key: Key) -> bool:
        """Whether a neighbour is reading this stream and has not passed this page."""
        at, when = self._published.get(key[0], (0, 0.0))
        return at <= key[1] and time.monotonic() - when < WAIT

    def _publish(self, key: Key, decoded: Decoded, size: int, *, follower: bool) -> None:
        with self._change:
            if not follower:  # or it would wait for itself
                self._published[key[0]] = (key[2], time.monotonic())
            if key not in self._pages:
                self._pages[key] = (decoded, size)
                self._size += size
            while self._size > self._max_bytes and len(self._pages) > 1:
                self._size -= self._pages.popitem(last=False)[1][1]
            self._change.notify_all()


def _stamp(decoded: Decoded, page: Page) -> None:
    """Tell events when the journal received them, where it knows: the time of events without `syncts`."""
    if page.received is None:
        return
    origins = decoded.origins if decoded.origins is not None else range(len(decoded.events))
    for event, origin in zip(decoded.events, origins, strict=True):
        event.received = page.received[origin]
