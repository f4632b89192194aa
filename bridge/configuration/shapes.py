"""What a model says about its keys: which there are, what they hold, where secrets sit. Pure."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

from bridge.secrets import Secret

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

__all__ = ["fields_at", "is_list", "is_mapping", "keys", "leaves", "models_in", "secret_values"]


def members(annotation: Any) -> list[Any]:
    """The plain types an annotation allows: `Annotated[list[str], …] | None` → `[list[str], NoneType]`."""
    annotation = getattr(annotation, "__value__", annotation)  # what a `type` statement names
    origin = get_origin(annotation)
    if origin is Annotated:
        return members(get_args(annotation)[0])
    if origin in {Union, types.UnionType}:
        return [member for argument in get_args(annotation) for member in members(argument)]
    return [annotation]


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Every model an annotation mentions, in lists and mappings too."""
    found: list[type[BaseModel]] = []
    for member in members(annotation):
        if isinstance(member, type) and get_origin(member) is None and issubclass(member, BaseModel):
            found.append(member)
        for argument in get_args(member):
            found += models_in(argument)
    return found


def is_list(annotation: Any) -> bool:
    """Whether a list is one of the things the annotation allows."""
    return any(
        _is_a(member, (Sequence, AbstractSet)) and not _is_a(member, (str, bytes))
        for member in members(annotation)
    )


def is_mapping(annotation: Any) -> bool:
    """Whether a table is one of the things the annotation allows."""
    return any(_is_a(member, (Mapping, BaseModel)) for member in members(annotation))


def keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The model's fields by the key a configuration uses for them, aliases included."""
    named: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        alias = field.validation_alias if isinstance(field.validation_alias, str) else field.alias
        named[alias or name] = field
    return named


def fields_at(models: list[type[BaseModel]], path: tuple[str | int, ...]) -> dict[str, FieldInfo]:
    """The keys allowed in the table at `path` below `models` (several, where a union allows them)."""
    for part in path:
        if isinstance(part, str):
            fields = [keys(model).get(part) for model in models]
            models = [inner for field in fields if field for inner in models_in(field.annotation)]
    return {key: field for model in models for key, field in keys(model).items()}


def leaves(
    model: type[BaseModel], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Every key of a model with its path, nested tables opened up: `("batch", "max_age")`."""
    for key, field in keys(model).items():
        inner = [member for member in members(field.annotation) if member is not type(None)]
        if len(inner) == 1 and _is_a(inner[0], (BaseModel,)):
            yield from leaves(inner[0], (*above, key))
        else:
            yield (*above, key), field


def secret_values(model: type[BaseModel], data: Any) -> Iterator[str]:
    """Every text in `data` that stands where the model has a `Secret`."""
    if not isinstance(data, Mapping):
        return
    for key, field in keys(model).items():
        if key in data:
            yield from _secrets_below(field.annotation, data[key])


def _secrets_below(annotation: Any, data: Any) -> Iterator[str]:
    for member in members(annotation):
        if member in {Secret, SecretStr} and isinstance(data, str):
            yield data
        elif _is_a(member, (BaseModel,)):
            yield from secret_values(member, data)
        elif isinstance(data, Mapping) and get_args(member):
            for value in data.values():
                yield from _secrets_below(get_args(member)[-1], value)
        elif isinstance(data, list) and get_args(member):
            for value in data:
                yield from _secrets_below(get_args(member)[0], value)


def _is_a(member: Any, kinds: tuple[type, ...]) -> bool:
    plain = get_origin(member) or member
    return isinstance(plain, type) and issubclass(plain, kinds)
