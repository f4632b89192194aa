"""What capture's answers mean for each payload. Pure.

Only what PostHog says in so many words is taken for an acknowledgement: a page of a proxy
with status 200 is none, nor is an event that V1's answer does not mention.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from bridge.errors import RejectedError, SetupError, TransientError
from bridge.http import raise_for_status, retry_after
from bridge.secrets import redact
from bridge.sinks import DELIVERED, DUPLICATE, Outcome, Reject, Retry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.http import Answer
    from bridge_posthog.wire import Parcel, Protocol

__all__ = ["Verdict", "all_fine", "delivered", "judge", "outcomes", "verdicts"]

OK: Final = 200
NO_CONTENT: Final = 204
LONGEST_REASON: Final = 200
FINE: Final = frozenset({"ok", "warning"})
_USUAL, _BETWEEN = b'{"results":{"%b":{"result":"ok"}}}', b'":{"result":"ok"},"'
_CODE = re.compile(r"[a-z][a-z0-9_]{0,49}")
_UNPRINTABLE = re.compile(r"[^ -~]+")

SETUP: Final = {
    401: "PostHog does not accept api_key; write the project's key (phc_…) from Settings → Project",
    402: "the project is over its event quota; raise PostHog's billing limit, nothing is lost meanwhile",
    404: "there is no capture at this address; check host (for example https://eu.i.posthog.com)",
    405: "this address takes no events; check host (for example https://eu.i.posthog.com)",
    415: 'the server does not know this encoding; set compression = "gzip" or "none"',
}
NO_V1: Final = 'the server does not offer capture V1; set capture_mode = "auto" or "v0"'


class Verdict(msgspec.Struct, gc=False):
    """V1's answer to one event: ok, warning, drop or retry, and why."""

    result: str = ""
    details: str | None = None


class _Results(msgspec.Struct, gc=False):
    results: dict[str, Verdict]


class _Fine(msgspec.Struct, gc=False):
    result: Literal["ok", "warning"]
    details: str | None = None


class _FineResults(msgspec.Struct, gc=False):
    results: dict[str, _Fine]


class _Status(msgspec.Struct, gc=False):
    status: str | int


class _Complaint(msgspec.Struct, gc=False):
    error: str | None = None
    error_description: str | None = None
    code: str | None = None
    detail: str | None = None


_decode_results = msgspec.json.Decoder(_Results).decode
_decode_fine = msgspec.json.Decoder(_FineResults).decode
_decode_status = msgspec.json.Decoder(_Status).decode
_decode_complaint = msgspec.json.Decoder(_Complaint).decode


def judge(protocol: Protocol, answer: Answer, parcel: Parcel, now: float) -> list[Outcome]:
    """One outcome a payload; raises a `DeliveryError` for an answer to the batch as a whole."""
    refuse(protocol, answer, now)
    if protocol == "v1":
        if all_fine(answer.body, parcel.uuids):
            return delivered(parcel)
        return outcomes(parcel, verdicts(answer), retry_after(answer.headers, now))
    if answer.status == OK:
        _acknowledged(answer)
    return delivered(parcel)


def delivered(parcel: Parcel) -> list[Outcome]:
    """The outcomes of a parcel whose events have all arrived."""
    if parcel.counts is None:
        return [DELIVERED] * len(parcel.events)
    return [DELIVERED if count else DUPLICATE for count in parcel.counts]


def all_fine(body: bytes, uuids: Sequence[bytes]) -> bool:
    """Whether V1 has taken every event: the usual case, for which no verdict is looked at.

    Capture keeps to the request's order and leaves no blanks (its `v1/analytics/response.rs`).
    """
    if body == _USUAL % _BETWEEN.join(uuids):
        return True
    try:
        found = _decode_fine(body).results
    except (msgspec.MsgspecError, ValueError):
        return False
    return found.keys() >= set(map(bytes.decode, uuids))


def refuse(protocol: Protocol, answer: Answer, now: float) -> None:
    """Raise what a status other than success means."""
    status = answer.status
    if status == OK or (status == NO_CONTENT and protocol == "v0"):
        return
    code, reason = complaint(answer)
    if status in {400, 413}:
        raise RejectedError("payload_too_large" if status == 413 else code, reason)  # noqa: PLR2004
    if status == 404 and protocol == "v1":  # noqa: PLR2004
        raise SetupError(f"HTTP 404: {NO_V1}")
    if status in SETUP:
        raise SetupError(f"HTTP {status}: {SETUP[status]}")
    raise_for_status(answer, now)
    if status < 300:  # noqa: PLR2004
        raise TransientError(f"HTTP {status} is no answer of PostHog's capture")
    raise SetupError(f"HTTP {status}: {reason}")


def complaint(answer: Answer) -> tuple[str, str]:
    """A stable code and a short text from the body of a refusal, whatever its form."""
    try:
        found = _decode_complaint(answer.body)
    except (msgspec.MsgspecError, ValueError):
        found = _Complaint(detail=answer.body[: 4 * LONGEST_REASON].decode("utf-8", "replace"))
    code = found.error or found.code or ""
    words = found.error_description or found.detail or code
    reason = _quoted(words)
    return code if _CODE.fullmatch(code) else "bad_request", reason or f"HTTP {answer.status}"


def _quoted(words: str) -> str:
    """PostHog's words on one line, without what it may have echoed of our request."""
    return _UNPRINTABLE.sub(" ", redact(words)).strip()[:LONGEST_REASON]


def _acknowledged(answer: Answer) -> None:
    try:
        status = _decode_status(answer.body).status
    except (msgspec.MsgspecError, ValueError):
        status = ""
    if status not in {"Ok", "ok", 1}:
        raise TransientError("HTTP 200, but not PostHog's acknowledgement; is host the ingestion host?")


def verdicts(answer: Answer) -> dict[str, Verdict]:
    """V1's verdicts by uuid; `TransientError` if the answer is something else."""
    try:
        return _decode_results(answer.body).results
    except (msgspec.MsgspecError, ValueError):
        raise TransientError("HTTP 200, but no verdicts of capture V1; is host the ingestion host?") from None


def outcomes(parcel: Parcel, found: dict[str, Verdict], after: float | None) -> list[Outcome]:
    """One outcome a payload; of a payload with more events the worst one counts."""
    each = [_outcome(found.get(uuid.decode()), after) for uuid in parcel.uuids]
    return each if parcel.counts is None else list(map(_worst, parcel.by_payload(each)))


def _outcome(verdict: Verdict | None, after: float | None) -> Outcome:
    if verdict is None:
        return Retry("PostHog's answer does not mention the event", after)
    if verdict.result in FINE:
        return DELIVERED
    details = _quoted(verdict.details or "")
    if verdict.result == "drop":
        code = details if _CODE.fullmatch(details) else "dropped"
        return Reject(code, f"PostHog dropped the event: {details or 'no reason given'}")
    return Retry(details or "PostHog asks to send the event again", after)


def _worst(own: Sequence[Outcome]) -> Outcome:
    for kind in (Retry, Reject):
        for outcome in own:
            if isinstance(outcome, kind):
                return outcome
    return DELIVERED if own else DUPLICATE
