"""What plugins offer: the classes by the name that `type = "…"` says, and the rules a class must keep."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from bridge.configuration.models import JOURNAL_KEYS, SINK_KEYS, STAGE_KEYS
from bridge.configuration.problems import nearest
from bridge.configuration.shapes import keys
from bridge.errors import PluginError
from bridge.journals.base import Journal, JournalConfig
from bridge.sinks import BatchLimits, Sink, SinkConfig
from bridge.stages.base import Stage, StageConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["API_VERSION", "HOST", "PluginInfo", "Registry", "check_journal", "check_sink", "check_stage"]

API_VERSION = 1
HOST = "sunbird-bridge"
TYPE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
NounT = TypeVar("NounT")


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """Where a plugin came from, what it offers, and why not if it failed.

    `name` is the entry point's, or the name of the single file. `distribution` is empty for a
    single file, whose `version` is its `__version__` or else a digest of its text. `file` is
    where it was loaded from, the name of its module before that. `error` is empty when all is well.
    """

    name: str
    distribution: str = ""
    version: str = ""
    file: str = ""
    sinks: tuple[str, ...] = ()
    journals: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    loaded: bool = False
    error: str = ""

    @property
    def source(self) -> str:
        """Who offers it, with the version: `sunbird-bridge 0.1.0`, or `my_sink.py sha256:…`."""
        return f"{self.distribution or self.name} {self.version}".rstrip()


@dataclass
class Registry:
    """The sink, journal and stage classes that can be used, and why others cannot.

    `faults` has a sentence for each name that failed; `installed` the nouns (`sink`, `journal`,
    `stage`) that each installed name may stand for; `origins` the plugin behind each `(noun, type)`.
    """

    sinks: dict[str, type[Sink[Any, Any]]] = field(default_factory=dict)
    journals: dict[str, type[Journal]] = field(default_factory=dict)
    stages: dict[str, type[Stage[Any]]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    installed: dict[str, frozenset[str]] = field(default_factory=dict)
    origins: dict[tuple[str, str], PluginInfo] = field(default_factory=dict)

    def sink(self, name: str) -> type[Sink[Any, Any]]:
        """The sink class of this type; `PluginError` says why there is none."""
        if name in self.sinks and name not in self.faults:
            return self.sinks[name]
        raise PluginError(self._why_not("sink", name))

    def journal(self, name: str) -> type[Journal]:
        """The journal class of this type; `PluginError` says why there is none."""
        if name in self.journals and name not in self.faults:
            return self.journals[name]
        raise PluginError(self._why_not("journal", name))

    def stage(self, name: str) -> type[Stage[Any]]:
        """The stage class of this type; `PluginError` says why there is none."""
        if name in self.stages and name not in self.faults:
            return self.stages[name]
        raise PluginError(self._why_not("stage", name))

    def fault(self, name: str) -> str | None:
        """Why the installed plugin of this name cannot be used; None if it can."""
        if name in self.faults:
            return self.faults[name]
        return (
            None
            if name in self.installed
            else f"no installed plugin has this name{_hint(name, self.installed)}"
        )

    def source(self, noun: str, name: str) -> str:
        """The distribution and version behind a type, for logs and dead letters; "" if unknown."""
        info = self.origins.get((noun, name))
        return info.source if info else ""

    def _why_not(self, noun: str, name: str) -> str:
        if name in self.faults:
            return f"this plugin cannot be used: {self.faults[name]}"
        known = {known for known, nouns in self.installed.items() if noun in nouns}
        known |= {offered for kind, offered in self.origins if kind == noun}
        if any(offered == name for _, offered in self.origins):
            return f"this plugin offers no {noun}{_hint('', known)}"
        files = [
            f"; {name} was not loaded: {fault}" for name, fault in self.faults.items() if name.endswith(".py")
        ]
        return f"no plugin has this name{_hint(name, known)}{''.join(files)}"


def check_sink(sink: object, source: str) -> type[Sink[Any, Any]]:
    """The class itself if the host can work with it; `PluginError` says what is wrong with it."""
    if not (isinstance(sink, type) and issubclass(sink, Sink)):
        raise PluginError(f"bridge_sinks returned {_described(sink)}, not a subclass of Sink")
    _check_class(sink, source)
    _check_config(sink, sink.config_type, SinkConfig, SINK_KEYS)
    limits: object = sink.limits
    if not isinstance(limits, BatchLimits):
        raise PluginError(f"{sink.__name__}.limits must be a BatchLimits")
    in_flight: object = sink.max_in_flight
    if not isinstance(in_flight, int) or in_flight < 1:
        raise PluginError(f"{sink.__name__}.max_in_flight must be a whole number of at least 1")
    return sink


def check_journal(journal: object, source: str) -> type[Journal]:
    """The class itself if the host can work with it; `PluginError` says what is wrong with it."""
    if not (isinstance(journal, type) and issubclass(journal, Journal)):
        raise PluginError(f"bridge_journals returned {_described(journal)}, not a subclass of Journal")
    _check_class(journal, source)
    _check_config(journal, journal.config_type, JournalConfig, JOURNAL_KEYS)
    return journal


def check_stage(stage: object, source: str) -> type[Stage[Any]]:
    """The class itself if the host can work with it; `PluginError` says what is wrong with it."""
    if not (isinstance(stage, type) and issubclass(stage, Stage)):
        raise PluginError(f"bridge_stages returned {_described(stage)}, not a subclass of Stage")
    _check_class(stage, source)
    _check_config(stage, stage.config_type, StageConfig, STAGE_KEYS)
    return stage


def _check_class(noun: type[Sink[Any, Any] | Journal | Stage[Any]], source: str) -> None:
    if inspect.isabstract(noun):
        missing = ", ".join(sorted(noun.__abstractmethods__))
        raise PluginError(f"{noun.__name__} does not define {missing}")
    name = getattr(noun, "name", None)
    if not (isinstance(name, str) and TYPE_NAME.fullmatch(name)):
        raise PluginError(
            f'{noun.__name__} needs a class attribute such as name = "archive" (a-z, 0-9, - and _)'
        )
    if noun.api_version != API_VERSION:
        upgrade = source if noun.api_version < API_VERSION else HOST
        raise PluginError(
            f"{noun.__name__} was written for plugin API {noun.api_version}, this bridge speaks {API_VERSION}"
            f" (install a newer {upgrade})"
        )


def _check_config(
    noun: type, config: object, base: type[SinkConfig | JournalConfig | StageConfig], reserved: frozenset[str]
) -> None:
    if not (isinstance(config, type) and issubclass(config, base)):
        raise PluginError(f"{noun.__name__}.config_type must be a subclass of {base.__name__}")
    if clash := sorted(reserved & {*config.model_fields, *keys(config)}):
        raise PluginError(
            f"{config.__name__} has the key {', '.join(clash)}, which is the host's own (choose another name)"
        )


def _described(thing: object) -> str:
    return f"the class {thing.__name__}" if isinstance(thing, type) else f"one {type(thing).__name__}"


def _hint(name: str, known: Mapping[str, object] | set[str]) -> str:
    if not known:
        return f" (no plugin is installed; pip install {HOST})"
    near = nearest(name, known) if name else None
    return f' (did you mean "{near}"?)' if near else f" (known: {', '.join(sorted(known))})"
