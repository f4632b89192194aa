"""From requests to the journal: whatever came in while one commit was under way goes into the next.

One thread appends. Threads of their own for every request would commit no faster, since the
journal has one writer, and cost two thread switches each.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bridge.errors import BridgeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.deadletters import DeadLetter, DeadLetters
    from bridge.intake.http_imported import Imported
    from bridge.journals.base import Journal

__all__ = ["Appender", "Store"]

log = logging.getLogger(__name__)

SOURCE = "http"
GROUP_BATCHES = 256
GROUP_BYTES = 4 * 1024 * 1024


class Store(Protocol):
    """Where events become durable, as the service sees it."""

    def submit(
        self, events: Sequence[bytes], letters: Sequence[DeadLetter] = (), identifier: str = ""
    ) -> asyncio.Future[int]:
        """A future that resolves once all of this is durable; a `BridgeError` in it says why it is not.

        `identifier` is the batch's own. The result is how many of the events were new to the journal.
        """


@dataclass(slots=True)
class _Batch:
    events: Sequence[bytes]
    letters: Sequence[DeadLetter]
    identifier: str
    done: asyncio.Future[int]


class Appender:
    """Appends to the journal from an event loop, in groups. `start` in the loop's thread, `close` in any.

    `trouble` says why the last group could not be stored, "" if it was. What was `imported` from
    files before is left out.
    """

    def __init__(
        self,
        journal: Journal,
        dead_letters: DeadLetters,
        imported: Imported | None = None,
        source: str = SOURCE,
    ) -> None:
        self._journal = journal
        self._dead_letters = dead_letters
        self._imported = imported
        self._source = source
        self._queue: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="http-append", daemon=True)
        self.trouble = ""
        self._loop: asyncio.AbstractEventLoop

    def start(self) -> None:
        """Begin to append."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def submit(
        self, events: Sequence[bytes], letters: Sequence[DeadLetter] = (), identifier: str = ""
    ) -> asyncio.Future[int]:
        """See `Store`."""
        done = self._loop.create_future()
        self._queue.put(_Batch(events, letters, identifier, done))
        return done

    def close(self) -> None:
        """Append what was submitted, then end. The loop must still run."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            group = [first]
            size = sum(map(len, first.events))
            ending = False
            while len(group) < GROUP_BATCHES and size < GROUP_BYTES and not self._queue.empty():
                following = self._queue.get()
                if following is None:
                    ending = True
                    break
                group.append(following)
                size += sum(map(len, following.events))
            error = self._append(group)
            self._tell(error)
            self._loop.call_soon_threadsafe(_settle, group, error)
            if ending:
                return

    def _append(self, group: Sequence[_Batch]) -> BridgeError | None:
        try:
            if letters := [letter for batch in group for letter in batch.letters]:
                self._dead_letters.write(letters)
            if self._imported:
                self._leave_out(group, self._imported)
            self._journal.append([event for batch in group for event in batch.events], self._source)
        except BridgeError as error:
            return error
        except Exception as error:  # boundary: a journal is a plugin, and senders wait for an answer
            log.exception("the journal failed while events were appended")
            return BridgeError(f"the journal failed: {type(error).__name__}")
        return None

    def _leave_out(self, group: Sequence[_Batch], imported: Imported) -> None:
        found = imported.fresh([(batch.identifier, batch.events) for batch in group])
        for batch, events in zip(group, found, strict=True):
            batch.events = events

    def _tell(self, error: BridgeError | None) -> None:
        """Log a failure when it begins and when it is over, and not with every request."""
        if error is not None and not self.trouble:
            log.error("events cannot be stored, senders get 503: %s", error)
        elif error is None and self.trouble:
            log.info("events are stored again")
        self.trouble = "" if error is None else f"events cannot be stored, senders get 503: {error}"


def _settle(group: Sequence[_Batch], error: BridgeError | None) -> None:
    for batch in group:
        if batch.done.cancelled():
            continue
        if error is None:
            batch.done.set_result(len(batch.events))
        else:
            batch.done.set_exception(error)
