"""Before streams go to another process: bring to an end what this one has begun.

The next owner begins at the cursor, and a cursor moves page by page. So whatever is delivered of a
page that is not settled is delivered again, unless the rest of the page is sent as well. This runs
inside a call of the journal's client: neither the journal nor the dead letters can be turned to,
so answers that need them are put back for later, and their events are repeated.
"""

from __future__ import annotations

import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from bridge.engine.verdicts import is_success

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.engine.outbox import Outbox
    from bridge.engine.senders import Landed

__all__ = ["hand_over"]

SENDING = 0.5  # of the time: what is sent later than that would hardly be answered


def hand_over(
    outbox: Outbox,
    landed: SimpleQueue[Landed | None],
    settle: Callable[[Landed], None],
    dispatch: Callable[[float], None],
    seconds: float,
) -> None:
    """Send what is in the outbox and settle what is delivered, for so many seconds at most.

    `dispatch(now)` hands loads to free senders. A destination that is on hold is sent nothing.
    """
    begun = time.monotonic()
    others: list[Landed | None] = []
    while (left := begun + seconds - (now := time.monotonic())) > 0:
        if outbox.held is None and left > seconds * (1 - SENDING):
            dispatch(now)
        if outbox.flying <= sum(answer is not None for answer in others):
            break
        try:
            answer = landed.get(timeout=left)
        except Empty:
            break
        if answer is not None and is_success(answer[1]):
            settle(answer)
        else:
            others.append(answer)
    for answer in others:
        landed.put(answer)
