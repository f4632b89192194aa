"""The exact verdict on one event: which rule it breaks, where, and what to write instead.

Slow and plain where `bridge.typed` is fast: an interpreter over the table of `bridge.schemas`.
Keys whose value is null count as absent, as in Sunbird's own pipeline; nulls in arrays do not.
"""

from __future__ import annotations

import json
import re
from math import isinf
from typing import TYPE_CHECKING, Any

import msgspec

from bridge.errors import EventError
from bridge.model import Actor, CData, Context, Event, Object, Producer
from bridge.schemas import ArrayOf, Number, Record, Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.schemas import Rule

__all__ = ["build", "check", "check_event"]

Path = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHOWN = 64  # characters of a sender's own key or eid that a reason repeats
_KINDS = {str: "a string", bool: "a boolean", dict: "an object", list: "an array", type(None): "null"}


def check_event(document: Any, head: Rule, edata: Mapping[str, Rule] | None, *, extended: bool) -> None:
    """Raise EventError at the first rule of `head`, then of its eid in `edata`, that is broken.

    `document` is the decoded event. Without `edata` only the head counts; `extended` lets eids
    pass that `edata` does not know.
    """
    if not isinstance(document, dict):
        raise EventError("not_an_event", f"send the event as a JSON object, not as {_kind(document)}")
    eid = document.get("eid")
    if edata and not extended and isinstance(eid, str) and eid and eid not in edata:
        reason = f"use one of the {len(edata)} official eids in place of {_shown(eid)}"
        raise EventError("unknown_eid", reason, "$.eid")
    check(head, document)
    if edata and isinstance(eid, str) and eid in edata:
        check(edata[eid], document["edata"], ("edata",))


def check(rule: Rule, value: Any, path: Path = ()) -> None:
    """Raise EventError, with a JSON path below `path`, where `value` breaks `rule`."""
    match rule:
        case Record():
            _check_record(rule, value, path)
        case ArrayOf():
            _check_array(rule, value, path)
        case Number():
            _check_number(rule, value, path)
        case Text():
            _check_text(rule, value, path)


def _check_record(rule: Record, value: Any, path: Path) -> None:
    if not isinstance(value, dict):
        raise _wrong_type("an object", value, path)
    for key, inner in rule.keys.items():
        if value.get(key) is not None:
            check(inner, value[key], (*path, key))
        elif key in rule.required:
            raise EventError("missing_key", f"add the key, {_wanted(inner)}", _render((*path, key)))
    if rule.closed:
        for key, item in value.items():
            if item is not None and key not in rule.keys:
                reason = f"remove the key: beside it only {', '.join(rule.keys)} are known here"
                raise EventError("unknown_key", reason, _render((*path, key)))


def _check_array(rule: ArrayOf, value: Any, path: Path) -> None:
    if not isinstance(value, list):
        raise _wrong_type("an array", value, path)
    for index, item in enumerate(value):
        check(rule.item, item, (*path, index))


def _check_number(rule: Number, value: Any, path: Path) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type("a number", value, path)
    if not _is_double(value):
        reason = "write a number that a 64-bit float can hold, at most 1.797e308"
        raise EventError("number_out_of_range", reason, _render(path))
    if rule.minimum is not None and value < rule.minimum:
        raise EventError("too_small", f"write {rule.minimum:g} or more", _render(path))


def _check_text(rule: Text, value: Any, path: Path) -> None:
    if not isinstance(value, str):
        raise _wrong_type("a string", value, path)
    if len(value) < rule.min_length:
        raise EventError("too_short", f"write {rule.min_length} character or more", _render(path))
    if rule.choices and value not in rule.choices:
        raise EventError("not_allowed", f"write {_quoted(rule.choices)}", _render(path))


def _is_double(value: float) -> bool:
    try:
        return not isinf(float(value))
    except OverflowError:
        return False


def _wrong_type(wanted: str, value: Any, path: Path) -> EventError:
    return EventError("wrong_type", f"write {wanted}, not {_kind(value)}", _render(path))


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "a number")


def _wanted(rule: Rule) -> str:
    match rule:
        case Text(choices=choices) if choices:
            return _quoted(choices)
        case Text(min_length=least):
            return "a string that is not blank" if least else "a string"
        case Number():
            return "a number"
        case ArrayOf():
            return "an array"
        case _:
            return "an object"


def _quoted(choices: tuple[str, ...]) -> str:
    return " or ".join(f'"{choice}"' for choice in choices)


def _shown(text: str) -> str:
    return json.dumps(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…", ensure_ascii=False)


def _render(path: Path) -> str:
    return "$" + "".join(_step(step) for step in path)


def _step(step: str | int) -> str:
    if isinstance(step, str) and _PLAIN_KEY.fullmatch(step) and len(step) <= _SHOWN:
        return f".{step}"
    return f"[{_shown(step)}]" if isinstance(step, str) else f"[{step}]"


class _Edata(msgspec.Struct, gc=False):
    edata: msgspec.Raw = msgspec.Raw(b"{}")


def build(document: dict[str, Any], raw: bytes) -> Event:
    """The event that `document`, decoded from `raw`, describes; what is untyped reads as blank."""
    context = _record(document.get("context"))
    return Event(
        eid=document["eid"],
        ets=float(document["ets"]),
        ver=_text(document, "ver"),
        mid=document["mid"],
        actor=Actor(**_texts(document.get("actor"), "id", "type")),
        context=Context(
            pdata=Producer(**_texts(context.get("pdata"), "id", "pid", "ver")),
            cdata=_cdata(context.get("cdata")),
            rollup=_rollup(context.get("rollup")),
            **_texts(context, "channel", "env", "sid", "did"),
        ),
        object=_object(document.get("object")),
        tags=_strings(document.get("tags")),
        edata_held=msgspec.json.decode(raw, type=_Edata).edata,
        syncts=document.get("syncts"),
        timestamp=document.get("@timestamp"),
        raw=raw,
    )


def _record(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    return value if isinstance(value, str) else ""


def _texts(value: Any, *keys: str) -> dict[str, Any]:
    record = _record(value)
    return {key: record[key] for key in keys if isinstance(record.get(key), str)}


def _strings(value: Any) -> list[str] | None:
    if not isinstance(value, list):
        return None
    return [item for item in value if isinstance(item, str)]


def _cdata(value: Any) -> list[CData] | None:
    if not isinstance(value, list):
        return None
    pairs = [_texts(item, "type", "id") for item in value]
    return [CData(**pair) for pair in pairs if len(pair) == len(CData.__struct_fields__)]


def _object(value: Any) -> Object | None:
    if not isinstance(value, dict):
        return None
    return Object(rollup=_rollup(value.get("rollup")), **_texts(value, "id", "type", "ver"))


def _rollup(value: Any) -> dict[str, str] | None:
    return _texts(value, *value) if isinstance(value, dict) else None
