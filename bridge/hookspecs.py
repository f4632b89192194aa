"""Every place a plugin can take part: nouns registered once, and observers.

    load ─► bridge_sinks · bridge_journals · bridge_stages ─► open ─► bridge_started
         ─► (bridge_settled · bridge_dead_lettered)* ─► bridge_stopping ─► close

Hooks are synchronous and never run per event. Registering hooks return classes; observers
receive frozen objects, and what an observer raises is logged and ignored. An entry point in
the group `bridge` names the plugin; its name is what `type = "…"` says in the configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridge.deadletters import DeadLetter
    from bridge.journals.base import Journal
    from bridge.reports import BatchReport, RunInfo
    from bridge.sinks import Sink, SinkConfig
    from bridge.stages.base import Stage, StageConfig

__all__ = [
    "bridge_dead_lettered",
    "bridge_journals",
    "bridge_settled",
    "bridge_sinks",
    "bridge_stages",
    "bridge_started",
    "bridge_stopping",
    "hookimpl",
    "hookspec",
]

hookspec = pluggy.HookspecMarker("bridge")
hookimpl = pluggy.HookimplMarker("bridge")


@hookspec
def bridge_sinks() -> Iterable[type[Sink[SinkConfig, object]]]:
    """Return the sink classes this plugin offers; called once, after loading."""
    return ()


@hookspec
def bridge_journals() -> Iterable[type[Journal]]:
    """Return the journal classes this plugin offers; called once, after loading."""
    return ()


@hookspec
def bridge_stages() -> Iterable[type[Stage[StageConfig]]]:
    """Return the stage classes this plugin offers; called once, after loading."""
    return ()


@hookspec
def bridge_started(info: RunInfo) -> None:
    """Observe that every pipeline has opened its sink; called once."""


@hookspec
def bridge_stopping(info: RunInfo) -> None:
    """Observe that reading has stopped and pipelines drain; called once."""


@hookspec
def bridge_settled(report: BatchReport) -> None:
    """Observe the outcome of one send attempt; called per batch, on the pipeline's thread."""


@hookspec
def bridge_dead_lettered(letter: DeadLetter) -> None:
    """Observe one dead letter after it became durable; called on the thread that wrote it."""
