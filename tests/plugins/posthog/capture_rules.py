"""The rules of PostHog's capture, V0 and V1: what a request must be to be taken. Pure.

Written from the tables in the reference (endpoints, responses, what makes a batch fail) and
held to PostHog's own verdicts on a hundred bodies. A request is either answered for each
event, or refused as a whole.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from math import isinf
from typing import Any
from uuid import UUID

import zstandard

__all__ = ["Refused", "Taken", "judge_v0", "judge_v1"]

SERDE_DEPTH = 127
LONGEST_TOKEN = 64
MAX_BODY = {"v0": 20 * 1024 * 1024, "v1": 50 * 1024 * 1024}
MAX_EVENT = 1_000_000
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
NOBODY = {
    "",
    "0",
    "1",
    "[object object]",
    "anonymous",
    "guest",
    "distinctid",
    "distinct_id",
    "id",
    "not_authenticated",
    "email",
    "undefined",
    "true",
    "false",
    "nan",
    "none",
    "null",
    "00000000-0000-0000-0000-000000000000",
    "anonymous-user",
    "backend",
    "system",
    "user",
}


class Refused(Exception):  # noqa: N818 - it is an answer, not a fault
    """The whole request is refused with `status`; `error` is V1's code."""

    def __init__(self, status: int, text: str, error: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.error = error or text


@dataclass
class Taken:
    """A request that was taken: its events, and V1's verdicts by uuid."""

    token: str
    events: list[dict[str, Any]]
    verdicts: dict[str, dict[str, str]] = field(default_factory=dict)
    historical: bool = False


class Members(dict[str, Any]):
    """A JSON object that remembers which keys came twice."""

    twice: frozenset[str] = frozenset()


def judge_v0(body: bytes, encoding: str = "") -> Taken:
    """Judge a request to `/batch/`; raises `Refused`."""
    document = parse(_inflated_v0(body, encoding), "failed to parse request")
    _no_lone_surrogates(document)
    if _depth(document) > SERDE_DEPTH:
        raise Refused(400, "failed to parse request: recursion limit exceeded")
    taken = _request_v0(document)
    _check_token(taken.token)
    if not taken.events:
        raise Refused(400, "empty batch")
    for event in taken.events:
        _check_event_v0(event)
    return taken


def _request_v0(document: Any) -> Taken:
    if isinstance(document, list):
        events = [_event_v0(item) for item in document]
        tokens = {event.get("token", event.get("api_key")) for event in events}
        if len(tokens) > 1:
            raise Refused(401, "multiple tokens")
        return Taken(tokens.pop() if tokens else "", events)
    if isinstance(document, Members) and "batch" in document:
        return _batch_v0(document)
    event = _event_v0(document)
    return Taken(event.get("token", event.get("api_key", "")), [event])


def _batch_v0(document: Members) -> Taken:
    _once(document, "batch", "historical_migration", "sent_at", "token", "api_key")
    token = _aliased(document, "token", "api_key")
    sent_at, history = document.get("sent_at"), document.get("historical_migration")
    if not isinstance(token, str) or not isinstance(document["batch"], list):
        raise _untagged()
    if not isinstance(sent_at, str | None) or not isinstance(history, bool | None):
        raise _untagged()
    return Taken(token, [_event_v0(item) for item in document["batch"]], historical=bool(history))


def _event_v0(item: Any) -> Members:
    if not isinstance(item, Members):
        raise _untagged()
    _once(item, "event", "uuid", "distinct_id", "timestamp", "properties", "offset", "$set", "$set_once")
    _aliased(item, "token", "api_key")
    _aliased(item, "distinct_id", "$distinct_id")
    fits = (
        isinstance(item.get("event"), str)
        and isinstance(item.get("timestamp"), str | None)
        and isinstance(item.get("properties", {}), dict)
        and all(isinstance(item.get(key), dict | None) for key in ("$set", "$set_once"))
        and type(item.get("offset")) in {int, type(None)}
        and isinstance(item.get("uuid"), str | None)
    )
    if not fits or (item.get("uuid") and not _is_uuid(item["uuid"])):
        raise _untagged()
    return item


def _check_event_v0(event: Members) -> None:
    if not event["event"]:
        raise Refused(400, "event submitted with an empty event name")
    name = event.get("distinct_id", event.get("$distinct_id", event.get("properties", {}).get("distinct_id")))
    if name is None or (isinstance(name, str) and not name.strip()):
        raise Refused(400, "event submitted without a distinct_id")
    if len(json.dumps(event).encode()) > MAX_EVENT:
        raise Refused(413, "event too big")


def judge_v1(body: bytes, headers: dict[str, str]) -> Taken:
    """Judge a request to `/i/v1/analytics/events`; header names in lower case; raises `Refused`."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme != "Bearer":
        raise Refused(401, "missing authorization")
    _check_token(token)
    _check_headers(headers)
    document = parse(_inflated_v1(body, headers.get("content-encoding", "")), "request_parsing_error")
    if not isinstance(document, Members):
        raise Refused(400, "request_parsing_error: expected a batch", "request_parsing_error")
    _once(document, "created_at", "batch", "historical_migration", error="request_parsing_error")
    created, batch, history = (document.get(key) for key in ("created_at", "batch", "historical_migration"))
    if not isinstance(batch, list) or ("historical_migration" in document and not isinstance(history, bool)):
        raise Refused(400, "request_parsing_error: batch or historical_migration", "request_parsing_error")
    if not isinstance(created, str) or not _is_rfc3339(created):
        raise Refused(400, "invalid_batch created_at", "invalid_batch")
    if not batch:
        raise Refused(400, "empty_batch")
    return _verdicts_v1(token, batch, bool(history))


def _check_headers(headers: dict[str, str]) -> None:
    missing = [
        name
        for name in (
            "posthog-sdk-info",
            "posthog-attempt",
            "posthog-request-id",
            "posthog-request-timestamp",
            "user-agent",
        )
        if not headers.get(name)
    ]
    if missing:
        raise Refused(400, f"missing_required_headers: {', '.join(missing)}", "missing_required_headers")
    if headers.get("content-type", "").partition(";")[0] != "application/json":
        raise Refused(415, "unsupported_content_type")
    whole = (
        "/" in headers["posthog-sdk-info"]
        and len(headers["posthog-sdk-info"]) <= 200
        and headers["posthog-attempt"].isdecimal()
        and int(headers["posthog-attempt"]) >= 1
        and _is_uuid(headers["posthog-request-id"])
        and _is_rfc3339(headers["posthog-request-timestamp"])
    )
    if not whole:
        raise Refused(400, "invalid_headers")


def _verdicts_v1(token: str, batch: list[Any], history: bool) -> Taken:
    for item in batch:
        _shape_v1(item)
    uuids = [str(UUID(item["uuid"])) for item in batch]
    if len(set(uuids)) < len(uuids):
        raise Refused(400, "duplicate_event_uuid")
    verdicts = {uuid: _verdict_v1(item) for uuid, item in zip(uuids, batch, strict=True)}
    return Taken(token, batch, verdicts, history)


def _shape_v1(item: Any) -> None:
    if not isinstance(item, Members):
        raise Refused(400, "request_parsing_error: expected an event", "request_parsing_error")
    known = ("event", "uuid", "distinct_id", "timestamp", "session_id", "window_id", "options", "properties")
    _once(item, *known, error="request_parsing_error")
    for key in ("event", "uuid", "distinct_id", "timestamp"):
        if not isinstance(item.get(key), str):
            raise Refused(400, f"request_parsing_error: `{key}` is no string", "request_parsing_error")
    for key in ("session_id", "window_id"):
        if not isinstance(item.get(key, ""), str):
            raise Refused(400, f"request_parsing_error: `{key}` is no string", "request_parsing_error")
    _no_lone_surrogates([value for key, value in item.items() if key != "properties"])
    if not item["uuid"]:
        raise Refused(400, "missing_event_uuid")
    if not _is_uuid(item["uuid"]):
        raise Refused(400, "invalid_event_uuid")


def _verdict_v1(item: Members) -> dict[str, str]:
    name, who = item["event"], item["distinct_id"]
    faults = {
        "missing_event_name": not name,
        "event_name_too_long": len(name.encode()) > 200,
        "missing_distinct_id": not who.strip(),
        "distinct_id_too_large": len(who.encode()) > 200,
        "invalid_event_timestamp": not _is_rfc3339(item["timestamp"]),
        "malformed_event_properties": not isinstance(item.get("properties"), dict),
        "invalid_options": not _options_fit(item.get("options", {})),
        "event_too_big": len(json.dumps(item).encode()) > MAX_EVENT,
    }
    for details, found in faults.items():
        if found:
            return {"result": "drop", "details": details}
    disabled = who.strip().lower() in NOBODY
    return {"result": "ok", "details": "person_processing_disabled"} if disabled else {"result": "ok"}


def _options_fit(options: Any) -> bool:
    if not isinstance(options, dict):
        return False
    flags = (
        options.get(key) for key in ("cookieless_mode", "disable_skew_correction", "process_person_profile")
    )
    tour = options.get("product_tour_id")
    return all(isinstance(flag, bool | int | float | str | None) for flag in flags) and (
        tour is None or (isinstance(tour, str | int) and not isinstance(tour, bool))
    )


def parse(text: bytes, failure: str) -> Any:
    """Parse JSON as serde does: no BOM, no NaN; raises `Refused`."""
    try:
        return json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_members,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except UnicodeDecodeError:
        raise Refused(400, "invalid body encoding") from None
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"{failure}: {error}", failure) from None


def _members(pairs: list[tuple[str, Any]]) -> Members:
    members = Members(pairs)
    if len(members) < len(pairs):
        keys = [key for key, _ in pairs]
        members.twice = frozenset(key for key in keys if keys.count(key) > 1)
    return members


def _constant(word: str) -> Any:
    message = f"expected value, not {word}"
    raise ValueError(message)


class Beyond(float):
    """A number that no double holds; V1 passes it on unread inside properties."""


def _float(digits: str) -> float:
    value = float(digits)
    return Beyond(value) if isinf(value) else value


def _int(digits: str) -> float:
    return int(digits) if len(digits) < 300 else _float(digits)


def _no_lone_surrogates(value: Any) -> None:
    """Refuse what serde cannot hold in a String or a double."""
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise Refused(400, "request_parsing_error: unexpected end of hex escape", "request_parsing_error")
    if isinstance(value, Beyond):
        raise Refused(400, "request_parsing_error: number out of range", "request_parsing_error")
    for item in _children(value):
        _no_lone_surrogates(item)


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return value if isinstance(value, list) else []


def _depth(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    return 1 + max((_depth(item) for item in _children(value)), default=0)


def _inflated_v0(body: bytes, encoding: str) -> bytes:
    if encoding == "gzip" or body[:2] == b"\x1f\x8b":
        try:
            body = gzip.decompress(body)
        except (OSError, EOFError, zlib.error):
            raise Refused(400, "invalid gzip data") from None
    if len(body) > MAX_BODY["v0"]:
        raise Refused(413, "request too large")
    if not body:
        raise Refused(400, "failed to parse request: EOF while parsing a value at line 1 column 0")
    return body


def _inflated_v1(body: bytes, encoding: str) -> bytes:
    inflate = {"": bytes, "gzip": gzip.decompress, "deflate": zlib.decompress, "zstd": _unzstd}.get(encoding)
    if inflate is None:
        raise Refused(415, "unsupported_content_encoding")
    try:
        data = inflate(body)
    except (OSError, EOFError, zlib.error, zstandard.ZstdError):
        raise Refused(400, "request_parsing_error: broken compression", "request_parsing_error") from None
    if len(data) > MAX_BODY["v1"]:
        raise Refused(413, "payload_too_large")
    return data


def _unzstd(body: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(body, max_output_size=MAX_BODY["v1"] + 1)


def _check_token(token: str) -> None:
    for fault, found in {
        "empty": not token,
        "personal_api_key": token.startswith("phx_"),
        "too_long": len(token) > LONGEST_TOKEN,
        "not_ascii": not token.isascii() or "\x00" in token,
    }.items():
        if found:
            raise Refused(401, f"API key is not valid: {fault}", "invalid_token")


def _once(members: Members, *keys: str, error: str = "failed to parse request") -> None:
    if twice := members.twice.intersection(keys):
        raise Refused(400, f"{error}: duplicate field `{min(twice)}`", error)


def _aliased(members: Members, key: str, alias: str) -> Any:
    if key in members and alias in members:
        raise _untagged()
    return members.get(key, members.get(alias))


def _untagged() -> Refused:
    return Refused(400, "failed to parse request: data did not match any variant of untagged enum RawRequest")


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _is_rfc3339(text: str) -> bool:
    if not _RFC3339.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
