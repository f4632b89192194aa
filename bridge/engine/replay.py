"""Dead letters on their way to the sinks again: a journal made of letters, read by ordinary pipelines.

    letters (unresolved, oldest first) ─► ReplayReader ─► Pipeline ─► the sink that refused them
              ▲                                             │ delivered: resolved, once acknowledged
              └── keeps its id, attempts added up ──────────┘ refused again

Invalid events, which no sink could use, go to every sink once they are valid, and are resolved when
every sink has settled them; a sink that refuses one gets a letter of its own.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from bridge.deadletters import REJECTS, DeadLetter, Filter, SqliteDeadLetters, letter_id
from bridge.engine.assembly import Parts, Stages, make_sink, sink_pipeline
from bridge.engine.crew import Crew
from bridge.engine.sharing import SharedDecoder
from bridge.journals.base import Lag, Page, Reader
from bridge.settings import DedupSettings, RejectLimits
from bridge.validation import Decoder, Level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bridge.engine.pipeline import Pipeline
    from bridge.registry import Registry
    from bridge.settings import Settings
    from bridge.state import State

__all__ = ["Letters", "Replay", "ReplayReader", "ReplayStore"]

PAGE = 200


@dataclass(frozen=True, slots=True)
class Origin:
    """What a replay remembers of a letter while its event is on its way."""

    id: str
    stream: str
    position: int
    attempts: int
    first_ms: int


class Letters:
    """The chosen letters of one replay, numbered from 0 as they are read; shared by its pipelines.

    Position n of `stream` is letter n. A letter is resolved once every one of `sinks` has settled
    it, unless it was kept: refused again, or still not valid. May be used from any thread.
    """

    def __init__(
        self, store: SqliteDeadLetters, chosen: Filter, sinks: Sequence[str], stream: str, limit: int | None
    ) -> None:
        self.owner = chosen.sink
        self.stream = stream
        self.total = min(sum(store.count(chosen).values()), limit if limit is not None else 1 << 62)
        self.read = 0
        self.resolved = 0
        self.invalid: set[int] = set()
        self._store = store
        self._chosen = chosen
        self._limit = limit
        self._origins: dict[int, Origin] = {}
        self._kept: set[int] = set()
        self._settled = dict.fromkeys(sinks, 0)
        self._done = 0
        self._lock = threading.Lock()

    def letters(self) -> Iterator[DeadLetter]:
        """Every chosen letter, oldest first."""
        return self._store.find(self._chosen, self._limit)

    def note(self, position: int, letter: DeadLetter) -> None:
        """The letter at `position` is about to be sent."""
        with self._lock:
            self.read = max(self.read, position + 1)
            self._origins[position] = Origin(
                letter.id, letter.stream, letter.position, letter.attempts, letter.first_ms
            )

    def again(self, position: int) -> DeadLetter | None:
        """The letter at a position that was read before."""
        return self._store.get(self._origins[position].id)

    def keep(self, position: int, *, invalid: bool = False) -> None:
        """The letter at `position` stays as it is."""
        with self._lock:
            self._kept.add(position)
            if invalid:
                self.invalid.add(position)

    def as_before(self, letter: DeadLetter) -> DeadLetter:
        """A letter that a pipeline has just written, as one about the event's first place in the journal.

        If it is about the same sink it is the same letter: same id, attempts added up.
        """
        origin = self._origins[letter.position]
        moved = replace(letter, stream=origin.stream, position=origin.position)
        if letter.sink == self.owner:
            attempts = origin.attempts + letter.attempts
            return replace(moved, id=origin.id, attempts=attempts, first_ms=origin.first_ms)
        return replace(moved, id=letter_id(letter.sink, origin.stream, origin.position, letter.payload))

    def settle(self, sink: str, cursor: int) -> None:
        """One sink has settled every letter before `cursor`; resolve what all of them have."""
        with self._lock:
            self._settled[sink] = max(cursor, self._settled[sink])
            begin, self._done = self._done, min(self._settled.values())
            gone = [(place, self._origins.pop(place)) for place in range(begin, self._done)]
            delivered = [origin.id for place, origin in gone if place not in self._kept]
        if delivered:
            self._store.resolve(delivered)
            with self._lock:
                self.resolved += len(delivered)


class ReplayReader(Reader):
    """Serves letters to one pipeline as if they were a journal."""

    def __init__(self, letters: Letters, sink: str, decoder: SharedDecoder) -> None:
        self._letters = letters
        self._sink = sink
        self._decoder = decoder
        self._left = letters.letters()
        self._again: deque[int] = deque()
        self._position = 0
        self._ended = False

    def read(self, timeout: float) -> Page | None:  # noqa: ARG002 - letters cannot be waited for
        """The next letters; those that are still not valid are marked to be kept."""
        start, letters = self._next()
        if not letters:
            self._ended = True
            return None
        for place, letter in enumerate(letters, start):
            self._letters.note(place, letter)
        payloads = [letter.payload for letter in letters]
        page = Page(
            self._letters.stream,
            start,
            start + len(letters),
            payloads,
            sum(map(len, payloads)),
            range(start + 1, start + len(letters) + 1),
            [letter.first_ms for letter in letters],
        )
        for invalid in self._decoder.decode(page).invalid:  # the pipeline finds the page decoded
            self._letters.keep(page.before(invalid.index), invalid=True)
        return page

    def commit(self, cursors: Mapping[str, int]) -> None:
        """What is settled and was not kept is resolved, durably."""
        for cursor in cursors.values():
            self._letters.settle(self._sink, cursor)

    def rewind(self, cursors: Mapping[str, int]) -> None:
        """Serve again what was served from this position on."""
        begin = cursors[self._letters.stream]
        self._again = deque(range(begin, self._position))
        self._ended = False

    def at_end(self) -> bool:
        """Whether every letter was served."""
        return self._ended

    def lag(self) -> Lag:
        """Letters not served yet."""
        return Lag(records=max(0, self._letters.total - self._position))

    def _next(self) -> tuple[int, list[DeadLetter]]:
        if self._again:
            places = [self._again.popleft() for _ in range(min(PAGE, len(self._again)))]
            found = [self._letters.again(place) for place in places]
            return places[0], [letter for letter in found if letter is not None]
        letters = list(islice(self._left, PAGE))
        start, self._position = self._position, self._position + len(letters)
        return start, letters


class ReplayStore:
    """Where a replay's pipelines write their dead letters: each under its first place in the journal."""

    def __init__(self, store: SqliteDeadLetters, letters: Letters) -> None:
        self._store = store
        self._letters = letters

    def write(self, letters: Sequence[DeadLetter]) -> None:
        """Store the letters durably; those of the sink that is replayed stay unresolved."""
        self._store.write([self._letters.as_before(letter) for letter in letters])
        for letter in letters:
            if letter.sink == self._letters.owner:
                self._letters.keep(letter.position)


class Replay(Crew):
    """One replay: the letters of one sink, or the invalid events for every enabled sink.

    `chosen.sink` says which. Every replay is a stream of its own, named by its start, so that a
    sink that names objects by stream and position never takes one replay for another.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        state: State,
        notify: Callable[..., None],
        chosen: Filter,
        limit: int | None = None,
        now_ms: int | None = None,
    ) -> None:
        owner = chosen.sink or REJECTS
        started = int(time.time() * 1000) if now_ms is None else now_ms
        store = SqliteDeadLetters(state)  # without a quota: the letters are in the file already
        sinks = list(settings.enabled) if owner == REJECTS else [owner]
        stream = f"{'rejects' if owner == REJECTS else 'dead-letters'}-{started}"
        self.letters = Letters(store, replace(chosen, sink=owner), sinks, stream, limit)
        validation = settings.validation
        stages = Stages(settings, registry)
        super().__init__(stages, "replay-")
        judge = Decoder(Level(validation.level), validation.max_event_bytes)
        decoder = SharedDecoder(judge, chain=stages.shared)
        refused, told = ReplayStore(store, self.letters), self._told(notify)
        parts = Parts(settings, decoder, refused, told, stages=stages, until_idle=True)
        self.pipelines = [self._pipeline(parts, registry, sink, decoder) for sink in sinks]

    def close(self) -> None:
        """Leave the stages; for when nothing runs any more."""
        self._stages.close()

    def _pipeline(self, parts: Parts, registry: Registry, name: str, decoder: SharedDecoder) -> Pipeline:
        # Letters are those that were refused before, so many refusals in a row say nothing new;
        # and each is sent, even one that equals another, because each is to be resolved.
        settings = parts.settings.sinks[name].model_copy(
            update={
                "rejects": RejectLimits(max_consecutive=0, max_ratio=1.0),
                "dedup": DedupSettings(window=0),
            }
        )
        sink = make_sink(registry, settings)
        plugin = registry.source("sink", settings.type)
        return sink_pipeline(
            parts, sink, settings, plugin, lambda _: ReplayReader(self.letters, name, decoder)
        )

    def _told(self, notify: Callable[..., None]) -> Callable[..., None]:
        """Observers learn of letters as they are stored."""

        def tell(hook: str, **facts: Any) -> None:
            if hook == "bridge_dead_lettered":
                facts["letter"] = self.letters.as_before(facts["letter"])
            notify(hook, **facts)

        return tell
