"""Packs to objects and plans, and a store's complaints to what happens next. Pure."""

from __future__ import annotations

import hashlib
import re
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from bridge.errors import DeliveryError, SetupError, TransientError
from bridge_s3.planning import Plan, PlannedObject

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.sinks import Pack, Span
    from bridge_s3.formats import Format
    from bridge_s3.keys import Naming

__all__ = [
    "DigestError",
    "Sealed",
    "delivery_error",
    "fold",
    "gather",
    "make_plan",
    "seal",
    "went_unanswered",
]

MAX_GROUPS = 64


class Sealed(NamedTuple):
    """One finished object: its bytes in parts, and how many events they hold."""

    key: str
    parts: Sequence[bytes]
    events: int


class DigestError(TransientError):
    """The store says that the body arrived damaged; once that is chance, twice it is the set-up."""


def fold(groups: Sequence[str]) -> dict[str, list[int]]:
    """The places of each group, in order; the groups as they first come."""
    folded: dict[str, list[int]] = {group: [] for group in dict.fromkeys(groups)}
    for place, group in enumerate(groups):
        folded[group].append(place)
    return folded


def gather(packs: Sequence[Pack], unplaced: str, min_bytes: int) -> dict[str, list[Pack]]:
    """The packs of each object by group.

    The 64 largest groups have objects of their own if they reach `min_bytes` (the largest
    always has); the others share the `unplaced` one, so no event makes more objects than that.
    """
    groups: dict[str, list[Pack]] = {}
    for pack in packs:
        groups.setdefault(pack.group, []).append(pack)
    order = sorted(groups, key=lambda group: (-_size(groups[group]), group))
    room = MAX_GROUPS if len(order) <= MAX_GROUPS else MAX_GROUPS - 1
    kept = {group for group in order[:room] if group == order[0] or _size(groups[group]) >= min_bytes}
    merged: dict[str, list[Pack]] = {}
    for pack in packs:
        merged.setdefault(pack.group if pack.group in kept else unplaced, []).append(pack)
    return merged


def _size(packs: Sequence[Pack]) -> int:
    return sum(len(pack.data) for pack in packs)


def seal(groups: Mapping[str, Sequence[Pack]], span: Span, naming: Naming, form: Format) -> list[Sealed]:
    """The objects of a range, ordered by key."""
    sealed = [
        Sealed(
            naming.key(span.stream, group, span.start, span.end),
            form.body([pack.data for pack in packs]),
            sum(pack.count for pack in packs),
        )
        for group, packs in groups.items()
    ]
    return sorted(sealed, key=attrgetter("key"))


def make_plan(sealed: Sequence[Sealed], span: Span, generation: str) -> Plan:
    """What is to be written for this range: a function of the journal's content and the settings."""
    objects = tuple(
        PlannedObject(item.key, sum(map(len, item.parts)), _sha256(item.parts), item.events)
        for item in sealed
    )
    return Plan(span.stream, span.start, span.end, sum(item.events for item in sealed), generation, objects)


def _sha256(parts: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z0-9_.]{1,64})</Code>")
_OS_ERROR = re.compile(r"os error (\d{1,4})")
_SOURCES = re.compile(r"source: ([A-Z][A-Za-z]{2,40})\b")
_TLS = re.compile(r"certificate|InvalidContentType|HandshakeFailure|UnknownIssuer", re.IGNORECASE)

SETUP_KINDS = frozenset(
    {
        "FileNotFoundError",
        "InvalidPathError",
        "NotImplementedError",
        "NotSupportedError",
        "PermissionDeniedError",
        "UnauthenticatedError",
        "UnknownConfigurationKeyError",
        "ValueError",
    }
)
PASSING_CODES = frozenset(
    {
        "ConditionalRequestConflict",
        "IncompleteBody",
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "ThrottlingException",
    }
)
DIGEST_CODES = frozenset(
    {"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"}
)
PASSING_STATUSES = frozenset({408, 409, 425, 429})
NOT_IMPLEMENTED = 501
HINTS: Mapping[str, str] = {
    "AccessDenied": "the credentials may not do this",
    "ContainerNotFound": "the container does not exist",
    "AuthorizationHeaderMalformed": "set region to the bucket's",
    "ExpiredToken": "the credentials have expired",
    "InvalidAccessKeyId": "the access key is unknown",
    "NoSuchBucket": "the bucket does not exist",
    "PermanentRedirect": "set region or endpoint to the bucket's",
    "RequestTimeTooSkewed": "this machine's clock is wrong",
    "SignatureDoesNotMatch": "the secret key is wrong",
}


def delivery_error(verb: str, error: Exception) -> DeliveryError:
    """What a failed request means; the text names status and code, never the body or the keys.

    403, missing bucket, wrong region, TLS, every other 4xx → `SetupError`; 5xx, 429, time-outs
    and refused connections → `TransientError`; a damaged body → `DigestError`.
    """
    text = str(error)
    status, code = _first(_STATUS, text), _first(_CODE, text)
    reason = f"{verb} failed: {_summary(error, text, status, code)}"
    if code in DIGEST_CODES:
        return DigestError(reason)
    return (
        SetupError(reason) if _needs_people(error, text, int(status or 0), code) else TransientError(reason)
    )


def went_unanswered(error: Exception) -> bool:
    """Whether a request ended without any status: it may have been carried out, or refused unread."""
    text = str(error)
    return not _first(_STATUS, text) and isinstance(delivery_error("", error), TransientError)


def _needs_people(error: Exception, text: str, status: int, code: str) -> bool:
    if code in PASSING_CODES:
        return False
    if type(error).__name__ in SETUP_KINDS or code in HINTS:
        return True
    if status:
        return status == NOT_IMPLEMENTED or (status < 500 and status not in PASSING_STATUSES)  # noqa: PLR2004
    return "redirect" in text or "builder error" in text or bool(_TLS.search(text))


def _summary(error: Exception, text: str, status: str, code: str) -> str:
    found = " ".join(filter(None, (status, code))) or _kind(error, text)
    return f"{found} ({HINTS[code]})" if code in HINTS else found


def _kind(error: Exception, text: str) -> str:
    """A few words on a failure without an answer."""
    if _TLS.search(text):
        return "TLS was refused; check ca_file and the endpoint's certificate"
    if "redirect" in text:
        return "redirected; set region or endpoint to the bucket's"
    if "builder error" in text:
        return "the endpoint cannot be used; write https://, or set allow_http"
    if "kind: Timeout" in text or "timed out" in text:
        return "no answer in time"
    if "kind: Connect" in text or "error sending request" in text:
        return "no connection"
    number = _first(_OS_ERROR, text)
    return " ".join(
        [type(error).__name__, *_SOURCES.findall(text)[:4], *([f"os error {number}"] if number else [])]
    )


def _first(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1] if match else ""
