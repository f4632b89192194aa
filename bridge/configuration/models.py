"""The host's own keys as typed, frozen tables; `bridge.settings` is where they are read from.

Each field's description is what `bridge schema`, `config.example.toml` and the documentation
say about it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SerializeAsAny, model_validator

from bridge.configuration.intake import IntakeSettings
from bridge.configuration.routes import Glob, Patterns, RouteSettings, Table
from bridge.journals.base import JournalConfig, Start
from bridge.sinks import BatchLimits, ObjectSink, Sink, SinkConfig
from bridge.stages.base import StageConfig

__all__ = [
    "JOURNAL_KEYS",
    "SINK_KEYS",
    "STAGE_KEYS",
    "BatchSettings",
    "DeadLetterSettings",
    "DedupSettings",
    "FileTables",
    "HostTables",
    "JournalKeys",
    "JournalSettings",
    "LogSettings",
    "OpsSettings",
    "Patterns",
    "PluginSettings",
    "RejectLimits",
    "RetrySettings",
    "RouteSettings",
    "Settings",
    "ShutdownSettings",
    "SinkKeys",
    "SinkSettings",
    "StageKeys",
    "StageSettings",
    "ValidationSettings",
]

KIB, MIB, GIB = 1024, 1024**2, 1024**3


class BatchSettings(Table):
    """When a batch is closed, whichever comes first; what is not set is the sink's own limit."""

    max_events: int | None = Field(
        default=None, ge=1, description="Events in one batch; unset = the sink's own limit."
    )
    max_bytes: int | None = Field(
        default=None, ge=1, description="Bytes of payload in one batch; unset = the sink's own limit."
    )
    max_age: float | None = Field(
        default=None, gt=0, description="Seconds a batch waits for more events; unset = the sink's own limit."
    )
    max_payload_bytes: int | None = Field(
        default=None,
        ge=1,
        description="A longer payload is dead-lettered before it is sent; unset = the sink's own limit.",
    )

    def over(self, limits: BatchLimits) -> BatchLimits:
        """The sink's own limits with whatever is set here in their place."""
        return dataclasses.replace(limits, **self.model_dump(exclude_none=True))


class RetrySettings(Table):
    """How long to wait between attempts: full jitter below a ceiling that doubles."""

    min: float = Field(
        default=0.1, gt=0, description="Ceiling of the first wait after a failure, in seconds."
    )
    max: float = Field(default=60.0, gt=0, description="Ceiling of every later wait, in seconds.")
    probe_min: float = Field(
        default=30.0, gt=0, description="First wait while the set-up is wrong (401, TLS, …), in seconds."
    )
    probe_max: float = Field(
        default=300.0, gt=0, description="Longest wait while the set-up is wrong, in seconds."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError("min must not be above max")
        if self.probe_min > self.probe_max:
            raise ValueError("probe_min must not be above probe_max")
        return self


class RejectLimits(Table):
    """When refusals stop being poison events and start being a broken set-up, which is held."""

    max_consecutive: int = Field(
        default=100, ge=0, description="Refusals in a row before the sink is held; 0 = no limit."
    )
    max_ratio: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Share of refusals in the last 1,000 events before the sink is held; 1 = no limit.",
    )


class DedupSettings(Table):
    """The memory that drops an event seen twice."""

    window: int = Field(
        default=50_000,
        ge=0,
        description="Identities remembered, so that a repeated event is sent once; 0 = off.",
    )


class SinkKeys(Table):
    """The host's keys of a `[sinks.<id>]` table; every other key belongs to the sink's plugin."""

    type: str = Field(description="Which plugin delivers; `bridge plugins` lists them.")
    enabled: bool = Field(
        default=True, description="false leaves the sink out of `bridge run` and keeps its cursor."
    )
    start: Start = Field(default="earliest", description="Where a sink without a cursor begins to read.")
    route: RouteSettings = Field(default=RouteSettings(), description="Which events the sink gets.")
    batch: BatchSettings = Field(default=BatchSettings(), description="When a batch is closed.")
    retry: RetrySettings = Field(default=RetrySettings(), description="How failed batches are tried again.")
    rejects: RejectLimits = Field(
        default=RejectLimits(), description="When refusals count as a broken set-up."
    )
    dedup: DedupSettings = Field(default=DedupSettings(), description="How repeated events are dropped.")
    max_in_flight: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Batches being sent at the same time; unset = the sink's own number.",
    )
    max_buffer_bytes: int | None = Field(
        default=None,
        ge=64 * KIB,
        description="Bytes of memory that events may hold before reading pauses, a quarter of it while the "
        "destination takes nothing; unset = 64 MiB for one sink, 48 MiB divided by their number for "
        "several, 12 MiB at least.",
    )


class SinkSettings(SinkKeys):
    """One `[sinks.<id>]` table: the host's keys, and the plugin's own as `config`."""

    id: str
    config: SerializeAsAny[SinkConfig]

    def limits(self, sink: Sink[Any, Any]) -> BatchLimits:
        """The batch limits in force for this sink."""
        return self.batch.over(sink.limits)

    def in_flight(self, sink: Sink[Any, Any]) -> int:
        """How many batches are sent at a time to this sink."""
        # An object's range begins where the one before it ended, so they go one after the other.
        ordered = isinstance(sink, ObjectSink) or bool(getattr(sink.config, "ordered", False))
        return 1 if ordered else self.max_in_flight or sink.max_in_flight


class StageKeys(Table):
    """The host's keys of a `[stages.<id>]` table; every other key belongs to the stage's plugin."""

    type: str = Field(description="Which plugin changes events; `bridge plugins` lists them.")
    enabled: bool = Field(default=True, description="false leaves the stage out.")
    sinks: tuple[Glob, ...] = Field(
        default=(),
        description="Ids of the sinks it works for, globs allowed; empty = all, where it runs once for all.",
        examples=[["partner"]],
    )
    route: RouteSettings = Field(
        default=RouteSettings(), description="Which events the stage gets; all others pass by unchanged."
    )


class StageSettings(StageKeys):
    """One `[stages.<id>]` table: the host's keys, and the plugin's own as `config`."""

    id: str
    config: SerializeAsAny[StageConfig]


class JournalKeys(Table):
    """The host's keys of `[journal]`; every other key belongs to the journal's plugin."""

    type: str = Field(
        default="sqlite", description="Which plugin keeps the events; `bridge plugins` lists them."
    )


class JournalSettings(JournalKeys):
    """The `[journal]` table: its type, and the plugin's own keys as `config`."""

    config: SerializeAsAny[JournalConfig]


class ValidationSettings(Table):
    """The `[validation]` table."""

    level: Literal["strict", "lenient", "envelope"] = Field(
        default="lenient",
        description="strict = the official v3 schemas; lenient = also extra edata keys and unknown eids; "
        "envelope = only what routing and identity need.",
    )
    max_event_bytes: int = Field(
        default=MIB, ge=1 * KIB, le=64 * MIB, description="A longer event is invalid."
    )


class DeadLetterSettings(Table):
    """The `[dead_letters]` table."""

    max_bytes: int = Field(
        default=GIB,
        ge=MIB,
        description="Dead letters kept at most, in bytes; when full, pipelines wait and nothing is dropped.",
    )
    retention_days: float = Field(
        default=0.0, ge=0, description="Dead letters older than this are deleted; 0 = kept for ever."
    )


class OpsSettings(Table):
    """The `[ops]` table."""

    enabled: bool = Field(default=True, description="Serve /livez, /readyz, /metrics and the status page.")
    host: str = Field(
        default="127.0.0.1", min_length=1, description="Address to listen on; it has no password of its own."
    )
    port: int = Field(default=8126, ge=0, le=65_535, description="Port to listen on; 0 = any free one.")


class LogSettings(Table):
    """The `[log]` table."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least that is logged."
    )
    format: Literal["auto", "text", "json"] = Field(
        default="auto", description="auto = text on a terminal, JSON lines otherwise."
    )


class PluginSettings(Table):
    """The `[plugins]` table."""

    dir: str = Field(
        default="",
        description="Folder of single-file plugins, relative to this file; each *.py in it is loaded.",
        examples=["plugins.d"],
    )
    load: tuple[str, ...] = Field(
        default=(),
        description="Installed plugins to load although no sink or journal names them, such as observers.",
        examples=[["my-observer"]],
    )


class ShutdownSettings(Table):
    """The `[shutdown]` table."""

    grace: float = Field(
        default=25.0, ge=0, description="Seconds to deliver what is in flight after SIGTERM."
    )


class HostTables(Table):
    """Everything in the file that belongs to the host alone."""

    instance: str = Field(
        default="bridge",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
        description="Names this bridge in Kafka groups and metrics.",
    )
    data_dir: Path = Field(
        default=Path("data"),
        description="Folder of the state file, relative to this file: journal, cursors, dead letters.",
    )
    intake: IntakeSettings = Field(
        default=IntakeSettings(), description="How telemetry gets into the journal."
    )
    validation: ValidationSettings = Field(
        default=ValidationSettings(), description="What counts as a valid event."
    )
    dead_letters: DeadLetterSettings = Field(
        default=DeadLetterSettings(), description="How refused events are kept."
    )
    ops: OpsSettings = Field(default=OpsSettings(), description="Health, metrics and the status page.")
    log: LogSettings = Field(default=LogSettings(), description="What is logged, and how.")
    plugins: PluginSettings = Field(default=PluginSettings(), description="Where plugins come from.")
    shutdown: ShutdownSettings = Field(default=ShutdownSettings(), description="How the bridge stops.")


class FileTables(HostTables):
    """Every table that may stand in the file, with the host's keys of each."""

    journal: JournalKeys = Field(default=JournalKeys(), description="Where the events are kept.")
    stages: dict[str, StageKeys] = Field(
        default={}, description="What is changed on the way; one table a stage, in this order."
    )
    sinks: dict[str, SinkKeys] = Field(description="Where the events go; one table a destination.")


class Settings(HostTables):
    """The whole configuration, checked. `data_dir` is absolute; `sinks` holds disabled ones too.

    `unresolved` is empty unless secrets were taken on trust: it says of each sink that is left
    out because its plugin looks at a secret which is not at hand, which secret that is.
    """

    journal: JournalSettings
    sinks: Mapping[str, SinkSettings]
    stages: Mapping[str, StageSettings] = {}
    unresolved: Mapping[str, str] = {}
    origin: str = ""

    @property
    def enabled(self) -> dict[str, SinkSettings]:
        """The sinks that `bridge run` runs, in the order of the file."""
        return {key: sink for key, sink in self.sinks.items() if sink.enabled}


SINK_KEYS = frozenset(SinkKeys.model_fields)
STAGE_KEYS = frozenset(StageKeys.model_fields)
JOURNAL_KEYS = frozenset(JournalKeys.model_fields)
