"""The last pages that somebody read, for the pipelines that come to the same place a moment later."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.journals.base import Page

__all__ = ["RecentPages"]

MAX_BYTES = 4 * 1024 * 1024
MAX_PAGES = 64


class RecentPages:
    """A few pages of one journal; may be used from any thread."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._pages: OrderedDict[tuple[str, int], Page] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def find(self, stream: str, start: int) -> Page | None:
        """A copy of the page that begins here, if it was read lately; its records are shared."""
        with self._lock:
            page = self._pages.get((stream, start))
            return None if page is None else page.copy()

    def keep(self, page: Page) -> Page:
        """Remember a page for the others; returns it for whoever has read it."""
        key = (page.stream, page.start)
        with self._lock:
            if key not in self._pages:
                self._pages[key] = page.copy()
                self._size += page.size
            while self._size > self._max_bytes or len(self._pages) > MAX_PAGES:
                self._size -= self._pages.popitem(last=False)[1].size
        return page
