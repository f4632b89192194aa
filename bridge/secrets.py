"""Secrets in the configuration: named where they are kept, shown to nobody.

`"env:NAME"` reads an environment variable, `"file:/run/secrets/key"` a file and
`"systemd:name"` a systemd credential (a file's trailing newline is dropped, and it is read anew
each time, so keys can be rotated). Anything else is the secret itself.

Whatever was revealed once is remembered, so that `redact` can take it out of any text.
"""

from __future__ import annotations

import json
import os
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self
from urllib.parse import quote, quote_plus

from pydantic_core import PydanticKnownError, core_schema

from bridge.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

__all__ = ["Places", "Secret", "UnresolvedSecretError", "redact", "remember"]

MASK = "**********"
REDACTED = "[redacted]"
SHORTEST = 8  # a shorter value would take ordinary words out of the log
KINDS = ("env:", "file:", "systemd:")


class UnresolvedSecretError(SetupError, ValueError):
    """A secret is not where the configuration says; names the place, never a value."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where references are looked up: an environment, and the folder relative files start from.

    `resolve=False` takes references on trust until `reveal`, for checking a file on a
    machine that does not hold its secrets. Given to pydantic as `context={"places": …}`.
    """

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    folder: Path = Path()
    resolve: bool = True


class Secret:
    """A secret value or where to find it; `reveal()` is the only way to its text."""

    __slots__ = ("_places", "_source")

    def __init__(self, source: str, places: Places | None = None) -> None:
        self._source = source
        self._places = places or Places()
        if self.origin == "inline":
            remember(source)

    def reveal(self) -> str:
        """The secret's text; `UnresolvedSecretError` names the variable or file that is missing."""
        kind, _, rest = self._source.partition(":")
        if kind == "env":
            value = _from_environment(rest, self._places.environ)
        elif kind == "file":
            value = _from_file(self._places.folder / rest)
        elif kind == "systemd":
            value = _from_credentials(rest, self._places.environ)
        else:
            value = self._source
        remember(value)
        return value

    @property
    def origin(self) -> str:
        """Where the secret is kept, fit to be shown: `env:NAME`, `file:PATH`, `systemd:NAME` or `inline`."""
        return self._source if self._source.startswith(KINDS) else "inline"

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._source == other._source

    def __hash__(self) -> int:
        return hash((Secret, self._source))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is never pickled")

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Accept a string (checked to resolve at once) or a `Secret`; serialise to the mask."""
        return core_schema.with_info_plain_validator_function(
            cls._validated, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """A string that editors show as a password."""
        return {"type": "string", "format": "password", "writeOnly": True, "minLength": 1}

    @classmethod
    def _validated(cls, value: object, info: core_schema.ValidationInfo) -> Secret:
        if isinstance(value, Secret):
            return value
        if not isinstance(value, str):
            raise PydanticKnownError("string_type")
        if not value:
            raise PydanticKnownError("string_too_short", {"min_length": 1})
        places = (info.context or {}).get("places") or Places()
        secret = cls(str(value), places)
        if places.resolve:
            secret.reveal()
        return secret


def _from_environment(name: str, environ: Mapping[str, str]) -> str:
    value = environ.get(name)
    if not value:
        raise UnresolvedSecretError(f"the environment variable {name} is not set (export it or name another)")
    return value


def _from_credentials(name: str, environ: Mapping[str, str]) -> str:
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise UnresolvedSecretError(
            f"there is no systemd credential {name}, because CREDENTIALS_DIRECTORY is not set"
            " (write LoadCredential= in the unit)"
        )
    return _from_file(Path(folder) / name)


def _from_file(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a zero byte in the name
        kind = getattr(error, "strerror", None) or "not text"
        raise UnresolvedSecretError(f"cannot read the secret file {path} ({kind})") from None
    value = text.rstrip("\r\n")
    if not value:
        raise UnresolvedSecretError(f"the secret file {path} is empty")
    return value


class _Memory:
    """Every value to be kept out of the output, and one pattern that finds them all."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._lock = threading.Lock()

    def add(self, value: str) -> None:
        if len(value) < SHORTEST or value in self._values:
            return
        with self._lock:
            self._values.add(value)
            self._forms |= _written(value)
            longest_first = sorted(self._forms, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def redact(self, text: str) -> str:
        return self._pattern.sub(REDACTED, text) if self._pattern else text


def _written(value: str) -> set[str]:
    """The ways a value is found in a text: plain, quoted by repr or JSON, escaped in a URL."""
    return {value, repr(value)[1:-1], json.dumps(value)[1:-1], quote(value, safe=""), quote_plus(value)}


_memory = _Memory()


def remember(value: str) -> None:
    """Have `redact` take this value out of every text, if it is long enough to be recognised."""
    _memory.add(value)


def redact(text: str) -> str:
    """The text with every remembered secret replaced by `[redacted]`."""
    return _memory.redact(text)
