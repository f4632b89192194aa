"""What every command starts from: the configuration, the plugins it names, the state file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from bridge import settings as configuration
from bridge.configuration.problems import nearest, quoted
from bridge.engine.assembly import Stages, make_sink, make_stage
from bridge.errors import BridgeError
from bridge.plugins import Plugins
from bridge.state import State
from bridge.validation import Decoder, Level

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from bridge.registry import Registry
    from bridge.settings import Settings
    from bridge.sinks import Sink
    from bridge.stages.base import Stage

__all__ = ["Host", "require_known"]


@dataclass(frozen=True, slots=True)
class Host:
    """The configuration as it was loaded, and what was loaded with it."""

    settings: Settings
    plugins: Plugins

    @classmethod
    def load(cls, config: Path | None, *, resolve_secrets: bool = True) -> Host:
        """Read the configuration at `config` or where it usually is; `ConfigError` has all that is wrong."""
        plugins = Plugins()
        path = config or configuration.find(os.environ)
        settings = configuration.load(path, os.environ, plugins=plugins, resolve_secrets=resolve_secrets)
        return cls(settings, plugins)

    @property
    def registry(self) -> Registry:
        """The sink and journal classes."""
        return self.plugins.registry

    @property
    def state_path(self) -> Path:
        """The state file, whether or not it exists."""
        return self.settings.data_dir / "bridge.db"

    def open_state(self) -> State:
        """The state file for reading and writing, created where it is missing."""
        return State(self.state_path)

    def look(self) -> State:
        """The state file for reading, also while the bridge runs."""
        if not self.state_path.is_file():
            raise BridgeError(
                f"{self.state_path} does not exist yet; `bridge run` or `bridge import` creates it"
            )
        return State(self.state_path, read_only=True)

    def decoder(self) -> Decoder:
        """A decoder at the configured level."""
        return Decoder(Level(self.settings.validation.level), self.settings.validation.max_event_bytes)

    def sink(self, name: str) -> Sink[Any, Any]:
        """A new sink of this id, not entered."""
        return make_sink(self.registry, self.settings.sinks[name])

    def stage(self, name: str) -> Stage[Any]:
        """A new stage of this id, not entered."""
        return make_stage(self.registry, self.settings.stages[name])

    def stages(self) -> Stages:
        """Every enabled stage, not entered."""
        return Stages(self.settings, self.registry)


def require_known(names: Collection[str], known: Collection[str], option: str) -> None:
    """Refuse a pipeline or sink that nobody has heard of, as a fault of the command line."""
    for name in names:
        if name not in known:
            near = nearest(name, known)
            hint = f'did you mean "{near}"?' if near else f"known: {quoted(known)}"
            raise click.BadParameter(f'there is no "{name}" ({hint})', param_hint=option)
