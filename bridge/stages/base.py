"""The stage contract: change an event, leave it out, or make several of it, before sinks see it.

    read ─► decode + validate ─► stages, in the file's order ─► route ─► map ─► …

A stage is small because the host does the rest. The host picks the events it gets, runs a stage
that is for every sink once for all of them, counts what it left out and made, and dead-letters
an event it cannot handle, with the bytes the journal holds: a replay passes the stages again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from bridge.events import Event

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Stage", "StageConfig", "Staged"]

Staged = Event | Sequence[Event] | None
"""What a stage makes of one event: an event, several, or None to leave it out."""


class StageConfig(BaseModel):
    """Base of every stage's configuration: unknown keys are refused, values are frozen.

    Give every field a `description`: it appears in `bridge schema` and in the generated
    documentation. Use `bridge.secrets.Secret` for anything that must not be shown.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


ConfigT = TypeVar("ConfigT", bound=StageConfig)


class Stage(ABC, Generic[ConfigT]):
    """One change to events. Subclass, set `name` and `config_type`, write `apply`.

    The constructor only keeps its configuration; files and optional packages belong into
    `__enter__`, which raises `SetupError` if the stage cannot work: the bridge does not start
    without it. `apply` may run on several threads at a time.
    """

    name: ClassVar[str]
    config_type: ClassVar[type[StageConfig]] = StageConfig
    api_version: ClassVar[int] = 1

    def __init__(self, config: ConfigT) -> None:
        self.config = config

    @abstractmethod
    def apply(self, event: Event) -> Staged:
        """The event itself where nothing is to change, else what takes its place.

        Pure and deterministic: no clock, no randomness, no I/O, and `event` is not changed;
        `bridge.events.rewrite` makes the new one. Events made of one event need a `mid` each, or
        they count as copies of each other. Raise `EventError` for an event that must not go on.
        """

    def apply_batch(self, events: Sequence[Event]) -> Sequence[Staged]:
        """Apply the stage to many events at once, in order; override it where that is faster.

        An exception here makes the host fall back to `apply`, event by event, so that only the
        culprit is dead-lettered.
        """
        return [self.apply(event) for event in events]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None
