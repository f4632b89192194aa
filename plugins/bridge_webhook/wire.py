"""Bodies and headers of requests, and what a receiver's answer means for the events."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bridge.errors import RejectedError, SetupError, ThrottledError, TransientError
from bridge.events import identities
from bridge.http import raise_for_status
from bridge.secrets import redact
from bridge.sinks import DELIVERED, DUPLICATE
from bridge_webhook.signing import (
    ed25519_seed,
    github_signature,
    message_id,
    standard_signature,
    symmetric_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bridge.http import Answer
    from bridge.secrets import Secret
    from bridge.sinks import Batch, Outcome
    from bridge_webhook.config import WebhookConfig
    from bridge_webhook.mapping import CloudEvents

    Sign = Callable[[bytes, bytes], bytes]

__all__ = ["Message", "authorization", "judge", "messages", "request_headers", "shown_url"]

MASK = "**********"
JSON = "application/json"
CONTENT_TYPES = {
    "cloudevents": "application/cloudevents+json; charset=UTF-8",
    "cloudevents-batch": "application/cloudevents-batch+json; charset=UTF-8",
}
ARRAYS = frozenset({"batch", "cloudevents-batch"})

CONFLICT, GONE, TOO_LARGE = 409, 410, 413
REFUSED = frozenset({400, 404, 405, 411, 415, 422})
SHORTEST_WAIT = 1.0
LONGEST_QUOTE = 160


@dataclass(frozen=True, slots=True)
class Message:
    """One request's content: `ident` to recognise it by, its body in `parts`, `headers` of it."""

    ident: str
    parts: Sequence[bytes]
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """The body as one, before compression; made anew at every call."""
        return b"".join(self.parts)


def messages(kind: str, batch: Batch[bytes], cloudevents: CloudEvents) -> Iterator[Message]:
    """Turn a batch into one message, or one a payload; the same batch gives the same messages."""
    content = {"content-type": CONTENT_TYPES.get(kind, JSON)}
    if kind in ARRAYS:
        ident = message_id("bat", batch.sink, identities(batch.events))
        yield Message(ident, _array(batch.payloads), content)
        return
    for event, payload in zip(batch.events, batch.payloads, strict=True):
        attributes = cloudevents.headers(event) if kind == "cloudevents-binary" else {}
        yield Message(message_id("evt", batch.sink, [event.identity]), [payload], content | attributes)


def _array(payloads: Sequence[bytes]) -> list[bytes]:
    """The payloads as the parts of a JSON array: nothing is copied."""
    parts = [b","] * (2 * len(payloads) + 1)
    parts[0], parts[1::2], parts[-1] = b"[", payloads, b"]"
    return parts


def request_headers(
    config: WebhookConfig, message: Message, timestamp: int, sign_ed25519: Sign | None
) -> dict[str, str]:
    """All headers of one attempt at `timestamp` (Unix seconds), secrets included."""
    headers = {**_described(config, message), "webhook-timestamp": str(timestamp)}
    headers |= authorization(config, lambda secret: secret.reveal())
    if config.signature != "standard":
        headers["x-hub-signature-256"] = github_signature(config.secrets[0].reveal(), message.body)
    elif config.secrets or config.ed25519_key:
        keys = [_usable(symmetric_key, secret) for secret in config.secrets]
        headers["webhook-signature"] = standard_signature(
            keys, message.ident, timestamp, message.body, _asymmetric(config, sign_ed25519)
        )
    return headers


def shown_headers(config: WebhookConfig, message: Message) -> dict[str, str]:
    """The same headers with every secret, the time and what depends on it masked."""
    headers = {**_described(config, message), "webhook-timestamp": "<Unix seconds of the attempt>"}
    headers |= authorization(config, str)
    if config.signature != "standard":
        headers["x-hub-signature-256"] = f"sha256={MASK}"
    elif config.secrets or config.ed25519_key:
        versions = ["v1"] * len(config.secrets) + ["v1a"] * bool(config.ed25519_key)
        headers["webhook-signature"] = " ".join(f"{version},{MASK}" for version in versions)
    return headers


def authorization(config: WebhookConfig, show: Callable[[Secret], str]) -> dict[str, str]:
    """The operator's own headers and who we are; `show` turns each secret into text."""
    headers = {name.lower(): show(secret) for name, secret in config.headers.items()}
    if config.bearer_token:
        headers["authorization"] = f"Bearer {show(config.bearer_token)}"
    if config.username and config.password:
        password = show(config.password)
        pair = base64.b64encode(f"{config.username}:{password}".encode()).decode()
        headers["authorization"] = f"Basic {password if password == MASK else pair}"
    return headers


def shown_url(config: WebhookConfig) -> str:
    """The address without what may be secret in it: the query, or all but the host of `secret_url`."""
    text = config.address()
    if config.secret_url is None:
        place, mark, _query = text.partition("?")
        return f"{place}?{MASK}" if mark else text
    scheme, _, rest = text.partition("://")
    return f"{scheme}://{rest.partition('/')[0].partition('?')[0]}/{MASK}"


def judge(answer: Answer, now: float, on_conflict: str) -> Outcome:
    """What an answer means: an outcome for all events of the request, or a `DeliveryError`."""
    status = answer.status
    if 200 <= status < 300:  # noqa: PLR2004
        return DELIVERED
    if status == CONFLICT:
        return _conflict(answer, on_conflict)
    if status == GONE:
        raise SetupError(
            "HTTP 410: the receiver asked us to stop; give it another address or remove the sink"
        )
    if status == TOO_LARGE:
        raise RejectedError("too_large", f"HTTP {status}: {_quote(answer)}")
    if status in REFUSED:
        raise RejectedError(f"http_{status}", f"HTTP {status}: {_quote(answer)}")
    try:
        raise_for_status(answer, now)
    except ThrottledError as error:
        after = None if error.after is None else max(error.after, SHORTEST_WAIT)
        raise ThrottledError(str(error), after) from None
    raise SetupError(f"HTTP {status}, which no receiver of webhooks should answer; check the address")


def _conflict(answer: Answer, on_conflict: str) -> Outcome:
    if on_conflict == "duplicate":
        return DUPLICATE
    if on_conflict == "reject":
        raise RejectedError(f"http_{CONFLICT}", f"HTTP {CONFLICT}: {_quote(answer)}")
    raise TransientError(f"HTTP {CONFLICT}")


def _described(config: WebhookConfig, message: Message) -> dict[str, str]:
    packed = {"content-encoding": "gzip"} if config.compression == "gzip" else {}
    return {**message.headers, **packed, "webhook-id": message.ident}


def _asymmetric(config: WebhookConfig, sign: Sign | None) -> Callable[[bytes], bytes] | None:
    if config.ed25519_key is None or sign is None:
        return None
    seed = _usable(ed25519_seed, config.ed25519_key)
    return lambda data: sign(seed, data)


def _usable(read: Callable[[str], bytes], secret: Secret) -> bytes:
    try:
        return read(secret.reveal())
    except ValueError as error:  # the file was replaced by something else since the start
        raise SetupError(f"secret {secret.origin}: {error}") from None


def _quote(answer: Answer) -> str:
    """The beginning of an error text on one line; receivers like to echo what they were sent."""
    text = " ".join(answer.body[:4_096].decode("utf-8", "replace").split())
    clean = "".join(char if char.isprintable() else "?" for char in redact(text))
    return clean[:LONGEST_QUOTE] or "no reason given"
