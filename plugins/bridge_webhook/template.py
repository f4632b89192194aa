"""JSON templates: a fixed structure in which `{"$" = "edata.pageid"}` stands for a value of the event.

Values are put in as JSON values, never into text, so no event can change the structure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from bridge.errors import EventError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridge.events import Event

    Node = Callable[[Any, bytes], Any]

__all__ = ["Template"]

MARK = "$"
DEFAULT = "default"
WHOLE_EVENT = "."
_MISSING = object()


class Template:
    """A template ready to be filled in; `ValueError` says where it is wrong."""

    def __init__(self, structure: Any) -> None:
        self._node = _compile(structure, "template")

    def render(self, event: Event) -> bytes:
        """Fill in one event's values; a path that leads nowhere gives its default, or null.

        The same event always gives the same bytes. `EventError` for a number JSON cannot hold.
        """
        try:
            return msgspec.json.encode(self._node(event.document, event.raw))
        except (OverflowError, ValueError) as error:
            raise EventError("template", f"the template cannot be filled in: {error}"[:200]) from None


def _compile(part: Any, place: str) -> Node:
    if isinstance(part, dict):
        return _reference(part, place) if MARK in part else _object(part, place)
    if isinstance(part, list):
        nodes = [_compile(item, f"{place}.{index}") for index, item in enumerate(part)]
        return lambda document, raw: [node(document, raw) for node in nodes]
    if part is None or isinstance(part, str | int | float):
        return lambda _document, _raw: part
    raise ValueError(f"{place}: a {type(part).__name__} cannot be written as JSON; put it in quotes")


def _object(part: dict[str, Any], place: str) -> Node:
    nodes = {key: _compile(value, f"{place}.{key}") for key, value in part.items()}
    return lambda document, raw: {key: node(document, raw) for key, node in nodes.items()}


def _reference(part: dict[str, Any], place: str) -> Node:
    path = part[MARK]
    if set(part) - {MARK, DEFAULT}:
        raise ValueError(f'{place}: beside "$" only "default" may stand')
    if not isinstance(path, str) or (path != WHOLE_EVENT and not all(path.split("."))):
        raise ValueError(f'{place}: write a path such as "edata.pageid", or "." for the whole event')
    if path == WHOLE_EVENT:
        return lambda _document, raw: msgspec.Raw(raw)
    keys, default = path.split("."), part.get(DEFAULT)

    def value(document: Any, _raw: bytes) -> Any:
        found = _lookup(document, keys)
        return default if found is _MISSING else found

    return value


def _lookup(document: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        if isinstance(document, dict):
            document = document.get(key, _MISSING)
        elif isinstance(document, list) and key.isascii() and key.isdigit() and int(key) < len(document):
            document = document[int(key)]
        else:
            return _MISSING
    return document
