"""The stage `enrich`: what a local table knows of an event's content, user or tenant, put into the event.

The same work as Sunbird's de-normalisation, with a file in place of Redis: nothing to run, and a replay
finds what the first delivery found for as long as the file stays the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec
from pydantic import Field, FiniteFloat, model_validator

from bridge.errors import EventError
from bridge.events import Decoder, Event, Level, rewrite
from bridge.hookspecs import hookimpl
from bridge.paths import ConfigPath
from bridge.stages.base import Stage, StageConfig
from bridge.stages.jsonpaths import ChangedPath, ReadPath, plain
from bridge.stages.jsonvalues import get, put, read_fields, text_of, write
from bridge.stages.lookup import Source, load

if TYPE_CHECKING:
    from types import TracebackType

    from bridge.stages.jsonvalues import Fields

__all__ = ["EnrichConfig", "EnrichStage", "bridge_stages"]

_BARE = b'{"eid":"X","ets":1,"mid":"x"}'
_FOUND = {found: msgspec.Raw(b"true" if found else b"false") for found in (True, False)}

Keys = tuple[str, ...]


class EnrichConfig(StageConfig):
    """Keys added to events: constants, and rows of a local file found by something in the event."""

    file: ConfigPath | None = Field(
        default=None,
        description="Table to look things up in; read once, when the bridge starts.",
        examples=["tables/content.csv"],
    )
    format: Literal["csv", "json", "jsonl"] | None = Field(
        default=None,
        description="csv (with a header), json (a list of objects, or an object of them) or jsonl; "
        "unset = as the file's name says.",
    )
    column: str = Field(default="id", min_length=1, description="Column of the file that names a row.")
    columns: tuple[str, ...] = Field(
        default=(),
        description="Columns that are put into the event; empty = all the others.",
        examples=[["name", "contenttype"]],
    )
    path: ReadPath | None = Field(
        default=None, description="Where in the event the name of the row stands.", examples=["object.id"]
    )
    target: ChangedPath | None = Field(
        default=None, description="Where in the event the row is put.", examples=["contentdata"]
    )
    flag: str = Field(
        default="",
        description="Key below flags that says whether there was a row, true or false; empty = none.",
        examples=["content_denorm"],
    )
    overwrite: bool = Field(default=False, description="true also replaces what stands there already.")
    set: dict[ChangedPath, str | bool | int | FiniteFloat] = Field(
        default={},
        description="Constants by their place in the event.",
        examples=[{"context.env": "prod"}],
    )
    max_bytes: int = Field(
        default=64 * 1024**2, ge=1, description="A longer file is refused, since it is held in memory."
    )
    max_rows: int = Field(default=500_000, ge=1, description="A file of more rows is refused.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.file and not self.set:
            raise ValueError('say what to add: a file, or set = { "env" = "prod" }')
        wanted = {"path": '"object.id"', "target": '"contentdata"'}
        for name, example in wanted.items():
            if self.file and getattr(self, name) is None:
                raise ValueError(f"a file needs {name}, for example {name} = {example}")
            if not self.file and getattr(self, name) is not None:
                raise ValueError(f"{name} needs a file to look in; leave it out or name one")
        _try({**({self.target: {}} if self.target else {}), **self.set})
        return self


class EnrichStage(Stage[EnrichConfig]):
    """Adds what it finds; an event without a row, and one that has all of it, stay as they are."""

    name = "enrich"
    config_type = EnrichConfig

    def __init__(self, config: EnrichConfig) -> None:
        super().__init__(config)
        self._table: dict[str, msgspec.Raw] = {}
        self._path = plain(config.path) if config.path else ()
        self._target = plain(config.target) if config.target else ()
        self._constants = [(plain(path), write(value)) for path, value in config.set.items()]

    def __enter__(self) -> Self:
        config = self.config
        if config.file:
            self._table = load(
                Source(
                    Path(config.file),
                    config.format,
                    config.column,
                    config.columns,
                    config.max_bytes,
                    config.max_rows,
                )
            )
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._table = {}

    def apply(self, event: Event) -> Event:
        """The event with its row, its flag and its constants, or the event itself if that adds nothing."""
        fields = read_fields(event.raw)
        changed = [self._join(fields)] if self._path else []
        changed += [self._put(fields, keys, value) for keys, value in self._constants]
        return rewrite(event, fields) if any(changed) else event

    def _join(self, fields: Fields) -> bool:
        name = get(fields, self._path)
        key = None if name is None else text_of(name)
        row = None if key is None else self._table.get(key)
        changed = row is not None and self._put(fields, self._target, row)
        if self.config.flag:
            keys = ("flags", self.config.flag)
            changed |= put(fields, keys, _FOUND[row is not None], overwrite=True)
        return changed

    def _put(self, fields: Fields, keys: Keys, value: msgspec.Raw) -> bool:
        return put(fields, keys, value, overwrite=self.config.overwrite)


def _try(values: dict[str, Any]) -> None:
    """Put the values into a bare event; ValueError if that is no event any more."""
    fields = read_fields(_BARE)
    for path, value in values.items():
        if not put(fields, plain(path), write(value), overwrite=True):
            raise ValueError(f"{path} lies below another place that gets a constant; leave one of them out")
    try:
        rewrite(Decoder(Level.ENVELOPE).event(_BARE), fields)
    except EventError as error:
        raise ValueError(f"an event cannot have that: {error.path}: {error.reason}") from None


@hookimpl
def bridge_stages() -> list[type[Stage[Any]]]:
    """The stage `enrich`."""
    return [EnrichStage]
