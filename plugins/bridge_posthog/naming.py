"""Event names that depend on what happened, and the properties PostHog reserves for itself. Pure.

These are what PostHog's own pages work from: `$pageview` and `$screen` for web analytics and
paths, `Application …` for mobile lifecycles, `$exception` for error tracking, surveys. They
are made in both modes, `flat` and `raw`, so an event has one name whichever is configured.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import lru_cache, partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from bridge_posthog.rules import attribute, scalar, word
from bridge_posthog.tokens import OBJECT, dump, members, prefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bridge_posthog.config import PostHogConfig, Survey

__all__ = ["Named", "Namer", "Source", "namers", "opened_by", "unknown_name"]

CACHE_SIZE = 2_048
LONGEST_NAME = 100
TEXTS = {str}
LONGEST_VALUE = 1_000

_ADDRESS = re.compile(r"https?://([^/?#]*)([^?#]*)")
_STAGES = {
    **dict.fromkeys(("app", "session", "editor", "workflow", "assessment", "course"), ""),
    "player": "content",
    "content": "content",
    "resource": "content",
}


class Source(msgspec.Struct, frozen=True, gc=False, eq=False):
    """What is known of an event's producer: `id`, `version`, whether it is an `app`, its `base` address.

    A source is made once and known by its identity, since names are looked up by it.
    """

    id: str
    version: str
    app: bool
    base: str


class Named(NamedTuple):
    """An event's name, as it stands behind the time, and the properties that come with it."""

    name: bytes
    properties: bytes


Tell = Callable[..., Named]


class Namer:
    """Finds the name of an event in some words of its `edata`, given by their paths.

    `tell` makes the name of source and words, a pure function whose answers `kept` remembers; `read`
    makes a word of a value.
    """

    def __init__(self, tell: Tell, *paths: str, read: Callable[[Any], str] = word) -> None:
        self.tell, self._read = tell, read
        self.of_words = read is word
        self.kept: Any = lru_cache(maxsize=CACHE_SIZE)(tell)
        self.paths = [tuple(path.split(".")) for path in paths]
        self._getters = [attrgetter(".".join(map(attribute, path))) for path in self.paths]

    def name_all(self, column: Sequence[Any], sources: Iterable[Source], *, keep: bool) -> list[Named]:
        """Name events by their `edata`, each as a form has read it or each by key; `keep` the answers."""
        if type(column[0]) is dict:
            words = [[_at(edata, path) for edata in column] for path in self.paths]
        else:
            words = [list(map(get, column)) for get in self._getters]
        for index, found in enumerate(words):
            if not set(map(type, found)) <= TEXTS:
                words[index] = list(map(self._read, found))
        return list(map(self.kept if keep else self.tell, sources, *words))


def _at(edata: Any, path: Sequence[str]) -> Any:
    for key in path[:-1]:
        inside = bytes(edata.get(key) or b"null")
        edata = members(inside) if inside[0] == OBJECT else {}
    return edata.get(path[-1])


def namers(config: PostHogConfig) -> dict[str, Namer]:
    """Event types whose names need `edata`."""
    special = {
        "START": Namer(_started, "type", "uaspec.system", "dspec.os"),
        "END": Namer(_ended, "type"),
        "IMPRESSION": Namer(_viewed, "pageid", "uri"),
        "INTERRUPT": Namer(_interrupted, "type"),
    }
    if config.errors == "exception":
        special["ERROR"] = Namer(_failed, "err", "errtype", "stacktrace", read=scalar)
    if config.survey is not None:
        special["FEEDBACK"] = Namer(partial(_surveyed, config.survey), "rating", "comments", read=scalar)
    return special


def unknown_name(eid: str) -> str:
    """The name of an event type that no table knows: `XAPI_THING` → `sunbird xapi thing`."""
    return f"sunbird {eid[:LONGEST_NAME].lower().replace('_', ' ')}".rstrip()[:LONGEST_NAME]


def opened_by(name: str) -> bytes:
    """What stands between an event's time and who did it."""
    return b'","event":' + dump(name)


_opened_by = lru_cache(maxsize=CACHE_SIZE)(opened_by)
_prefix = lru_cache(maxsize=CACHE_SIZE)(prefix)


def _named(name: str, **properties: Any) -> Named:
    return Named(
        _opened_by(name), b"".join([_prefix(key) + dump(value) for key, value in properties.items()])
    )


def _stage(kind: str) -> str:
    return _STAGES.get(kind.lower(), "activity") or kind.lower()


def _started(source: Source, kind: str, browser_system: str, device_system: str) -> Named:
    system = {"$os": browser_system} if browser_system and not device_system else {}
    stage = _stage(kind)
    if stage == "app" and source.app:
        return _opened(source, from_background=False, **system)
    return _named(f"{stage} started", **system)


def _ended(_source: Source, kind: str) -> Named:
    return _named(f"{_stage(kind)} ended")


def _opened(source: Source, *, from_background: bool, **system: str) -> Named:
    version = {"version": source.version} if source.version else {}
    return _named("Application Opened", **system, from_background=from_background, **version)


def _interrupted(source: Source, kind: str) -> Named:
    if kind.lower() == "resume":
        return _opened(source, from_background=True)
    return _named("Application Backgrounded" if kind.lower() == "background" else "session interrupted")


def _viewed(source: Source, page: str, uri: str) -> Named:
    if source.app:
        screen = (page or uri)[:LONGEST_VALUE]
        return _named("$screen", **{"$screen_name": screen} if screen else {})
    absolute = uri.startswith(("http://", "https://"))
    address = uri if absolute else f"{source.base}/{uri.lstrip('/')}"
    if found := _ADDRESS.match(address):
        parts = {"$current_url": address, "$host": found[1], "$pathname": found[2] or "/"}
        return _named("$pageview", **parts)
    return _named("$pageview")


def _failed(source: Source, code: str, kind: str, stack: str) -> Named:
    """Group by producer, type and code: the stack of a telemetry error is a text, and often differs."""
    first_line = stack.strip().partition("\n")[0][:LONGEST_VALUE]
    exception = {
        "type": code[:LONGEST_VALUE] or kind[:LONGEST_VALUE] or "Error",
        "value": first_line or kind[:LONGEST_VALUE],
        "mechanism": {"type": "sunbird", "synthetic": True, "exception_id": 0},
    }
    same = f"{source.id}\x1f{kind}\x1f{code}".encode("utf-8", "replace")
    properties = {
        "$exception_list": [exception],
        "$exception_level": "error",
        "$exception_fingerprint": hashlib.sha256(same).hexdigest(),
    }
    return _named("$exception", **properties)


def _surveyed(survey: Survey, _source: Source, rating: str, comment: str) -> Named:
    answers = {survey.rating_question: rating, survey.comment_question: comment}
    given = {
        f"$survey_response_{question}": answer for question, answer in answers.items() if question and answer
    }
    return _named("survey sent", **{"$survey_id": survey.id}, **given)
