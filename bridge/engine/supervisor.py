"""Runs every pipeline of the process, trims the journal behind them, and stops them in order."""

from __future__ import annotations

import gc
import logging
import threading
import time
from typing import TYPE_CHECKING

from bridge.deadletters import REJECTS, AnnouncedDeadLetters, SqliteDeadLetters
from bridge.engine.assembly import Parts, Stages, make_sink, rejects_pipeline, sink_pipeline
from bridge.engine.crew import Crew
from bridge.engine.sharing import SharedDecoder
from bridge.journals.base import JournalContext
from bridge.reports import RunInfo
from bridge.validation import Decoder, Level

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from bridge.deadletters import DeadLetters
    from bridge.engine.pipeline import ReaderOf
    from bridge.journals.base import Journal, Start
    from bridge.plugins import Registry
    from bridge.settings import Settings
    from bridge.state import State

__all__ = ["Supervisor", "open_journal"]

log = logging.getLogger(__name__)

TRIM_EVERY = 5.0
GC_THRESHOLDS = (400_000, 20, 50)  # pages of events are no garbage; looking through them costs 1 µs an event
DAY_MS = 86_400_000


def open_journal(
    settings: Settings, registry: Registry, state: State, notify: Callable[..., None] | None = None
) -> Journal:
    """The configured journal, which knows every configured pipeline, running here or not.

    `notify(hook, …)` tells observers of the events that it refuses itself.
    """
    pipelines = (REJECTS, *settings.enabled)
    context = JournalContext(state, settings.instance, pipelines, settings.dead_letters.max_bytes, notify)
    return registry.journal(settings.journal.type)(settings.journal.config, context)


class Supervisor(Crew):
    """The pipelines of one process, one thread each.

    `only` names the sinks to run here (None: all enabled ones); the rejects run with the first
    sink's process, or with all. `until_idle` ends every pipeline once the journal is settled.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        state: State,
        notify: Callable[..., None],
        *,
        only: Collection[str] | None = None,
        until_idle: bool = False,
    ) -> None:
        self.settings = settings
        self.state = state
        self.started = time.time()
        self.dead_letters = SqliteDeadLetters(state, settings.dead_letters.max_bytes)
        self.journal = open_journal(settings, registry, state, notify)
        self._notify = notify
        stages = Stages(settings, registry)
        super().__init__(stages)
        chosen = {name: sink for name, sink in settings.enabled.items() if only is None or name in only}
        validation = settings.validation
        decoder = SharedDecoder(
            Decoder(Level(validation.level), validation.max_event_bytes),
            self.journal.shared_bytes,
            stages.shared,
        )
        self.letters: DeadLetters = self.journal.dead_letters() or self.dead_letters
        self.strays = AnnouncedDeadLetters(self.letters, notify)
        parts = Parts(
            settings,
            decoder,
            self.letters,
            notify,
            stages=stages,
            sinks=len(chosen),
            until_idle=until_idle,
        )
        self.pipelines.append(rejects_pipeline(parts, self.journal))
        for name, sink in chosen.items():
            plugin = registry.source("sink", sink.type)
            reader_of = _reader_of(self.journal, name, sink.start)
            self.pipelines.append(sink_pipeline(parts, make_sink(registry, sink), sink, plugin, reader_of))
        self._stopped = threading.Event()
        self._janitor = threading.Thread(target=self._tidy, name="janitor", daemon=True)

    @property
    def info(self) -> RunInfo:
        """What is running."""
        names = tuple(pipeline.options.name for pipeline in self.pipelines)
        return RunInfo(self.settings.instance, self.settings.journal.type, names)

    def start(self) -> None:
        """See `Crew.start`."""
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        super().start()
        self._janitor.start()
        self._notify("bridge_started", info=self.info)

    def stop(self) -> None:
        """Stop reading and drain; `join` waits for the end."""
        if not self._stopped.is_set():
            self._notify("bridge_stopping", info=self.info)
        self._stopped.set()
        super().stop()

    def finish(self) -> None:
        """End every pipeline once the journal is settled, as if `until_idle` had been set."""
        for pipeline in self.pipelines:
            pipeline.finish()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for every pipeline to end; False if one has not within `timeout` seconds."""
        ends = None if timeout is None else time.monotonic() + timeout
        for thread in self._threads:
            thread.join(None if ends is None else max(0.0, ends - time.monotonic()))
        done = not any(thread.is_alive() for thread in self._threads)
        if done:
            self._stopped.set()
            self._trim()
            self._stages.close()
        return done

    def places(self) -> list[tuple[str, str]]:
        """Each sink's name and the address of its destination, where it has one."""
        return [(p.options.name, p.where) for p in self.pipelines if p.where]

    def _tidy(self) -> None:
        while not self._stopped.wait(TRIM_EVERY):
            self._trim()

    def _trim(self) -> None:
        try:
            self.journal.trim()
            days = self.settings.dead_letters.retention_days
            if days:
                self.dead_letters.purge(int(time.time() * 1000 - days * DAY_MS))
        except Exception:
            log.exception("tidying the journal failed; it will be tried again")


def _reader_of(journal: Journal, pipeline: str, start: Start) -> ReaderOf:
    return lambda wake: journal.reader(pipeline, start, wake)
