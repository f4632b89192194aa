"""Writing dead letters: durable before anything moves on, however long that takes."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from bridge.deadletters import MAX_REASON, AnnouncedDeadLetters, DeadLetter, letter_id
from bridge.secrets import redact
from bridge.state import StateBrokenError, StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridge.deadletters import DeadLetters
    from bridge.engine.loads import Load
    from bridge.engine.mapping import Doomed
    from bridge.sinks import Reject

__all__ = ["DeadLetterDesk"]

log = logging.getLogger(__name__)


class DeadLetterDesk:
    """Makes one pipeline's dead letters and waits until they are durable.

    `wait(reason, attempt)` is called between tries; False means that the pipeline was stopped.
    """

    def __init__(
        self,
        pipeline: str,
        plugin: str,
        store: DeadLetters,
        notify: Callable[..., None],
        wait: Callable[[str, int], bool],
    ) -> None:
        self._pipeline = pipeline
        self._plugin = plugin
        self._store = AnnouncedDeadLetters(store, notify)
        self._wait = wait

    def letter(self, doomed: Doomed, stream: str) -> DeadLetter:
        """The letter of an event that never reached the destination."""
        now_ms = int(time.time() * 1000)
        identifier = letter_id(self._pipeline, stream, doomed.position, doomed.payload)
        return DeadLetter(
            identifier, self._pipeline, self._plugin, doomed.stage, doomed.code, doomed.path,
            redact(doomed.reason)[:MAX_REASON], 1, now_ms, now_ms, stream, doomed.position, doomed.eid,
            doomed.mid, doomed.payload,
        )  # fmt: skip

    def refusal(self, load: Load, index: int, reject: Reject) -> DeadLetter:
        """The letter of an event that the destination refused."""
        stream, position, _ = load.source(index)
        event = load.events[index]
        identifier = letter_id(self._pipeline, stream, position, event.source)
        return DeadLetter(
            identifier, self._pipeline, self._plugin, "deliver", reject.code, "",
            redact(reject.reason)[:MAX_REASON], load.attempt, load.first_ms, int(time.time() * 1000), stream,
            position, event.eid, event.mid, event.source,
        )  # fmt: skip

    def bury(self, letters: Sequence[DeadLetter]) -> bool:
        """Return True once every letter is durable; False if the pipeline was stopped before."""
        attempt = 0
        while True:
            try:
                self._store.write(letters)
            except StateBrokenError:
                raise
            except StateError as error:
                attempt += 1
                reason = f"dead letters cannot be written: {error}"
                if attempt == 1:
                    log.error("pipeline %s waits: %s", self._pipeline, reason)  # noqa: TRY400 - no traceback
                if not self._wait(reason, attempt):
                    return False
            else:
                return True
