"""What each way into the journal has done so far, as the metrics and the status page show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["IntakeStatus", "TakenBy"]

TakenBy = Literal["http", "folder", "import"]


@dataclass(frozen=True, slots=True)
class IntakeStatus:
    """One intake at one moment; every count is since the start.

    `where` is the address or the folder. `trouble` says in one sentence what keeps events out of
    the journal ("" if nothing does), and `ended` that no more will come. `events`, `batches` and
    `files` are counted by outcome, and `refusals` are requests that were not answered with 200, by
    HTTP status. `connections` and `held_bytes` (of requests that are not answered yet) are None
    where there are none to count.
    """

    intake: TakenBy
    where: str
    trouble: str = ""
    ended: bool = False
    events: Mapping[str, int] = field(default_factory=dict)
    batches: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, int] = field(default_factory=dict)
    refusals: Mapping[str, int] = field(default_factory=dict)
    connections: int | None = None
    held_bytes: int | None = None
