"""The journal contract: an ordered, replayable log that each pipeline reads at its own cursor.

A journal has one or more *streams* (a Kafka partition, a file, the SQLite log). Within a stream
positions only grow; a cursor is the position of the next record to read, so committing `page.end`
says that everything before it is settled.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict

from bridge.errors import BridgeError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from types import TracebackType

    from bridge.deadletters import DeadLetters
    from bridge.state import State

__all__ = ["Journal", "JournalConfig", "JournalContext", "JournalFullError", "Lag", "Page", "Reader", "Start"]

Start = Literal["earliest", "latest"]


class JournalFullError(BridgeError):
    """The journal holds its quota; nothing was appended, try again after `after` seconds."""

    def __init__(self, reason: str, after: float = 5.0) -> None:
        self.after = after
        super().__init__(reason)


class JournalConfig(BaseModel):
    """Base of every journal's configuration: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @property
    def validation_level(self) -> Literal["strict", "lenient", "envelope"] | None:
        """The validation level that its events need where the operator sets none; None leaves the default."""
        return None


@dataclass(slots=True, eq=False)
class Page:
    """Consecutive records of one stream: `start` ≤ position < `end`, oldest first.

    `payloads` are the records' bytes, one event or a batch envelope each. `afters` holds the
    position after each record; a journal whose records are one byte apart leaves it out.
    `received` is the server time of each record in ms where the journal knows it, and `expected`
    are the readers that are to come for the page and have not, where it knows them.
    """

    stream: str
    start: int
    end: int
    payloads: list[bytes]
    size: int
    afters: Sequence[int] | None = None
    received: Sequence[int] | None = None
    expected: set[object] | None = None
    _sums: list[int] = field(default_factory=list)

    def after(self, index: int) -> int:
        """The position just after record `index`: what a cursor says once it is settled."""
        if self.afters is not None:
            return self.afters[index]
        if not self._sums:
            self._sums = list(accumulate(map(len, self.payloads)))
        return self.start + self._sums[index] + index + 1

    def before(self, index: int) -> int:
        """The position of record `index`."""
        return self.after(index - 1) if index else self.start

    def copy(self) -> Page:
        """The same page for another pipeline, which lets go of the records' bytes in its own time."""
        return Page(
            self.stream, self.start, self.end, self.payloads, self.size, self.afters, self.received,
            self.expected, self._sums,
        )  # fmt: skip

    def release(self) -> None:
        """Let go of the records' bytes; from now on the page only says where its records stand."""
        if self.payloads:
            self.after(0)
            self.payloads = []


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a cursor is behind: `records` or `bytes`, and the age in `seconds`, where known.

    `of_retention` is that age as a share of the time the journal keeps its records: at 1 they go.
    """

    records: int | None = None
    bytes: int | None = None
    seconds: float | None = None
    of_retention: float | None = None


class Reader(ABC):
    """One pipeline's place in a journal; every method is called on that pipeline's thread.

    `on_lost` is set by the pipeline: the reader calls it, inside `read` or `idle`, with the
    streams that now belong to another process. What is settled may be committed once more there
    and then, nothing for them any more afterwards. Where they are given up in good order, it calls
    `on_revoke(seconds)` before, which may wait that long for answers that are on their way, so that
    the next owner does not repeat them; `on_revoke` calls nothing of the reader.

    A reader with `waits` waits in `read` for as long as it is told; any other returns at once and
    wakes the pipeline when there is something new.
    """

    waits: ClassVar[bool] = False
    on_lost: Callable[[Collection[str]], None] | None = None
    on_revoke: Callable[[float], None] | None = None

    @property
    def trouble(self) -> str:
        """Why nothing can be read or committed at the moment, in one sentence; "" if all is well."""
        return ""

    @property
    def missed(self) -> int:
        """Events that the journal dropped before this reader came to them, so far; 0 where none can be.

        At most as many: a journal that only knows positions counts those, with or without an event.
        """
        return 0

    @abstractmethod
    def read(self, timeout: float) -> Page | None:
        """The next page, or None when nothing came within `timeout` seconds."""

    @abstractmethod
    def commit(self, cursors: Mapping[str, int]) -> None:
        """Make cursors durable (soon; `close` waits). Cursors never move backwards here."""

    @abstractmethod
    def rewind(self, cursors: Mapping[str, int]) -> None:
        """Read these streams again from these positions."""

    @abstractmethod
    def at_end(self) -> bool:
        """Whether everything that is in the journal now has been read."""

    @abstractmethod
    def lag(self) -> Lag:
        """How much has not been read yet."""

    def idle(self) -> None:
        """Called at least every second while the pipeline is too full to read."""
        return

    def close(self) -> None:
        """Make what was committed durable and let go of everything."""
        return


@dataclass(frozen=True, slots=True)
class JournalContext:
    """What the host gives a journal: the state file, the instance's name, the pipelines there are.

    `dead_letter_bytes` is how much the state file may hold of events that the journal has to refuse, and
    `notify(hook, …)` tells observers of them, where there is a host.
    """

    state: State
    instance: str
    pipelines: tuple[str, ...]
    dead_letter_bytes: int = 1024**3
    notify: Callable[..., None] | None = None


class Journal(ABC):
    """A journal type. Subclass, set `name` and `config_type`; register it through `bridge_journals`.

    `shared_bytes` is how much of it, decoded, the pipelines of one process keep for each other.
    """

    name: ClassVar[str]
    config_type: ClassVar[type[JournalConfig]] = JournalConfig
    api_version: ClassVar[int] = 1
    shared_bytes: ClassVar[int] = 3 * 1024 * 1024

    def __init__(self, config: JournalConfig, context: JournalContext) -> None:
        self.config = config
        self.context = context

    @abstractmethod
    def reader(self, pipeline: str, start: Start, wake: Callable[[], None]) -> Reader:
        """A reader at the pipeline's cursor, or at `start` where it has none yet.

        `wake` may be called from any thread when there is something new to read.
        """

    def append(self, payloads: Sequence[bytes], source: str) -> None:  # noqa: ARG002 - for subclasses
        """Add records and return once they are durable; `source` says where they came from.

        `JournalFullError` when the quota is met. A journal that cannot be written to raises
        `BridgeError`, which is what this base does.
        """
        raise BridgeError(f"a {self.name} journal is read in place and takes no new events")

    def places(self, start: Start) -> dict[str, tuple[int, str]]:  # noqa: ARG002 - for subclasses
        """The first or the last position of each stream there is, and the stream's name for people.

        For `bridge cursors reset`. A journal that keeps its cursors elsewhere raises `BridgeError`,
        which is what this base does.
        """
        raise BridgeError(f"a {self.name} journal keeps its cursors elsewhere; move them with its own tools")

    def dead_letters(self) -> DeadLetters | None:
        """Where dead letters go, if that is this journal's business; None leaves them to the state file."""
        return None

    def check(self) -> str:
        """Say in one line what was found; raise `BridgeError` if the journal cannot be read."""
        return "no check offered"

    def trim(self) -> int:
        """Drop what every pipeline has settled; called now and then. Returns records dropped."""
        return 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None
