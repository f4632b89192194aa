"""Cursor arithmetic: a cursor is the end of the contiguous prefix of settled work, per stream.

Work is tracked in delivery order as tickets and may settle in any order; a cursor only ever
moves past a ticket when that ticket and every earlier one of its stream is settled. Pure.
"""

from __future__ import annotations

from collections import deque

__all__ = ["Progress", "Ticket"]


class Ticket:
    """A piece of a stream, from `start`, that is settled when its `open` events are.

    Once it is, and everything before it, the cursor is `end`.
    `end` may grow until the ticket is sealed; an unsealed ticket is never settled.
    """

    __slots__ = ("alive", "end", "open", "sealed", "start", "stream")

    def __init__(self, stream: str, start: int, end: int) -> None:
        self.stream = stream
        self.start = start
        self.end = end
        self.open = 0
        self.sealed = False
        self.alive = True

    def __repr__(self) -> str:
        return f"Ticket({self.stream!r}, end={self.end}, open={self.open}, sealed={self.sealed})"


class Progress:
    """The tickets of every stream, oldest first, and how far each stream may be committed."""

    def __init__(self) -> None:
        self._tickets: dict[str, deque[Ticket]] = {}
        self._fresh: dict[str, int] = {}
        self.outstanding = 0

    def issue(self, stream: str, start: int, end: int) -> Ticket:
        """A new, unsealed ticket behind every other one of its stream."""
        ticket = Ticket(stream, start, end)
        self._tickets.setdefault(stream, deque()).append(ticket)
        return ticket

    def add(self, ticket: Ticket, events: int) -> None:
        """`events` more events must settle before the ticket does."""
        ticket.open += events
        self.outstanding += events

    def seal(self, ticket: Ticket, end: int | None = None) -> None:
        """Nothing will be added any more; without open events the ticket is settled at once."""
        if end is not None:
            ticket.end = end
        ticket.sealed = True
        self._advance(ticket)

    def settle(self, ticket: Ticket, events: int) -> None:
        """`events` of the ticket are delivered, dead-lettered or filtered; a dead ticket ignores it."""
        if not ticket.alive:
            return
        ticket.open -= events
        self.outstanding -= events
        if ticket.open < 0:
            message = f"more events settled than were open: {ticket!r}"
            raise AssertionError(message)
        self._advance(ticket)

    def forget(self, stream: str) -> tuple[int, int | None]:
        """Drop every ticket of a stream; returns the events let go and where the first ticket began."""
        tickets = self._tickets.pop(stream, deque())
        dropped = 0
        for ticket in tickets:
            ticket.alive = False
            dropped += ticket.open
        self._fresh.pop(stream, None)
        self.outstanding -= dropped
        return dropped, tickets[0].start if tickets else None

    def take(self) -> dict[str, int]:
        """The cursors that moved since the last call."""
        moved, self._fresh = self._fresh, {}
        return moved

    def _advance(self, ticket: Ticket) -> None:
        tickets = self._tickets.get(ticket.stream)
        while tickets and tickets[0].sealed and tickets[0].open == 0:
            done = tickets.popleft()
            done.alive = False
            self._fresh[done.stream] = done.end
