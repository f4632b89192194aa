"""Where the configuration comes from: one TOML file, and environment variables that override it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from bridge.configuration.models import HostTables
from bridge.configuration.problems import shown
from bridge.configuration.shapes import fields_at, is_list, is_mapping, members, models_in
from bridge.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

__all__ = ["PREFIX", "Tables", "fold", "located", "read", "typed"]

PREFIX = "BRIDGE_"
DELIMITER = "__"
NAMED = ("stages", "sinks")  # tables of tables, whose ids the operator chooses
SCALARS = frozenset(
    name for name, field in HostTables.model_fields.items() if not is_mapping(field.annotation)
)


class Text(str):
    """A value from the environment: text, until the type of its key is known."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Tables:
    """The file and the environment merged, not judged yet.

    `origin` names the file in messages, `folder` is where its relative paths start, and
    `variables` says which environment variable set the value at a dotted path.
    """

    data: Mapping[str, Any]
    origin: str
    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def sinks(self) -> dict[str, Any]:
        """The `[sinks.<id>]` tables, whatever they hold; empty if there is no such table."""
        return _table(self.data.get("sinks"))

    def stages(self) -> dict[str, Any]:
        """The `[stages.<id>]` tables, whatever they hold; empty if there is no such table."""
        return _table(self.data.get("stages"))

    def journal(self) -> dict[str, Any]:
        """The `[journal]` table, whatever it holds."""
        return _table(self.data.get("journal"))

    def names(self) -> list[str]:
        """Every plugin the configuration asks for by name, each once, in the file's order."""
        plugins = _table(self.data.get("plugins"))
        extra = plugins.get("load", [])
        wanted = [self.journal().get("type", "sqlite"), *(extra if isinstance(extra, list) else [])]
        tables = [*self.stages().values(), *self.sinks().values()]
        wanted += [noun.get("type") for noun in map(_table, tables)]
        return list(dict.fromkeys(str(name) for name in wanted if isinstance(name, str) and name))

    def plugin_folder(self) -> Path | None:
        """The folder of single-file plugins, or None where none is configured."""
        name = _table(self.data.get("plugins")).get("dir")
        return located(self.folder, name) if isinstance(name, str) and name else None


def read(path: Path | None, environ: Mapping[str, str]) -> Tables:
    """Read the file (None: there is none) and merge the environment over it; `ConfigError` if unreadable."""
    origin = "environment" if path is None else str(path)
    try:
        if path is not None and not path.is_file():
            raise FileNotFoundError
        data, variables = _merged(path, environ)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError([_unreadable(error)], origin) from None
    folder = Path.cwd() if path is None else path.absolute().parent
    host = {key: value for key, value in data.items() if key in HostTables.model_fields}
    return Tables(data | typed(host, [HostTables]), origin, folder, variables)


def located(folder: Path, name: str | Path) -> Path:
    """A path of the configuration, from the folder of its file; `~` is a home folder if there is one."""
    try:
        place = folder / Path(name).expanduser()
    except RuntimeError:  # no such user, or a process without a home
        place = folder / name
    return Path(os.path.normpath(place))


def typed(table: Mapping[str, Any], models: list[type[BaseModel]]) -> dict[str, Any]:
    """The table with what came from the environment turned into lists and tables where a key holds those."""
    fields = fields_at(models, ())
    return {
        key: _typed(value, fields[key].annotation) if key in fields else _plain(value)
        for key, value in table.items()
    }


def _merged(path: Path | None, environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    variables: dict[str, str] = {}

    class Merged(BaseSettings):
        """Nothing but what the sources say, the first one winning key by key."""

        model_config = SettingsConfigDict(extra="allow", hide_input_in_errors=True)

        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_: Any, **__: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            file = TomlConfigSettingsSource(settings_cls, path)
            named = {noun: _table(file.toml_data.get(noun)) for noun in NAMED}
            environment = EnvironmentSource(settings_cls, environ, named)
            variables.update(environment.variables)
            return environment, file

    return Merged().model_extra or {}, variables


class EnvironmentSource(PydanticBaseSettingsSource):
    """`BRIDGE_SINKS__PRODUCT__API_KEY` as `{"sinks": {"product": {"api_key": …}}}`, values still text.

    pydantic-settings' own source would read a key of digits as a number, stop at the first bad
    value and never reach an id with a dash. An empty variable counts as not set.
    """

    def __init__(
        self,
        settings_cls: type[BaseSettings],
        environ: Mapping[str, str],
        named: Mapping[str, Mapping[str, Any]],
    ) -> None:
        super().__init__(settings_cls)
        self._ids = {(noun, fold(name)): name for noun, tables in named.items() for name in tables}
        self._data: dict[str, Any] = {}
        self.variables: dict[str, str] = {}
        for name in sorted(environ, reverse=True):  # the upper-case spelling comes last and wins
            path = self._path(name)
            if path and environ[name]:
                self._put(path, Text(environ[name]))
                self.variables[".".join(path)] = name

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The value of one top-level key, as the base class wants it."""
        del field  # its type is looked at later, when the plugins are loaded
        return self._data.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._data

    def _path(self, name: str) -> tuple[str, ...]:
        if not name.upper().startswith(PREFIX):
            return ()
        path = tuple(name[len(PREFIX) :].lower().split(DELIMITER))
        if len(path) == 1:  # others are not ours: Kubernetes sets BRIDGE_PORT for a service named bridge
            return path if path[0] in SCALARS else ()
        if path[0] in NAMED:
            return (path[0], self._ids.get((path[0], path[1]), path[1]), *path[2:])
        return path

    def _put(self, path: tuple[str, ...], value: Text) -> None:
        table = self._data
        for part in path[:-1]:
            inner = table.get(part)
            table[part] = table = inner if isinstance(inner, dict) else {}
        table[path[-1]] = value


def fold(name: str) -> str:
    """A sink's or stage's id as the environment spells it: lower case, dashes as underscores."""
    return name.lower().replace("-", "_")


def _typed(value: Any, annotation: Any) -> Any:
    if isinstance(value, dict):
        return typed(value, inner) if (inner := models_in(annotation)) else _plain(value)
    if not isinstance(value, Text):
        return value
    opening = value.lstrip()[:1]
    if (opening == "[" and is_list(annotation)) or (opening == "{" and is_mapping(annotation)):
        try:
            return json.loads(value)
        except ValueError:
            return str(value)  # its validation will say what was expected
    if is_list(annotation) and str not in members(annotation):
        return [part.strip() for part in value.split(",") if part.strip()]
    return str(value)


def _plain(value: Any) -> Any:
    """The same without `Text`, which only this module knows."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return str(value) if isinstance(value, Text) else value


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _unreadable(error: Exception) -> Problem:
    """Why there is nothing to read, without quoting the file."""
    match error:
        case FileNotFoundError():
            return Problem("", "no such file (copy config.example.toml, or name another one with --config)")
        case OSError():
            return Problem("", f"cannot be read ({error.strerror})")
        case UnicodeDecodeError():
            line = error.object[: error.start].count(b"\n") + 1
            return Problem(f"line {line}", "not UTF-8 text (save the file as UTF-8)")
        case RecursionError():
            return Problem("", "nested too deeply to be a configuration")
    what, _, where = str(error).removesuffix(")").partition(" (at ")
    return Problem(where, f"not TOML: {shown(what[:1].lower() + what[1:])}")
