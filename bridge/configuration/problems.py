"""What is wrong with a table, in words an operator can act on. Pure.

Texts are made from where an error is, its type and the limits of the key; never from the
value that was found there, since it may be a secret.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from pydantic_core.core_schema import ErrorType

from bridge.configuration.shapes import fields_at, leaves
from bridge.errors import Problem
from bridge.secrets import redact
from bridge.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

__all__ = ["Report", "nearest", "quoted", "shown"]

MANY = 16
LONGEST = 400
CORE_TYPES = frozenset(get_args(ErrorType))
BARE = re.compile(r"[A-Za-z0-9_-]+")

UNKNOWN = "unknown key"
WHOLE = "must be a whole number, for example 5"
NUMBER = "must be a number, for example 5"
SWITCH = "must be true or false"
TEXT = 'must be text in quotes, for example "text"'
LIST = 'must be a list, for example ["a", "b"]'
TABLE = "must be a table of keys"
ADDRESS = 'must be an address, for example "https://example.org/path"'

SENTENCES: dict[str, str] = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), WHOLE),
    **dict.fromkeys(("float_type", "float_parsing", "decimal_type", "decimal_parsing"), NUMBER),
    **dict.fromkeys(("bool_type", "bool_parsing"), SWITCH),
    **dict.fromkeys(("string_type", "string_sub_type", "string_unicode", "path_type", "bytes_type"), TEXT),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"), LIST),
    **dict.fromkeys(
        ("dict_type", "model_type", "mapping_type", "dataclass_type", "model_attributes_type"), TABLE
    ),
    **dict.fromkeys(("url_type", "url_parsing", "url_syntax_violation"), ADDRESS),
    "finite_number": "must be a finite number",
    "url_scheme": "must be an address that begins with {expected_schemes}",
    "url_too_long": "must be at most {max_length} characters long",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "string_too_short": "must have at least {min_length} character(s)",
    "string_too_long": "must have at most {max_length} character(s)",
    "too_short": "must have at least {min_length} item(s)",
    "too_long": "must have at most {max_length} item(s)",
    "string_pattern_mismatch": "must match {pattern}",
    "union_tag_invalid": "its {discriminator} must be one of {expected_tags}",
    "union_tag_not_found": "needs the key {discriminator}, which says what kind it is",
    "none_required": "must be left out",
}


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, if any is alike enough to be what was meant."""
    close = difflib.get_close_matches(word.lower(), list(known), n=1)
    return close[0] if close else None


def quoted(words: Iterable[str]) -> str:
    """`"a", "b" or "c"`, for a sentence."""
    marked = [f'"{word}"' for word in words]
    return " or ".join(filter(None, (", ".join(marked[:-1]), *marked[-1:])))


def shown(text: str, longest: int = LONGEST) -> str:
    """The text fit for one line of a terminal: no control characters, no remembered secret, not endless."""
    line = printable(redact(text))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def dotted(path: Iterable[str | int]) -> str:
    """A path as TOML would write it: `sinks.product.headers."X-Key.1"`."""
    return ".".join(
        str(part) if BARE.fullmatch(str(part)) else json.dumps(shown(str(part), 80)) for part in path
    )


@dataclass
class Report:
    """The problems found so far; `variables` names the environment variable behind a path."""

    variables: Mapping[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, path: tuple[str | int, ...], message: str, *, unknown: bool = False) -> None:
        """Record one problem at a path; `unknown` says that the bridge has no such key."""
        place = dotted(path)
        variable = self._variable(place) or (self._variable_below(place) if unknown else None)
        suffix = f" (set by {variable})" if variable else ""
        self.problems.append(Problem(place, f"{shown(message)}{suffix}"))

    def add_invalid(
        self,
        path: tuple[str, ...],
        data: Mapping[str, Any],
        details: Iterable[ErrorDetails],
        models: list[type[BaseModel]],
    ) -> None:
        """Record all that is wrong in `data`, the table at `path`; `models` have its keys, for hints."""
        found: dict[tuple[str | int, ...], list[str]] = {}
        for detail in details:
            place = _place(detail, data)
            message = _message(detail, place, data, models)
            messages = found.setdefault(place, [])
            if message not in messages:
                messages.append(message)
        for place, messages in found.items():
            self.add((*path, *place), _either(messages), unknown=messages[0].startswith(UNKNOWN))

    def _variable(self, place: str) -> str | None:
        while place:
            if place in self.variables:
                return self.variables[place]
            place = place.rpartition(".")[0]
        return None

    def _variable_below(self, place: str) -> str | None:
        return next((name for path, name in self.variables.items() if path.startswith(f"{place}.")), None)


def _place(detail: ErrorDetails, data: Any) -> tuple[str | int, ...]:
    """The error's path without the names that pydantic adds for the members of a union."""
    place: list[str | int] = []
    for part in detail["loc"]:
        named = isinstance(data, dict) and part in data
        counted = isinstance(data, list | tuple) and isinstance(part, int) and part < len(data)
        if named or counted:
            data = data[part]
            place.append(part)
    return (*place, detail["loc"][-1]) if detail["type"] == "missing" else tuple(place)


def _message(
    detail: ErrorDetails, place: tuple[str | int, ...], data: Mapping[str, Any], models: list[type[BaseModel]]
) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    match kind:
        case "extra_forbidden":
            message = _unknown(str(place[-1]), place[:-1], models)
        case "missing":
            message = _missing(str(place[-1]), place[:-1], models)
        case "value_error" | "assertion_error":
            message = str(context["error"])
        case "literal_error" | "enum":
            message = _one_of(context["expected"], _at(data, place))
        case _ if kind in SENTENCES:
            message = SENTENCES[kind].format_map({name: _short(value) for name, value in context.items()})
        case _ if kind in CORE_TYPES:
            message = f"is not valid ({kind.replace('_', ' ')})"
        case _:  # a plugin's own, worded by its author
            message = detail["msg"]
    return message


def _unknown(key: str, above: tuple[str | int, ...], models: list[type[BaseModel]]) -> str:
    known = fields_at(models, above)
    if not above:
        for path in (path for model in models for path, _ in leaves(model)):
            if len(path) > 1 and path[-1] == key:
                return f'{UNKNOWN} (did you mean "{".".join(path)}"?)'
    if near := nearest(key, known):
        return f'{UNKNOWN} (did you mean "{near}"?)'
    hint = f"known: {', '.join(known)}" if len(known) <= MANY else "bridge schema lists them"
    return f"{UNKNOWN} ({hint})"


def _missing(key: str, above: tuple[str | int, ...], models: list[type[BaseModel]]) -> str:
    field = fields_at(models, above).get(key)
    return f"is required: {field.description}" if field and field.description else "is required"


def _one_of(expected: str, found: object) -> str:
    words = re.findall(r"'([^']*)'", expected)
    near = nearest(found, words) if isinstance(found, str) else None
    return f"must be {quoted(words) if words else expected}" + (f' (did you mean "{near}"?)' if near else "")


def _short(limit: Any) -> Any:
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit


def _at(data: Any, place: tuple[str | int, ...]) -> Any:
    for part in place:
        data = data[part]
    return data


def _either(messages: list[str]) -> str:
    """`must be a number` and `must be text` as one sentence, for a key that takes either."""
    first, *others = messages
    return ", or ".join([first, *(other.removeprefix("must be ") for other in others)])
