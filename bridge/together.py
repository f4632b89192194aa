"""Several blocking calls at once, for a sink whose `send` is made of more than one request."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["at_once"]

Result = TypeVar("Result")


def at_once(tasks: Sequence[Callable[[], Result]], most: int = 16) -> list[Result]:
    """Run tasks on at most `most` threads, this one among them; return their results in order.

    All of them run, whatever happens to one; then the first fault is raised. The other threads
    are daemons, like the host's senders: a destination that never answers must not keep the
    process alive.
    """
    numbers: SimpleQueue[int] = SimpleQueue()
    results: dict[int, Result] = {}
    faults: dict[int, Exception] = {}

    def work() -> None:
        while True:
            try:
                number = numbers.get_nowait()
            except Empty:
                return
            try:
                results[number] = tasks[number]()
            except Exception as error:  # noqa: BLE001 - boundary: carried over to the thread that waits
                faults[number] = error

    for number in range(len(tasks)):
        numbers.put(number)
    threads = [
        threading.Thread(target=work, name="at-once", daemon=True) for _ in range(min(most, len(tasks)) - 1)
    ]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[min(faults)]
    return [results[number] for number in range(len(tasks))]
