"""The two steps from merged tables to settings: the host's own keys, then each plugin's.

Every problem of every table is collected before anything is raised.
"""

from __future__ import annotations

import dataclasses
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from bridge.configuration.models import (
    JOURNAL_KEYS,
    SINK_KEYS,
    STAGE_KEYS,
    FileTables,
    HostTables,
    JournalKeys,
    JournalSettings,
    Settings,
    SinkKeys,
    SinkSettings,
    StageKeys,
    StageSettings,
)
from bridge.configuration.problems import Report, nearest, quoted
from bridge.configuration.shapes import secret_values
from bridge.configuration.sources import fold, located, typed
from bridge.errors import ConfigError, PluginError
from bridge.secrets import Places, UnresolvedSecretError, remember

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_core import ErrorDetails

    from bridge.configuration.sources import Tables
    from bridge.plugins import Registry

__all__ = ["RESERVED_IDS", "SINK_ID", "validate"]

ModelT = TypeVar("ModelT", bound=BaseModel)
SINK_ID = re.compile(r"[a-z][a-z0-9_-]{0,62}")
NOUNS = frozenset({"journal", "stages", "sinks"})  # what plugins have a say in
RESERVED_IDS = frozenset({"rejects"})  # the pipeline that dead-letters invalid events
BAD_ID = "an id is 1 to 63 of a-z 0-9 - _, begins with a letter and has no two underscores in a row"
URL_PASSWORD = re.compile(r"://[^/@\s]*:([^/@\s]+)@")


def validate(tables: Tables, registry: Registry, places: Places) -> Settings:
    """Judge the merged tables; `ConfigError` with every problem, or the settings."""
    step = _Validation(tables, registry, places)
    host, journal, stages, sinks = step.host(), step.journal(), step.stages(), step.sinks()
    if step.report.problems or host is None or journal is None:
        raise ConfigError(step.report.problems, tables.origin)
    own = dict(host) | {"data_dir": located(tables.folder, host.data_dir)}
    if "level" not in host.validation.model_fields_set and (level := journal.config.validation_level):
        own["validation"] = host.validation.model_copy(update={"level": level})
    nouns: dict[str, Any] = {"journal": journal, "stages": stages, "sinks": sinks}
    return Settings(**own, **nouns, unresolved=step.unresolved, origin=tables.origin)


class _Validation:
    """One validation under way: what is judged, and the report it adds to."""

    def __init__(self, tables: Tables, registry: Registry, places: Places) -> None:
        self.report = Report(tables.variables)
        self.unresolved: dict[str, str] = {}
        self._disabled = 0
        self._tables = tables
        self._registry = registry
        self._places = places
        for text in _texts(tables.data):
            for password in URL_PASSWORD.findall(text):
                remember(password)

    def host(self) -> HostTables | None:
        data = {key: value for key, value in self._tables.data.items() if key not in NOUNS}
        host = self._model(HostTables, (), data, [FileTables])
        if host:
            self._plugin_folder(host)
            for index, name in enumerate(host.plugins.load):
                if fault := self._registry.fault(name):
                    self.report.add(("plugins", "load", index), fault)
        return host

    def journal(self) -> JournalSettings | None:
        data = self._tables.data.get("journal", {})
        if not isinstance(data, dict):
            self.report.add(("journal",), "must be a table, written [journal]")
            return None
        keys, own = _divided(data, JOURNAL_KEYS)
        host = self._model(JournalKeys, ("journal",), keys, [JournalKeys])
        if host is None:
            return None
        try:
            plugin = self._registry.journal(host.type)
        except PluginError as error:
            self.report.add(("journal", "type"), str(error))
            return None
        config = self._model(plugin.config_type, ("journal",), own, [plugin.config_type, JournalKeys])
        return None if config is None else JournalSettings(type=host.type, config=config)

    def sinks(self) -> dict[str, SinkSettings]:
        data = self._tables.data.get("sinks", {})
        if not isinstance(data, dict):
            self.report.add(("sinks",), "must hold one table a sink, written [sinks.archive]")
            return {}
        if not data:
            self.report.add(
                (), "no sink is configured; write at least one table, for example [sinks.archive]"
            )
        self._identifiers("sinks", data)
        sinks = {name: self._sink(name, table) for name, table in data.items()}
        if data and self._disabled == len(data):
            self.report.add(("sinks",), "every sink is disabled; remove enabled = false from one of them")
        return {name: sink for name, sink in sinks.items() if sink is not None}

    def stages(self) -> dict[str, StageSettings]:
        data = self._tables.data.get("stages", {})
        if not isinstance(data, dict):
            self.report.add(("stages",), "must hold one table a stage, written [stages.privacy]")
            return {}
        self._identifiers("stages", data)
        stages = {name: self._stage(name, table) for name, table in data.items()}
        return {name: stage for name, stage in stages.items() if stage is not None}

    def _plugin_folder(self, host: HostTables) -> None:
        folder = self._tables.plugin_folder()
        if host.plugins.dir and folder and not folder.is_dir():
            self.report.add(("plugins", "dir"), "there is no such folder")

    def _identifiers(self, noun: str, data: Mapping[str, Any]) -> None:
        folded: dict[str, str] = {}
        for name in data:
            twin = folded.setdefault(fold(name), name)
            if not SINK_ID.fullmatch(name) or "__" in name:
                self.report.add((noun, name), BAD_ID)
            elif noun == "sinks" and name in RESERVED_IDS:
                self.report.add((noun, name), "this id is the bridge's own; choose another one")
            elif twin != name:
                self.report.add(
                    (noun, name), f'the environment cannot tell this id from "{twin}"; choose another one'
                )

    def _sink(self, name: str, data: Any) -> SinkSettings | None:
        path = ("sinks", name)
        if not isinstance(data, dict):
            self.report.add(path, f"must be a table, written [sinks.{name}]")
            return None
        if "type" not in data and (stray := self._stray(path)):
            self.report.add(path, stray)
            return None
        keys, own = _divided(data, SINK_KEYS)
        host = self._model(SinkKeys, path, keys, [SinkKeys])
        enabled = host is None or host.enabled
        self._disabled += not enabled
        config = self._sink_config(path, data.get("type"), own, enabled=enabled)
        if host is None or config is None:
            return None
        return SinkSettings(**dict(host), id=name, config=config)

    def _sink_config(self, path: tuple[str, str], kind: object, own: dict[str, Any], *, enabled: bool) -> Any:
        if not isinstance(kind, str):
            return None  # the host's step has said so
        try:
            plugin = self._registry.sink(kind)
        except PluginError as error:
            self.report.add((*path, "type"), str(error))
            return None
        return self._model(plugin.config_type, path, own, [plugin.config_type, SinkKeys], resolve=enabled)

    def _stage(self, name: str, data: Any) -> StageSettings | None:
        path = ("stages", name)
        if not isinstance(data, dict):
            self.report.add(path, f"must be a table, written [stages.{name}]")
            return None
        if "type" not in data and (stray := self._stray(path)):
            self.report.add(path, stray)
            return None
        keys, own = _divided(data, STAGE_KEYS)
        host = self._model(StageKeys, path, keys, [StageKeys])
        if host is None:
            return None
        self._stage_sinks(path, host)
        try:
            plugin = self._registry.stage(host.type)
        except PluginError as error:
            self.report.add((*path, "type"), str(error))
            return None
        known: list[type[BaseModel]] = [plugin.config_type, StageKeys]
        config = self._model(plugin.config_type, path, own, known, resolve=host.enabled)
        return None if config is None else StageSettings(**dict(host), id=name, config=config)

    def _stage_sinks(self, path: tuple[str, str], host: StageKeys) -> None:
        ids = list(self._tables.sinks())
        for index, glob in enumerate(host.sinks):
            if not any(fnmatchcase(name, glob) for name in ids):
                near = nearest(glob, ids)
                hint = f'did you mean "{near}"?' if near else f"configured: {quoted(ids)}"
                self.report.add((*path, "sinks", index), f'no sink has the id "{glob}" ({hint})')

    def _stray(self, path: tuple[str, str]) -> str | None:
        """What to say of a table that only the environment speaks of."""
        noun, name = path
        tables = getattr(self._tables, noun)()
        prefix = f"{noun}.{name}."
        names = [variable for place, variable in self._tables.variables.items() if place.startswith(prefix)]
        if not names or len(names) < len(tables[name]):
            return None
        near = nearest(name, (other for other in tables if other != name))
        hint = f' (did you mean "{near}"?)' if near else ""
        return (
            f"only {quoted(sorted(names)[:1])} speaks of this {noun.removesuffix('s')}, "
            f"and it has no type{hint}"
        )

    def _model(
        self,
        model: type[ModelT],
        path: tuple[str, ...],
        data: Mapping[str, Any],
        known: list[type[BaseModel]],
        *,
        resolve: bool = True,
    ) -> ModelT | None:
        values = typed(data, [model])
        for secret in secret_values(model, values):
            remember(secret)
        places = dataclasses.replace(self._places, resolve=self._places.resolve and resolve)
        try:
            return model.model_validate(values, context={"places": places})
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
        if not places.resolve and path[:1] == ("sinks",):
            missing, details = _missing_secrets(details)
            self.unresolved.update(dict.fromkeys(path[1:], missing[0]) if missing else {})
        self.report.add_invalid(path, values, details, known)
        return None


def _missing_secrets(details: list[ErrorDetails]) -> tuple[list[str], list[ErrorDetails]]:
    """What a plugin's own checks could not look up, and what is wrong whatever the secret is."""
    causes = [detail.get("ctx", {}).get("error") for detail in details]
    missing = [isinstance(cause, UnresolvedSecretError) for cause in causes]
    texts = [str(cause) for cause, is_missing in zip(causes, missing, strict=True) if is_missing]
    return texts, [detail for detail, is_missing in zip(details, missing, strict=True) if not is_missing]


def _divided(data: Mapping[str, Any], host: frozenset[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The host's keys of a table, and the plugin's."""
    keys = {key: value for key, value in data.items() if key in host}
    return keys, {key: value for key, value in data.items() if key not in host}


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict | list):
        for value in data.values() if isinstance(data, dict) else data:
            yield from _texts(value)
