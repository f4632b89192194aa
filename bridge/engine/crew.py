"""Pipelines with a thread each: started together, watched together, stopped together."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.engine.assembly import Stages
    from bridge.engine.pipeline import Pipeline
    from bridge.reports import Snapshot

__all__ = ["Crew"]


class Crew:
    """The pipelines of one process, or of one replay, and the stages before them."""

    def __init__(self, stages: Stages, prefix: str = "") -> None:
        """`prefix` begins the names of the threads; `pipelines` are added before `start`."""
        self.pipelines: list[Pipeline] = []
        self._stages = stages
        self._prefix = prefix
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start every pipeline's thread; `BridgeError` if a stage cannot work, before anything is read."""
        self._stages.open()
        for pipeline in self.pipelines:
            name = f"{self._prefix}{pipeline.options.name}"
            thread = threading.Thread(target=pipeline.run, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Read no more, drain, commit."""
        for pipeline in self.pipelines:
            pipeline.stop()

    def running(self) -> bool:
        """Whether any pipeline still runs."""
        return any(thread.is_alive() for thread in self._threads)

    def failures(self) -> list[tuple[str, BaseException]]:
        """Pipelines that broke, and what broke them."""
        return [(p.options.name, p.failure) for p in self.pipelines if p.failure is not None]

    def snapshots(self) -> list[Snapshot]:
        """Every pipeline as it is now."""
        return [pipeline.snapshot for pipeline in self.pipelines]
