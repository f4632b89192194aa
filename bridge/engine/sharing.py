"""Decoded pages shared between the pipelines of one process, without coupling them.

Pipelines that stand at the same place of the same journal decode each page once. Nobody waits
for a slower neighbour: a pipeline that falls behind the few pages kept here decodes by itself.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from bridge.engine.staging import Chain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridge.journals.base import Page
    from bridge.validation import Decoded, Decoder, Invalid

__all__ = ["SharedDecoder", "Summary"]

Key = tuple[str, int, int]
Found = TypeVar("Found")
WAIT = 0.2
SUMMARIES = 4_096
MOST_INVALID = 16  # their bytes are kept with a summary; a page with more of them is rare, or all wrong


@dataclass(frozen=True, slots=True)
class Summary:
    """What the pipeline of invalid events needs of a page: `passed` events are none of its business."""

    count: int
    passed: int
    derived: int
    invalid: Sequence[Invalid]


class SharedDecoder:
    """Decodes pages and passes the stages, remembering the last `max_bytes` for the other pipelines.

    Summaries are small, so many more of them are remembered: whoever wants no more comes along
    far behind, and decodes nothing.
    """

    def __init__(
        self, decoder: Decoder, max_bytes: int = 3 * 1024 * 1024, chain: Chain | None = None
    ) -> None:
        self._decoder = decoder
        self._chain = chain or Chain()
        self._max_bytes = max_bytes
        self._pages: OrderedDict[Key, tuple[Decoded, int]] = OrderedDict()
        self._summaries: OrderedDict[Key, Summary] = OrderedDict()
        self._busy: set[Key] = set()
        self._size = 0
        self._published: dict[str, tuple[int, float]] = {}
        self._change = threading.Condition()

    def decode(self, page: Page) -> Decoded:
        """The page's events and rejects."""
        key = (page.stream, page.start, page.end)
        with self._change:
            found = self._await(lambda: self._pages.get(key), lambda: key in self._busy)
            if found is not None:
                return found[0]
            self._busy.add(key)
        return self._decode(page, key, follower=False)

    def summary(self, page: Page) -> Summary:
        """What became of the page's events; the work is left to a neighbour who is coming, for a moment."""
        key = (page.stream, page.start, page.end)
        with self._change:
            found = self._await(lambda: self._known(key), lambda: self._is_coming(key))
            if found is not None:
                return found
            self._busy.add(key)
        return _summed(self._decode(page, key, follower=True))

    def _decode(self, page: Page, key: Key, *, follower: bool) -> Decoded:
        try:
            decoded = self._decoder.batch(page.payloads)
            _stamp(decoded, page)
            decoded = self._chain.run(decoded)
        finally:
            with self._change:
                self._busy.discard(key)
                self._change.notify_all()
        self._publish(key, decoded, page.size, follower=follower)
        return decoded

    def _await(self, look: Callable[[], Found | None], hope: Callable[[], bool]) -> Found | None:
        """What `look` finds, as long as there is hope, and for a moment at most."""
        ends = time.monotonic() + WAIT
        while (found := look()) is None and hope() and (left := ends - time.monotonic()) > 0:
            self._change.wait(left)
        return found

    def _known(self, key: Key) -> Summary | None:
        if key in self._summaries:
            return self._summaries[key]
        return _summed(self._pages[key][0]) if key in self._pages else None

    def _is_coming(self, key: Key) -> bool:
        """Whether a neighbour is at this page, or is reading this stream and has not passed it."""
        at, when = self._published.get(key[0], (0, 0.0))
        return key in self._busy or (at <= key[1] and time.monotonic() - when < WAIT)

    def _publish(self, key: Key, decoded: Decoded, size: int, *, follower: bool) -> None:
        with self._change:
            if not follower:  # or it would wait for itself
                self._published[key[0]] = (key[2], time.monotonic())
            if key not in self._pages:
                self._pages[key] = (decoded, size)
                self._size += size
            while self._size > self._max_bytes and len(self._pages) > 1:
                self._size -= self._pages.popitem(last=False)[1][1]
            if len(decoded.invalid) <= MOST_INVALID:
                self._summaries[key] = _summed(decoded)
            while len(self._summaries) > SUMMARIES:
                self._summaries.popitem(last=False)
            self._change.notify_all()


def _summed(decoded: Decoded) -> Summary:
    passed = len(decoded.events) + decoded.dropped
    return Summary(decoded.count, passed, decoded.derived, decoded.invalid)


def _stamp(decoded: Decoded, page: Page) -> None:
    """Tell events when the journal received them, where it knows: the time of events without `syncts`."""
    if page.received is None:
        return
    origins = decoded.origins if decoded.origins is not None else range(len(decoded.events))
    for event, origin in zip(decoded.events, origins, strict=True):
        event.received = page.received[origin]
