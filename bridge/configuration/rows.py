"""What a model says about each of its keys: a value it might have, and what it takes, in words. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic_core import to_jsonable_python

from bridge.configuration.shapes import is_list, is_mapping, leaves, members
from bridge.secrets import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

__all__ = ["Row", "rows", "takes", "toml"]

WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    Secret: "secret",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One key: its dotted path in its table, its field, and a value it might have.

    `value` is the default, or an example where the default is nothing; `note` says which.
    `required` keys have to be set, those of an optional table with that table.
    """

    key: str
    field: FieldInfo
    value: Any
    note: str

    @property
    def required(self) -> bool:
        """Whether a table without this key is refused."""
        return self.note == "required"


def rows(
    model: type[BaseModel], samples: Mapping[str, Any] | None = None, space: str = "bridge"
) -> list[Row]:
    """Every key of a model, nested tables opened up.

    `samples` has values for keys that have no default; `space` names the variable an example
    of a secret is read from.
    """
    return [_row(path, field, samples or {}, space) for path, field in leaves(model)]


def _row(path: tuple[str, ...], field: FieldInfo, samples: Mapping[str, Any], space: str) -> Row:
    key = ".".join(path)
    sample = samples.get(key) or next(iter(field.examples or ()), None)
    if field.is_required():
        note = "required" if len(path) == 1 else f"required in {path[-2]}"
        return Row(key, field, _guess(field, space, path) if sample is None else sample, note)
    default = _plain(field.get_default(call_default_factory=True))
    if default is None:
        return Row(key, field, _guess(field, space, path) if sample is None else sample, "not set by default")
    if default in ("", [], {}) and sample is not None:
        return Row(key, field, sample, "empty by default")
    return Row(key, field, default, "")


def _plain(value: Any) -> Any:
    """A default as TOML could hold it."""
    if isinstance(value, Secret):
        return value.origin
    if isinstance(value, set | frozenset):
        return sorted(value)
    return to_jsonable_python(value, fallback=str)


def _guess(field: FieldInfo, space: str, path: tuple[str, ...]) -> Any:
    """A value of the right kind."""
    member = next(member for member in members(field.annotation) if member is not type(None))
    if get_origin(member) is Literal:
        return get_args(member)[0]
    if member is Secret:
        return f"env:{'_'.join((space, *path)).upper()}"
    if member in {int, float}:
        return member(next((bound.ge for bound in field.metadata if hasattr(bound, "ge")), 1))
    if is_list(member) or is_mapping(member):
        return [] if is_list(member) else {}
    return {bool: True, Path: "/path/to/file"}.get(member, path[-1])


def toml(value: Any) -> str:
    """A value as TOML writes it on one line."""
    if isinstance(value, dict):
        inner = ", ".join(
            f"{json.dumps(key, ensure_ascii=False)} = {toml(item)}" for key, item in value.items()
        )
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _kinds(annotation: Any) -> str:
    words = []
    for member in members(annotation):
        if get_origin(member) is Literal:
            words += [f"`{toml(choice)}`" for choice in get_args(member)]
        elif is_list(member):
            words.append(f"list of {_kinds(get_args(member)[0])}" if get_args(member) else "list")
        elif is_mapping(member):
            words.append("table")
        elif member is not type(None):
            words.append(WORDS.get(member, getattr(member, "__name__", "value")))
    return " or ".join(dict.fromkeys(words))


def takes(field: FieldInfo) -> str:
    """What a key takes, in words: `whole number ≥ 1`."""
    signs = (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))
    bounds = [
        f"{sign} {getattr(bound, name):,}"
        for bound in field.metadata
        for name, sign in signs
        if hasattr(bound, name)
    ]
    return " ".join(filter(None, (_kinds(field.annotation), ", ".join(bounds))))
