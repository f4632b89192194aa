"""Event names that depend on what happened, and the properties PostHog reserves for itself. Pure.

These are what PostHog's own pages work from: `$pageview` and `$screen` for web analytics and
paths, `Application …` for mobile lifecycles, `$exception` for error tracking, surveys. They
are made in both modes, `flat` and `raw`, so an event has one name whichever is configured.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from bridge_posthog.rules import token_of, word
from bridge_posthog.tokens import OBJECT, Draft, dump, load, members, prefix, text

if TYPE_CHECKING:
    from bridge_posthog.config import PostHogConfig, Survey

__all__ = ["Namer", "Source", "namers", "unknown_name"]

LONGEST_NAME = 100
LONGEST_VALUE = 1_000

_ADDRESS = re.compile(r"https?://([^/?#]*)([^?#]*)")
_SCREEN, _URL, _HOST, _PATH = map(prefix, ("$screen_name", "$current_url", "$host", "$pathname"))
_STAGES = {
    **dict.fromkeys(("app", "session", "editor", "workflow", "assessment", "course"), ""),
    "player": "content",
    "content": "content",
    "resource": "content",
}


class Source(NamedTuple):
    """What is known of an event's producer: `id`, `version`, whether it is an `app`, its `base` address."""

    id: str
    version: str
    app: bool
    base: str


Namer = Callable[[Any, Source, Draft], str]


def namers(config: PostHogConfig) -> dict[str, Namer]:
    """Event types whose names need `edata`, each with the function that adds to the properties too."""
    special: dict[str, Namer] = {
        "START": _started,
        "END": _ended,
        "IMPRESSION": _viewed,
        "INTERRUPT": _interrupted,
    }
    if config.errors == "exception":
        special["ERROR"] = _failed
    if config.survey is not None:
        special["FEEDBACK"] = _surveyed(config.survey)
    return special


def unknown_name(eid: str) -> str:
    """The name of an event type that no table knows: `XAPI_THING` → `sunbird xapi thing`."""
    return f"sunbird {eid[:LONGEST_NAME].lower().replace('_', ' ')}".rstrip()[:LONGEST_NAME]


def _stage(edata: Any) -> str:
    kind = word(edata, "type_").lower()
    return _STAGES.get(kind, "activity") or kind


def _started(edata: Any, source: Source, draft: Draft) -> str:
    system = _within(edata, "uaspec_", "system_")
    if system and not _within(edata, "dspec_", "os_"):
        draft.add("$os", system)
    stage = _stage(edata)
    if stage == "app" and source.app:
        return _opened(source, draft, from_background=False)
    return f"{stage} started"


def _within(edata: Any, outer: str, inner: str) -> str:
    token = token_of(edata, outer)
    return word(members(token), inner) if token[0] == OBJECT else ""


def _ended(edata: Any, _source: Source, _draft: Draft) -> str:
    return f"{_stage(edata)} ended"


def _opened(source: Source, draft: Draft, *, from_background: bool) -> str:
    draft.add("from_background", from_background)
    if source.version:
        draft.add("version", source.version)
    return "Application Opened"


def _interrupted(edata: Any, source: Source, draft: Draft) -> str:
    kind = word(edata, "type_").lower()
    if kind == "resume":
        return _opened(source, draft, from_background=True)
    return "Application Backgrounded" if kind == "background" else "session interrupted"


def _viewed(edata: Any, source: Source, draft: Draft) -> str:
    if source.app:
        if name := word(edata, "pageid_") or word(edata, "uri_"):
            draft += (_SCREEN, dump(name[:LONGEST_VALUE]))
        return "$screen"
    uri = word(edata, "uri_")
    absolute = uri.startswith(("http://", "https://"))
    address = uri if absolute else f"{source.base}/{uri.lstrip('/')}"
    if found := _ADDRESS.match(address):
        draft += (_URL, dump(address), _HOST, dump(found[1]), _PATH, dump(found[2] or "/"))
    return "$pageview"


def _failed(edata: Any, source: Source, draft: Draft) -> str:
    """Group by producer, type and code: the stack of a telemetry error is a text, and often differs."""
    code, kind, stack = (_scalar(edata, key) for key in ("err_", "errtype_", "stacktrace_"))
    first_line = stack.strip().partition("\n")[0][:LONGEST_VALUE]
    exception = {
        "type": code[:LONGEST_VALUE] or kind[:LONGEST_VALUE] or "Error",
        "value": first_line or kind[:LONGEST_VALUE],
        "mechanism": {"type": "sunbird", "synthetic": True, "exception_id": 0},
    }
    same = f"{source.id}\x1f{kind}\x1f{code}".encode("utf-8", "replace")
    draft.add("$exception_list", [exception])
    draft.add("$exception_level", "error")
    draft.add("$exception_fingerprint", hashlib.sha256(same).hexdigest())
    return "$exception"


def _scalar(edata: Any, key: str) -> str:
    token = text(token_of(edata, key))
    return str(load(token)) if token else ""


def _surveyed(survey: Survey) -> Namer:
    questions = {"rating_": survey.rating_question, "comments_": survey.comment_question}

    def name(edata: Any, _source: Source, draft: Draft) -> str:
        draft.add("$survey_id", survey.id)
        for key, question in questions.items():
            answer = _scalar(edata, key)
            if question and answer:
                draft.add(f"$survey_response_{question}", answer)
        return "survey sent"

    return name
