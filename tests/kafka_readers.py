"""Journals of topics and readers on them, for the mock cluster and for a real one alike.

Whoever imports these fixtures has a `make_config(*topics, **keys)` for its cluster.
"""

from __future__ import annotations

import time

import pytest

from bridge.journals.base import JournalContext
from bridge.journals.kafka import KafkaJournal

__all__ = ["Patience", "make_journal", "open_reader"]


@pytest.fixture
def make_journal(make_config):
    """A journal of topics; whatever it opened is closed at the end."""
    journals = []

    def make(*topics, instance="test", **keys):
        journal = KafkaJournal(make_config(*topics, **keys), JournalContext(None, instance, ("rejects", "x")))
        journals.append(journal)
        return journal

    yield make
    for journal in journals:
        journal.__exit__(None, None, None)


@pytest.fixture
def open_reader(make_journal):
    """Open readers that are closed at the end, before their cluster."""
    opened = []

    def make(*topics, pipeline="x", start="earliest", **keys):
        reader = make_journal(*topics, **keys).reader(pipeline, start, lambda: None)
        opened.append(reader)
        return reader

    yield make
    for reader in opened:
        reader.close()


class Patience:
    """Reads until something is the case, and fails after so many seconds."""

    def __init__(self, seconds):
        self._seconds = seconds

    def until(self, true, *readers, seconds=None, commit=False):
        """Pages of all readers, in the order they came, until `true(pages)`."""
        pages = []
        ends = time.monotonic() + (seconds or self._seconds)
        while not true(pages):
            assert time.monotonic() < ends, [(page.stream, page.start, page.end) for page in pages]
            for reader in readers:
                page = reader.read(0.02)
                if page is not None:
                    pages.append(page)
                    if commit:
                        reader.commit({page.stream: page.end})
        return pages

    def take(self, reader, count, **how):
        """So many payloads of one reader, and its pages."""
        pages = self.until(lambda pages: sum(len(page.payloads) for page in pages) >= count, reader, **how)
        return [payload for page in pages for payload in page.payloads], pages
