"""What the operator configured: `load` reads the file and the environment into `Settings`.

    config.toml + BRIDGE_… ─► read ─► Tables ─► load the plugins it names ─► validate ─► Settings

The first step judges the host's own keys, the second gives the rest of each table to the
plugin its `type` names. All problems are found at once, as one `ConfigError`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bridge.configuration.models import (
    BatchSettings,
    DeadLetterSettings,
    DedupSettings,
    JournalSettings,
    LogSettings,
    OpsSettings,
    Patterns,
    PluginSettings,
    RejectLimits,
    RetrySettings,
    RouteSettings,
    Settings,
    ShutdownSettings,
    SinkSettings,
    StageSettings,
    ValidationSettings,
)
from bridge.configuration.problems import nearest, quoted
from bridge.configuration.schema import json_schema
from bridge.configuration.sources import Tables, read
from bridge.configuration.validation import validate
from bridge.errors import ConfigError, Problem
from bridge.secrets import Places

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from bridge.plugins import Plugins

__all__ = [
    "BatchSettings",
    "DeadLetterSettings",
    "DedupSettings",
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
    "SinkSettings",
    "StageSettings",
    "Tables",
    "ValidationSettings",
    "find",
    "json_schema",
    "load",
    "only",
    "read",
    "validate",
]


def find(environ: Mapping[str, str]) -> Path:
    """The file to read where none was named: `$BRIDGE_CONFIG`, or `config.toml` in the working directory."""
    return Path(environ.get("BRIDGE_CONFIG") or "config.toml")


def load(
    path: Path | None, environ: Mapping[str, str], *, plugins: Plugins, resolve_secrets: bool = True
) -> Settings:
    """Read, load the plugins that the configuration names, and judge everything; `ConfigError` otherwise.

    `path=None` reads the environment alone. `resolve_secrets=False` checks a file where its
    secrets are not at hand: references are taken on trust until they are used.
    """
    tables = read(path, environ)
    registry = plugins.load(tables.names(), tables.plugin_folder())
    return validate(tables, registry, Places(environ, tables.folder, resolve_secrets))


def only(settings: Settings, sinks: Collection[str]) -> Settings:
    """The same settings with these sinks alone; `ConfigError` names every id that is not there."""
    problems = [
        Problem("--only", _no_such_sink(name, settings)) for name in sinks if name not in settings.sinks
    ]
    if problems:
        raise ConfigError(problems, settings.origin)
    chosen = {name: sink for name, sink in settings.sinks.items() if name in sinks}
    return settings.model_copy(update={"sinks": chosen})


def _no_such_sink(name: str, settings: Settings) -> str:
    near = nearest(name, settings.sinks)
    hint = f'did you mean "{near}"?' if near else f"configured: {quoted(settings.sinks)}"
    return f'there is no sink "{name}" ({hint})'
