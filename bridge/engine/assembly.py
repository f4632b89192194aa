"""From settings to pipelines: the one place where the engine meets the configuration."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from bridge.deadletters import REJECTS
from bridge.engine.inflow import RejectsInflow, SinkInflow
from bridge.engine.pipeline import Pipeline
from bridge.engine.progress import Progress
from bridge.engine.retry import Backoff, RejectLimiter
from bridge.engine.routing import Router
from bridge.engine.settling import Options
from bridge.errors import BridgeError, PluginError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.deadletters import DeadLetters
    from bridge.engine.inflow import Inflow
    from bridge.engine.pipeline import ReaderOf
    from bridge.engine.sharing import SharedDecoder
    from bridge.journals.base import Journal
    from bridge.registry import Registry
    from bridge.settings import Settings, SinkSettings
    from bridge.sinks import Sink

__all__ = ["Parts", "make_sink", "rejects_pipeline", "sink_pipeline"]

DRAIN_SHARE = 0.8  # of the grace period; the rest is for the last cursors and for ending


class Parts:
    """What the pipelines of one process have in common; none of it couples them."""

    def __init__(
        self,
        settings: Settings,
        decoder: SharedDecoder,
        dead_letters: DeadLetters,
        notify: Callable[..., None],
        *,
        until_idle: bool = False,
    ) -> None:
        self.settings = settings
        self.decoder = decoder
        self.dead_letters = dead_letters
        self.notify = notify
        self.until_idle = until_idle
        self.drain = DRAIN_SHARE * settings.shutdown.grace


def make_sink(registry: Registry, settings: SinkSettings) -> Sink[Any, Any]:
    """A new sink as configured, not entered; `PluginError` if its constructor fails."""
    kind = registry.sink(settings.type)
    try:
        return kind(settings.config)
    except BridgeError:
        raise
    except Exception as error:  # boundary: a stranger's text may quote anything, so only its kind is told
        raise PluginError(f"sink {settings.id} cannot be made: {type(error).__name__}") from error


def sink_pipeline(
    parts: Parts, sink: Sink[Any, Any], settings: SinkSettings, plugin: str, reader_of: ReaderOf
) -> Pipeline:
    """The pipeline of one sink; `reader_of(wake)` opens its place in a journal."""
    limits = settings.limits(sink)
    progress = Progress()
    router = Router(settings.route)
    inflow = SinkInflow(sink, parts.decoder, router, progress, limits, settings.dedup.window)
    retry = settings.retry
    options = Options(
        name=settings.id,
        type=settings.type,
        plugin=plugin,
        max_in_flight=settings.in_flight(sink),
        max_held_bytes=max(settings.max_buffer_bytes, 2 * limits.max_bytes),
        backoff=Backoff(retry.min, retry.max),
        probe=Backoff(retry.probe_min, retry.probe_max),
        until_idle=parts.until_idle,
        grace=parts.drain,
    )
    limiter = RejectLimiter(settings.rejects.max_consecutive, settings.rejects.max_ratio)
    return _wired(parts, options, inflow, progress, sink, limiter, reader_of)


def rejects_pipeline(parts: Parts, journal: Journal) -> Pipeline:
    """The pipeline that dead-letters what no sink can use, once for all of them."""
    progress = Progress()
    options = Options(
        name=REJECTS,
        type=REJECTS,
        plugin="bridge",
        max_in_flight=1,
        max_held_bytes=1,  # it holds nothing
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
