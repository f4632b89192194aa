"""From settings to pipelines: the one place where the engine meets the configuration."""

from __future__ import annotations

import random
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from bridge.deadletters import REJECTS
from bridge.engine.inflow import RejectsInflow, SinkInflow
from bridge.engine.pipeline import Pipeline
from bridge.engine.progress import Progress
from bridge.engine.retry import Backoff, RejectLimiter
from bridge.engine.routing import Router
from bridge.engine.settling import Options
from bridge.engine.staging import Chain, Link
from bridge.errors import BridgeError, PluginError, SetupError
from bridge.sinks import ObjectSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bridge.deadletters import DeadLetters
    from bridge.engine.inflow import Inflow
    from bridge.engine.pipeline import ReaderOf
    from bridge.engine.sharing import SharedDecoder
    from bridge.journals.base import Journal
    from bridge.registry import Registry
    from bridge.settings import Settings, SinkSettings, StageSettings
    from bridge.sinks import Sink
    from bridge.stages.base import Stage

__all__ = ["Parts", "Stages", "make_sink", "make_stage", "rejects_pipeline", "sink_pipeline"]

MIB = 1024 * 1024
ONE_BUFFER, SHARED_BUFFER, LEAST_BUFFER = 64 * MIB, 48 * MIB, 12 * MIB
IDLE_SHARE = 4  # a destination that takes nothing gets this part of the buffer
DRAIN_SHARE = 0.8  # of the grace period; the rest is for the last cursors and for ending


class Stages:
    """Every enabled stage, in the file's order; each is entered with this.

    Stages for all sinks are the `shared` chain, which runs once for a page; stages for some
    sinks run behind it, in the pipelines of these alone.
    """

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._made = [(one, make_stage(registry, one)) for one in settings.stages.values() if one.enabled]
        self._stack = ExitStack()
        self.shared = self._chain(lambda one: not one.sinks)

    def of(self, sink: str) -> Chain:
        """The chain of stages for some sinks, this one among them."""
        return self._chain(lambda one: any(fnmatchcase(sink, glob) for glob in one.sinks))

    def open(self) -> None:
        """Enter every stage; `BridgeError` says which one cannot work, and none stays entered then."""
        with ExitStack() as stack:
            for one, stage in self._made:
                _entered(stack, one.id, stage)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Leave every stage that was entered."""
        self._stack.close()

    def _chain(self, wanted: Callable[[StageSettings], bool]) -> Chain:
        return Chain([Link(one.id, stage, Router(one.route)) for one, stage in self._made if wanted(one)])


class Parts:
    """What the pipelines of one process have in common; none of it couples them."""

    def __init__(
        self,
        settings: Settings,
        decoder: SharedDecoder,
        dead_letters: DeadLetters,
        notify: Callable[..., None],
        *,
        stages: Stages | None = None,
        sinks: int = 1,
        until_idle: bool = False,
    ) -> None:
        """`sinks` is how many run in this process, for each one's part of the memory."""
        self.settings = settings
        self.decoder = decoder
        self.stages = stages
        self.dead_letters = dead_letters
        self.notify = notify
        self.buffer_bytes = ONE_BUFFER if sinks == 1 else max(LEAST_BUFFER, SHARED_BUFFER // max(sinks, 1))
        self.until_idle = until_idle
        self.drain = DRAIN_SHARE * settings.shutdown.grace


def make_sink(registry: Registry, settings: SinkSettings) -> Sink[Any, Any]:
    """A new sink as configured, not entered; `PluginError` if its constructor fails."""
    kind = registry.sink(settings.type)
    with _named(f"sink {settings.id} cannot be made"):
        return kind(settings.config)


def make_stage(registry: Registry, settings: StageSettings) -> Stage[Any]:
    """A new stage as configured, not entered; `PluginError` if its constructor fails."""
    kind = registry.stage(settings.type)
    with _named(f"stage {settings.id} cannot be made"):
        return kind(settings.config)


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Say what a plugin could not do; a stranger's text may quote anything, so only its kind is told."""
    try:
        yield
    except BridgeError:
        raise
    except Exception as error:
        raise PluginError(f"{what}: {type(error).__name__}") from error


def _entered(stack: ExitStack, name: str, stage: Stage[Any]) -> None:
    try:
        with _named(f"stage {name} cannot be entered"):
            stack.enter_context(stage)
    except PluginError:
        raise
    except BridgeError as error:
        raise SetupError(f"stage {name}: {error}") from error


def sink_pipeline(
    parts: Parts, sink: Sink[Any, Any], settings: SinkSettings, plugin: str, reader_of: ReaderOf
) -> Pipeline:
    """The pipeline of one sink; `reader_of(wake)` opens its place in a journal."""
    limits = settings.limits(sink)
    progress = Progress()
    router = Router(settings.route)
    chain = parts.stages.of(settings.id) if parts.stages else Chain()
    inflow = SinkInflow(sink, parts.decoder, chain, router, progress, limits, settings.dedup.window)
    retry = settings.retry
    buffer = settings.max_buffer_bytes or parts.buffer_bytes
    options = Options(
        name=settings.id,
        type=settings.type,
        plugin=plugin,
        max_in_flight=settings.in_flight(sink),
        max_held_bytes=max(buffer, 2 * limits.max_bytes),
        max_idle_bytes=max(_idle(sink, buffer), limits.max_bytes),
        backoff=Backoff(retry.min, retry.max),
        probe=Backoff(retry.probe_min, retry.probe_max),
        until_idle=parts.until_idle,
        grace=parts.drain,
    )
    limiter = RejectLimiter(settings.rejects.max_consecutive, settings.rejects.max_ratio)
    return _wired(parts, options, inflow, progress, sink, limiter, reader_of)


def _idle(sink: Sink[Any, Any], buffer: int) -> int:
    """Bytes for a destination that takes nothing; one of objects is sent one rarely, and that is well."""
    return buffer if isinstance(sink, ObjectSink) else buffer // IDLE_SHARE


def rejects_pipeline(parts: Parts, journal: Journal) -> Pipeline:
    """The pipeline that dead-letters what no sink can use, once for all of them."""
    progress = Progress()
    options = Options(
        name=REJECTS,
        type=REJECTS,
        plugin="bridge",
        max_in_flight=1,
        max_held_bytes=1,  # it holds nothing
        max_idle_bytes=1,
        backoff=Backoff(),
        probe=Backoff(30.0, 300.0),
        until_idle=parts.until_idle,
        grace=parts.drain,
    )
    inflow = RejectsInflow(parts.decoder, progress)
    reader_of = lambda wake: journal.reader(REJECTS, "earliest", wake)  # noqa: E731 - it is passed on
    return _wired(parts, options, inflow, progress, None, RejectLimiter(), reader_of)


def _wired(
    parts: Parts,
    options: Options,
    inflow: Inflow,
    progress: Progress,
    sink: Sink[Any, Any] | None,
    limiter: RejectLimiter,
    reader_of: ReaderOf,
) -> Pipeline:
    chance = random.SystemRandom().random
    return Pipeline(
        options, reader_of, inflow, progress, sink, parts.dead_letters, limiter, parts.notify, chance
    )
