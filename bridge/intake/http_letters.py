"""Dead letters for events that their sender may not send. Pure.

They never enter the journal, so no sink sees them, unless an operator finds that they were right
after all: `bridge dead-letters replay --sink rejects` delivers them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from bridge.deadletters import REJECTS, DeadLetter, letter_id
from bridge.jsontext import REFUSED

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CHANNEL_MISMATCH", "foreign_letters"]

CHANNEL_MISMATCH = "channel_mismatch"
STREAM, PLUGIN = "http", "bridge"
LONGEST_NAME = 200


class _Names(msgspec.Struct, gc=False):
    eid: Any = None
    mid: Any = None


_names = msgspec.json.Decoder(_Names).decode


def foreign_letters(events: Iterable[bytes], sender: str, now_ms: int) -> list[DeadLetter]:
    """A letter for each event of a channel that `sender` has no right to; the same one for the same event."""
    return [_letter(event, sender, now_ms) for event in events]


def _letter(event: bytes, sender: str, now_ms: int) -> DeadLetter:
    try:
        names = _names(event)
    except REFUSED:
        names = _Names()
    return DeadLetter(
        id=letter_id(REJECTS, STREAM, 0, event),
        sink=REJECTS,
        plugin=PLUGIN,
        stage="validate",
        code=CHANNEL_MISMATCH,
        path="$.context.channel",
        reason=f"the sender {sender[:LONGEST_NAME]} may not send events of this channel",
        attempts=1,
        first_ms=now_ms,
        last_ms=now_ms,
        stream=STREAM,
        position=0,
        eid=names.eid if isinstance(names.eid, str) else None,
        mid=names.mid if isinstance(names.mid, str) else None,
        payload=event,
    )
