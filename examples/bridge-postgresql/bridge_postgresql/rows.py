"""An event as one line of PostgreSQL's COPY text format.

A line is a payload: its size is exact, and a retry sends the same bytes.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bridge import EventError

if TYPE_CHECKING:
    from bridge import Event

__all__ = ["COLUMNS", "CREATE", "IDENTITY", "row"]

COLUMNS = (
    "id",
    "at",
    "eid",
    "mid",
    "actor_id",
    "actor_type",
    "channel",
    "producer",
    "env",
    "sid",
    "did",
    "object_id",
    "object_type",
    "event",
)
IDENTITY = slice(0, 32)
"""Where a line has the event's identity, in hex; the column takes it as a uuid."""

CREATE = """\
CREATE TABLE IF NOT EXISTS {table} (
    id uuid PRIMARY KEY,
    at timestamptz,
    eid text NOT NULL,
    mid text NOT NULL,
    actor_id text,
    actor_type text,
    channel text,
    producer text,
    env text,
    sid text,
    did text,
    object_id text,
    object_type text,
    event jsonb NOT NULL
)"""

LAST_MOMENT = 253_402_300_799_999  # the end of the year 9999 in ms
# an escape of NUL that is not itself escaped: jsonb has no such character
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def row(event: Event) -> bytes:
    """The line of an event, with its newline; `EventError` if PostgreSQL has no way to keep it."""
    if NUL.search(event.raw):
        raise EventError("nul_character", "PostgreSQL's text cannot hold a NUL character")
    context, thing = event.context, event.object
    values = (
        event.identity.hex(),
        _moment(event.record_time()),
        event.eid,
        event.mid,
        event.actor.id,
        event.actor.type,
        context.channel,
        context.pdata.id,
        context.env,
        context.sid,
        context.did,
        thing.id if thing else None,
        thing.type if thing else None,
        event.raw.decode(),
    )
    return ("\t".join(map(_field, values)) + "\n").encode()


def _field(value: str | None) -> str:
    return r"\N" if value is None else value.translate(ESCAPED)


def _moment(ms: int) -> str | None:
    """Milliseconds since the epoch as PostgreSQL reads them; None outside the calendar."""
    if not 0 <= ms <= LAST_MOMENT:
        return None
    seconds, millis = divmod(ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{millis:03d}+00"
