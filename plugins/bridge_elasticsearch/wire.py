"""A bulk request as bytes, and what its answer says about each payload.

A 200 says little: every item has a status of its own. What covers the whole request is raised,
what covers one item is an outcome (`verdicts`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NoReturn
from urllib.parse import quote

import msgspec

from bridge.compression import compress_joined, joined
from bridge.errors import RejectedError, SetupError, TransientError
from bridge.http import raise_for_status
from bridge.sinks import DELIVERED
from bridge_elasticsearch import verdicts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridge.http import Answer
    from bridge.sinks import Outcome

__all__ = ["HEADERS", "IN_FAILURE_STORE", "MAX_ANSWER", "OK", "bulk_path", "error_of", "frame", "read"]

MAX_ANSWER = 64 * 1024 * 1024
HEADERS = {"content-type": "application/x-ndjson", "accept": "application/json"}
FILTER = "errors,items.*.status,items.*.error,items.*.failure_store"
CREATED = b'{"create":{"status":201}}'
IN_FAILURE_STORE = b'"failure_store":"used"'
MAX_PROTOCOL_ERRORS = 5
OK, BAD_REQUEST, TOO_LARGE = 200, 400, 413


class _Items(msgspec.Struct):
    errors: bool
    items: list[dict[str, verdicts.Item]]


class _Problem(msgspec.Struct):
    error: dict[str, Any]


_items = msgspec.json.Decoder(_Items)
_problem = msgspec.json.Decoder(_Problem)


def bulk_path(pipeline: str | None) -> str:
    """The path and query of a bulk request; the answer is cut down to what `read` needs."""
    query = f"filter_path={quote(FILTER, safe='')}"
    return f"/_bulk?{query}&pipeline={quote(pipeline, safe='')}" if pipeline else f"/_bulk?{query}"


def frame(lines: Iterable[bytes], compression: Literal["gzip", "none"]) -> tuple[bytes, dict[str, str]]:
    """Join lines, or pieces of them, into the body of a request and say with which headers it goes."""
    if compression == "none":
        with joined(lines) as text:
            return bytes(text), dict(HEADERS)
    return compress_joined(lines), {**HEADERS, "content-encoding": "gzip"}


@lru_cache(maxsize=8)
def all_created(count: int) -> bytes:
    """What both products answer, through our filter, to `count` documents of which each is new.

    Decoding every item costs more than mapping the events did; this is compared at once.
    """
    return b'{"errors":false,"items":[%b]}' % b",".join([CREATED] * count)


def read(
    answer: Answer,
    count: int,
    *,
    attempt: int,
    now: float,
    failure_store: Literal["accept", "reject"] = "accept",
) -> list[Outcome]:
    """Turn the answer to `count` payloads into one outcome each.

    `attempt` counts from 1, `now` is Unix time. Raises a `DeliveryError` where one answer covers
    all of them: throttled, refused, or no answer of a `_bulk` at all.
    """
    raise_for_status(answer, now)
    if answer.status != OK:
        _refused(answer)
    if answer.body == all_created(count):
        return [DELIVERED] * count
    try:
        items = _items.decode(answer.body).items
    except (msgspec.DecodeError, UnicodeDecodeError):
        _unreadable(answer, attempt)
    if len(items) != count:
        _protocol_error(f"{len(items)} items for {count} documents", attempt)
    if any(item.keys() != {"create"} for item in items):
        _protocol_error("an item that answers no create", attempt)
    return [verdicts.judge(item["create"], attempt=attempt, failure_store=failure_store) for item in items]


def _refused(answer: Answer) -> NoReturn:
    """Say what a 4xx for the whole request means; `raise_for_status` has taken the general ones."""
    if answer.status == TOO_LARGE:
        raise RejectedError("es.too_large", "HTTP 413: the destination takes no request of this size")
    reason = error_of(answer)
    if answer.status == BAD_REQUEST and reason:
        raise RejectedError("es.bad_request", f"HTTP 400: {reason}")
    raise SetupError(f"HTTP {answer.status}: there is no _bulk of Elasticsearch at this address")


def error_of(answer: Answer) -> str:
    """The product's own words, or "" where they are missing: then it was something else that answered."""
    try:
        return verdicts.error_text(_problem.decode(answer.body).error)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _unreadable(answer: Answer, attempt: int) -> NoReturn:
    if answer.body.lstrip()[:1] != b"{":
        kind = answer.headers.get("content-type", "no content type")[:60]
        raise SetupError(f"HTTP 200 with {kind!r} instead of a bulk answer; check the address") from None
    _protocol_error("the answer cannot be read", attempt)


def _protocol_error(what: str, attempt: int) -> NoReturn:
    """Never assume that unanswered documents were stored; after five times somebody must look."""
    message = f"not an answer to this bulk request: {what}"
    if attempt > MAX_PROTOCOL_ERRORS:
        raise SetupError(message) from None
    raise TransientError(message) from None
