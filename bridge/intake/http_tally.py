"""What the intake did, in numbers, and a line in the log about what it refused."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Tally"]

log = logging.getLogger(__name__)


@dataclass
class Tally:
    """Counts since the start. `events` and `batches` are durable, `foreign` events dead-lettered.

    `repeated` batches had been stored before, and so had `duplicate` events, theirs included;
    `answers` are the refusals by status.
    """

    batches: int = 0
    events: int = 0
    foreign: int = 0
    repeated: int = 0
    duplicate: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    _lately: Counter[tuple[int, str]] = field(default_factory=Counter)

    def refused(self, status: int, reason: str) -> None:
        """Count a refusal."""
        self.answers[status] += 1
        if len(self._lately) < 100 or (status, reason) in self._lately:  # noqa: PLR2004 - one line in the log
            self._lately[status, reason] += 1

    def tell(self) -> None:
        """Log what was refused since this was called before, if anything was."""
        lately, self._lately = self._lately, Counter()
        for (status, reason), times in lately.most_common(3):
            log.warning("refused requests", extra={"status": status, "reason": reason, "times": times})
