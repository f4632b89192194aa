"""Event names that depend on what happened, and the properties PostHog reserves for itself. Pure.

These are what PostHog's own pages work from: `$pageview` and `$screen` for web analytics and
paths, `Application …` for mobile lifecycles, `$exception` for error tracking, surveys. They
are made in both modes, `flat` and `raw`, so an event has one name whichever is configured.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from bridge_posthog.rules import word
from bridge_posthog.tokens import Draft, Members, load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge_posthog.config import PostHogConfig, Survey

__all__ = ["Namer", "Source", "namers", "unknown_name"]

LONGEST_NAME = 100
LONGEST_VALUE = 1_000

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


Namer = "Callable[[Mapping[str, Any], Source, Properties], str]"


def namers(config: PostHogConfig) -> dict[str, Callable[[Mapping[str, Any], Source, Properties], str]]:
    """Event types whose names need `edata`, each with the function that adds to the properties too."""
    special = {"START": _started, "END": _ended, "IMPRESSION": _viewed, "INTERRUPT": _interrupted}
    if config.errors == "exception":
        special["ERROR"] = _failed
    if config.survey is not None:
        special["FEEDBACK"] = _surveyed(config.survey)
    return special


def unknown_name(eid: str) -> str:
    """The name of an event type that no table knows: `XAPI_THING` → `sunbird xapi thing`."""
    return f"sunbird {eid[:LONGEST_NAME].lower().replace('_', ' ')}".rstrip()[:LONGEST_NAME]


def _stage(edata: Mapping[str, Any]) -> str:
    kind = str(edata.get("type") or "").lower()
    return _STAGES.get(kind, "activity") or kind


def _started(edata: Mapping[str, Any], source: Source, out: Properties) -> str:
    if "$os" not in out and isinstance(system := out.get("browser_system"), str):
        out["$os"] = system
    stage = _stage(edata)
    return (
        _opened(source, out, from_background=False) if stage == "app" and source.app else f"{stage} started"
    )


def _ended(edata: Mapping[str, Any], source: Source, out: Properties) -> str:
    return f"{_stage(edata)} ended"


def _opened(source: Source, out: Properties, *, from_background: bool) -> str:
    out["from_background"] = from_background
    if source.version:
        out["version"] = source.version
    return "Application Opened"


def _interrupted(edata: Mapping[str, Any], source: Source, out: Properties) -> str:
    kind = str(edata.get("type") or "").lower()
    if kind == "resume":
        return _opened(source, out, from_background=True)
    return "Application Backgrounded" if kind == "background" else "session interrupted"


def _viewed(edata: Mapping[str, Any], source: Source, out: Properties) -> str:
    page, uri = edata.get("pageid"), edata.get("uri")
    if source.app:
        if name := _first(page, uri):
            out["$screen_name"] = name
        return "$screen"
    if address := _address(uri if isinstance(uri, str) else "", source.base):
        out["$current_url"], out["$host"], out["$pathname"] = address
    return "$pageview"


def _first(*values: Any) -> str | None:
    return next((value[:LONGEST_VALUE] for value in values if isinstance(value, str) and value), None)


def _address(uri: str, base: str) -> tuple[str, str, str] | None:
    """A page's full address, host and path; `uri` may be absolute, rooted or a bare name."""
    if not base:
        return None
    whole = uri if uri.startswith(("http://", "https://")) else f"{base}/{uri.lstrip('/')}"
    try:
        parts = urlsplit(whole)
    except ValueError:
        return None
    return whole, parts.netloc, parts.path or "/"


def _failed(edata: Mapping[str, Any], source: Source, out: Properties) -> str:
    """Group by producer, type and code: the stack of a telemetry error is a text, and often differs."""
    code, kind = (text(edata.get(key)) or "" for key in ("err", "errtype"))
    stack = text(edata.get("stacktrace")) or ""
    first_line = stack.strip().partition("\n")[0][:LONGEST_VALUE]
    exception = {
        "type": code[:LONGEST_VALUE] or kind[:LONGEST_VALUE] or "Error",
        "value": first_line or kind[:LONGEST_VALUE],
        "mechanism": {"type": "sunbird", "synthetic": True, "exception_id": 0},
    }
    same = "\x1f".join((source.id, kind, code)).encode("utf-8", "replace")
    out["$exception_list"] = [exception]
    out["$exception_level"] = "error"
    out["$exception_fingerprint"] = hashlib.sha256(same).hexdigest()
    return "$exception"


def _surveyed(survey: Survey) -> Callable[[Mapping[str, Any], Source, Properties], str]:
    questions = {"rating": survey.rating_question, "comments": survey.comment_question}

    def name(edata: Mapping[str, Any], source: Source, out: Properties) -> str:
        out["$survey_id"] = survey.id
        for key, question in questions.items():
            value = edata.get(key)
            answer = text(value if number(value) is None else number(value))
            if question and answer:
                out[f"$survey_response_{question}"] = answer
        return "survey sent"

    return name
