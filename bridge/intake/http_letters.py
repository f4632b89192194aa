"""Dead letters for events that their sender may not send. Pure.

They never enter the journal, so no sink sees them, unless an operator finds that they were right
after all: `bridge dead-letters replay --sink rejects` delivers them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.deadletters import stray_letter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridge.deadletters import DeadLetter

__all__ = ["CHANNEL_MISMATCH", "foreign_letters"]

CHANNEL_MISMATCH = "channel_mismatch"
STREAM = "http"
LONGEST_NAME = 200


def foreign_letters(events: Iterable[bytes], sender: str, now_ms: int) -> list[DeadLetter]:
    """A letter for each event of a channel that `sender` has no right to; the same one for the same event."""
    reason = f"the sender {sender[:LONGEST_NAME]} may not send events of this channel"
    return [
        stray_letter(event, STREAM, CHANNEL_MISMATCH, "$.context.channel", reason, now_ms) for event in events
    ]
