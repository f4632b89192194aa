"""The threads that call `send`: the only place of a pipeline that waits for a destination."""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.engine.loads import Load
    from bridge.engine.verdicts import Answer
    from bridge.sinks import Sink

__all__ = ["Senders"]

Landed = tuple["Load", "Answer", float]


class Senders:
    """`count` daemon threads that send loads and hand the answers to `landed`.

    Daemons, because a destination that never answers must not keep the process from ending:
    what it did not acknowledge is read again.
    """

    def __init__(self, sink: Sink[Any, Any], name: str, count: int, landed: Callable[[Landed], None]) -> None:
        self._sink = sink
        self._name = name
        self._landed = landed
        self._loads: SimpleQueue[Load | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-send-{n}", daemon=True) for n in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def send(self, load: Load) -> None:
        """Hand a load to the next free thread."""
        self._loads.put(load)

    def close(self, timeout: float) -> bool:
        """Let the threads end; False if one still waits for its destination after `timeout` seconds."""
        for _ in self._threads:
            self._loads.put(None)
        ends = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, ends - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (load := self._loads.get()) is not None:
            began = time.monotonic()
            self._landed((load, self._send(load), time.monotonic() - began))
            del load  # a thread that waits for the next one would keep a whole batch alive

    def _send(self, load: Load) -> Answer:
        try:
            return self._sink.send(load.batch(self._name))
        except Exception as error:  # noqa: BLE001 - boundary: whatever a plugin raises is judged, not fatal
            return error
