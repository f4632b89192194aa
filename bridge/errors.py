"""Every exception the bridge raises on purpose, grouped by what happens next.

    BridgeError
    ├── ConfigError        the configuration is wrong: every problem at once, exit 2
    ├── PluginError        a plugin failed to load, or broke the contract
    ├── EventError         this *event* cannot be processed: dead letter, the next one goes on
    └── DeliveryError      this *batch* was not delivered
        ├── TransientError     network, timeout, 5xx: retried for ever with full jitter
        │   └── ThrottledError     the destination said when to come back
        ├── RejectedError      the destination refuses the data: bisected, the culprit dead-lettered
        ├── SetupError         401, missing index, TLS, wrong host: hold the cursor, probe, alert
        └── RecutError         another owner planned this range: read it again, cut where it says

A sink raises a `DeliveryError` when one answer covers the whole batch, and returns
`Retry` or `Reject` per payload when the destination answers item by item.
Anything outside this tree is a bug.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "BridgeError",
    "ConfigError",
    "DeliveryError",
    "EventError",
    "PluginError",
    "Problem",
    "RecutError",
    "RejectedError",
    "SetupError",
    "ThrottledError",
    "TransientError",
]


class BridgeError(Exception):
    """Base of everything the bridge raises on purpose; the text is written for operators."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in the configuration: the dotted `path` and what to write instead."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigError(BridgeError):
    """The configuration cannot be used; `problems` holds every finding, `origin` the file."""

    def __init__(self, problems: Iterable[Problem], origin: str = "") -> None:
        self.problems = tuple(problems)
        self.origin = origin
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """One line a problem: `config.toml: sinks.product.hots: unknown key (…)`."""
        prefix = f"{self.origin}: " if self.origin else ""
        return [f"{prefix}{problem}" for problem in self.problems]


class PluginError(BridgeError):
    """A plugin could not be loaded, clashes with another one, or broke the contract."""


class EventError(BridgeError):
    """One event cannot be processed; it is dead-lettered and its neighbours go on.

    `code` is a short stable word for metrics and filters, `path` the JSON path of the
    culprit (`$.context.pdata.id`, or "" for the whole event), `reason` one sentence.
    """

    def __init__(self, code: str, reason: str, path: str = "") -> None:
        self.code = code
        self.reason = reason
        self.path = path
        super().__init__(f"{path}: {reason}" if path else reason)


class DeliveryError(BridgeError):
    """A batch was not delivered; raise one of the subclasses, which say what happens next."""


class TransientError(DeliveryError):
    """A fault that passes by itself; the same bytes are sent again, for ever, with full jitter."""


class ThrottledError(TransientError):
    """The destination asks for patience: `after` seconds at least (None: it did not say)."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        self.after = after
        super().__init__(reason)


class RejectedError(DeliveryError):
    """The destination refuses the batch without naming an item; it is halved until it does."""

    def __init__(self, code: str, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(reason)


class SetupError(DeliveryError):
    """Nothing can be delivered until somebody changes the set-up; no event is at fault."""


class RecutError(DeliveryError):
    """The batch must end at position `end` of its stream; the host reads it again and cuts there.

    For sinks that write one object per range of the journal: when another owner has already
    planned the range that starts here, its end is the one that counts.
    """

    def __init__(self, end: int) -> None:
        self.end = end
        super().__init__(f"this range was planned to end at {end}")
