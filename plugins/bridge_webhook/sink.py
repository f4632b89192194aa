"""The sink: the only module of this plugin that talks to the network."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar, Self

from bridge.compression import compress
from bridge.errors import DeliveryError, RejectedError, SetupError
from bridge.http import HttpClient
from bridge.sinks import BatchLimits, Reject, Retry, Sink
from bridge_webhook import wire
from bridge_webhook.config import WebhookConfig
from bridge_webhook.mapping import CloudEvents
from bridge_webhook.template import Template

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from bridge.events import Event
    from bridge.sinks import Batch, Outcome
    from bridge_webhook.wire import Message, Sign

__all__ = ["WebhookSink"]

ONE_BY_ONE = BatchLimits(max_events=1, max_bytes=1_000_000, max_age=1.0)
NOT_LET_IN = frozenset({401, 407})


class WebhookSink(Sink[WebhookConfig, bytes]):
    """Posts events to one receiver, singly or as an array."""

    name: ClassVar[str] = "webhook"
    config_type = WebhookConfig
    # below the 1 MiB of request body that common reverse proxies permit
    limits = BatchLimits(max_events=1_000, max_bytes=1_000_000, max_age=1.0)

    def __init__(self, config: WebhookConfig, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives the Unix time of an attempt, which is signed."""
        super().__init__(config)
        self._clock = clock
        self._cloudevents = CloudEvents(id_from_mid=config.id == "mid", dataschema=config.dataschema)
        self._map = self._mapper()
        self._client: HttpClient | None = None
        self._sign_ed25519: Sign | None = None
        self._checked_url = ""
        if config.body not in wire.ARRAYS:
            self.limits = ONE_BY_ONE

    def __enter__(self) -> Self:
        self._sign_ed25519 = _ed25519() if self.config.ed25519_key else None
        self._client = HttpClient(
            deadline=self.config.deadline,
            connect_timeout=self.config.connect_timeout,
            tls=self.config.tls.settings() if self.config.tls else None,
            guard=self.config.policy,
            cut_long_answers=True,
        )
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def map(self, event: Event) -> bytes:
        """Give the event's part of a request's body."""
        return self._map(event)

    def map_batch(self, events: Sequence[Event]) -> Sequence[bytes]:
        """Map many events; where the body holds events as they came, nothing is built."""
        if self.config.body in {"raw", "batch"}:
            return [event.raw for event in events]
        return list(map(self._map, events))

    def send(self, batch: Batch[bytes]) -> Sequence[Outcome]:
        """Post the batch in one request, or each payload in its own, and judge the answers."""
        messages = list(wire.messages(self.config.body, batch, self._cloudevents))
        if self.config.body in wire.ARRAYS:
            return batch.all(self._post(messages[0]))
        return self._post_each(messages)

    def check(self) -> str:
        """Ask the receiver for its options, which changes nothing, and say who answered."""
        url = self._url()
        headers = wire.authorization(self.config, lambda secret: secret.reveal())
        answer = self._open().request("OPTIONS", url, headers=headers)
        if answer.status in NOT_LET_IN or answer.status == wire.GONE or 300 <= answer.status < 400:  # noqa: PLR2004
            wire.judge(answer, self._clock(), self.config.on_conflict)
        return f"{answer.peer}; HTTP {answer.status} to OPTIONS (nothing was posted)"

    def explain(self, batch: Batch[bytes]) -> str:
        """Show each request as text, its body before compression; needs no network."""
        url = wire.shown_url(self.config)
        shown = []
        for message in wire.messages(self.config.body, batch, self._cloudevents):
            headers = wire.shown_headers(self.config, message)
            lines = [f"POST {url}", *(f"{name}: {value}" for name, value in headers.items())]
            shown.append("\n".join(lines) + "\n\n" + message.body.decode("utf-8", "replace"))
        return "\n\n".join(shown)

    def _mapper(self) -> Callable[[Event], bytes]:
        kind = self.config.body
        if kind == "template":
            return Template(self.config.template).render
        if kind == "cloudevents-binary":
            return self._with_expressible_headers
        return self._cloudevents.structured if kind.startswith("cloudevents") else _as_it_came

    def _with_expressible_headers(self, event: Event) -> bytes:
        self._cloudevents.headers(event)
        return event.raw

    def _post_each(self, messages: Sequence[Message]) -> list[Outcome]:
        """Stop at the first fault that is no event's own; what was delivered by then stays so."""
        outcomes: list[Outcome] = []
        for message in messages:
            try:
                outcomes.append(self._post(message))
            except RejectedError as error:
                outcomes.append(Reject(error.code, str(error)))
            except DeliveryError as error:
                if not outcomes:
                    raise
                rest = Retry(str(error), getattr(error, "after", None))
                return outcomes + [rest] * (len(messages) - len(outcomes))
        return outcomes

    def _post(self, message: Message) -> Outcome:
        timestamp = int(self._clock())
        headers = wire.request_headers(self.config, message, timestamp, self._sign_ed25519)
        body = compress(message.body) if self.config.compression == "gzip" else message.body
        answer = self._open().request("POST", self._url(), content=body, headers=headers)
        return wire.judge(answer, self._clock(), self.config.on_conflict)

    def _url(self) -> str:
        """The address, judged again whenever the place it is kept in holds another one."""
        url = self.config.address()
        if url != self._checked_url:
            try:
                self.config.check_address(url)
            except ValueError as error:
                raise SetupError(str(error)) from None
            self._checked_url = url
        return url

    def _open(self) -> HttpClient:
        if self._client is None:
            raise RuntimeError("the sink is used outside its context manager")
        return self._client


def _as_it_came(event: Event) -> bytes:
    return event.raw


def _ed25519() -> Sign:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    except ImportError:
        raise SetupError("ed25519_key needs a package: pip install 'sunbird-bridge[ed25519]'") from None
    return lambda seed, data: Ed25519PrivateKey.from_private_bytes(seed).sign(data)
