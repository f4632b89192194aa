"""One item of a bulk answer → what happens to its document.

Three questions, in this order: would *every* document meet the same answer (set-up, hold the
stream)? Will it pass by itself (retry this item)? Is it this document (reject it)? What no
rule knows is retried ten times, then rejected: neither lost nor in the way for ever.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from bridge.errors import SetupError
from bridge.secrets import redact
from bridge.sinks import DELIVERED, DUPLICATE, Outcome, Reject, Retry

__all__ = ["Item", "error_text", "judge"]

MAX_UNKNOWN = 10
MAX_REASON = 200
CONFLICT = 409

PASSING_STATUS = frozenset({429, 500, 502, 503, 504})
PASSING_TYPES = frozenset(
    {
        "es_rejected_execution_exception",
        "rejected_execution_exception",
        "circuit_breaking_exception",
        "unavailable_shards_exception",
        "process_cluster_event_timeout_exception",
        "no_shard_available_action_exception",
        "shard_not_found_exception",
        "node_closed_exception",
        "node_not_connected_exception",
        "master_not_discovered_exception",
        "cluster_manager_not_discovered_exception",
    }
)
SETUP_STATUS = frozenset({401, 403})
SETUP_TYPES = frozenset(
    {
        "index_not_found_exception",
        "invalid_index_name_exception",
        "index_closed_exception",
        "security_exception",
        "routing_missing_exception",
    }
)
# these come as illegal_argument_exception, as validation_exception, or wrapped in either
SETUP_WORDS = re.compile(
    r"Limit of total fields|shards open|no write index is defined|pipeline with id \[.*\] does not exist"
)
DOCUMENT_TYPES = frozenset(
    {
        "document_parsing_exception",
        "mapper_parsing_exception",
        "strict_dynamic_mapping_exception",
        "mapper_exception",
        "parse_exception",
        "x_content_parse_exception",
        "action_request_validation_exception",
    }
)
IMMENSE_TERM = "immense term"
CONFLICTING_MAPPING = re.compile(
    r"mapper \[.*\] cannot be changed|can't merge|_id is specified it must not be empty"
)
# a fault of the server's program that this document sets off, not one that passes
PROGRAM_FAULT = re.compile(r"(null_pointer|out_of_bounds|class_cast|number_format|arithmetic)_exception$")
# both products quote the value at fault, and personal data does not belong into reasons
QUOTED_VALUE = re.compile(
    r"( in document with id '.*?')?[.,]? Preview of field's value: .*"
    r"|\s*at \[Source: .*"
    r"|(?<=date field )\[.*?\](?= with format)|(?<=For input string: )\".*\"",
    re.DOTALL,
)


class Item(msgspec.Struct):
    """One answer: its `status`, the `error` if any, and ES ≥ 9.1's `failure_store`."""

    status: int
    error: Any = None
    failure_store: str | None = None


def judge(item: Item, *, attempt: int, failure_store: Literal["accept", "reject"]) -> Outcome:
    """Return the outcome of one item at the given `attempt` (from 1).

    Raises:
        SetupError: every document would meet the same answer.
    """
    if item.error is None and 200 <= item.status < 300:  # noqa: PLR2004
        return _stored(item, failure_store)
    kind, text = _type_of(item.error), error_text(item.error)
    if item.status == CONFLICT and kind in {"version_conflict_engine_exception", ""}:
        return DUPLICATE
    if item.status in SETUP_STATUS or kind in SETUP_TYPES or SETUP_WORDS.search(_all_text(item.error)):
        raise SetupError(f"status {item.status}: {text}")
    if _passes(item.status, kind):
        return Retry(text)
    return _refused(item, kind, text) or _unknown(item, text, attempt)


def error_text(error: Any) -> str:
    """Put an error and its causes into one line of at most 200 characters, without values of the event."""
    line = redact(": ".join(_sentences(error)))
    printable = "".join(letter if letter.isprintable() else " " for letter in line)
    return printable[:MAX_REASON]


def _stored(item: Item, failure_store: Literal["accept", "reject"]) -> Outcome:
    if item.failure_store == "used" and failure_store == "reject":
        return Reject("es.failure_store", "the cluster put the document into its failure store")
    return DELIVERED


def _passes(status: int, kind: str) -> bool:
    if PROGRAM_FAULT.search(kind):
        return False
    return status in PASSING_STATUS or kind in PASSING_TYPES


def _refused(item: Item, kind: str, text: str) -> Reject | None:
    if IMMENSE_TERM in _all_text(item.error):
        return Reject("es.immense_term", _sentence(item.error).partition(" (whose")[0][:MAX_REASON])
    if kind in DOCUMENT_TYPES or CONFLICTING_MAPPING.search(_all_text(item.error)):
        return Reject("es.mapping", text)
    return None


def _unknown(item: Item, text: str, attempt: int) -> Outcome:
    reason = f"status {item.status}: {text}"[:MAX_REASON]
    return Retry(reason) if attempt <= MAX_UNKNOWN else Reject("es.unknown", reason)


def _type_of(error: Any) -> str:
    return str(error.get("type", "")) if isinstance(error, dict) else ""


def _sentence(error: Any) -> str:
    reason = error.get("reason") if isinstance(error, dict) else error
    return QUOTED_VALUE.sub("", str(reason or "")).strip()


def _sentences(error: Any) -> list[str]:
    """The type, then each reason from the outside in, a repetition left out; three causes at most."""
    found = [_type_of(error)]
    for _ in range(3):
        found.append(_sentence(error))
        error = error.get("caused_by") if isinstance(error, dict) else None
        if error is None:
            break
    return [text for text in dict.fromkeys(found) if text]


def _all_text(error: Any) -> str:
    return " ".join(_sentences(error))
