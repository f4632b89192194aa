"""The sink: the only module of this plugin that talks to the network."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Self

from bridge.compression import compress_joined
from bridge.errors import DeliveryError, RejectedError, SetupError
from bridge.http import HttpClient
from bridge.sinks import BatchLimits, Reject, Retry, Sink
from bridge.together import at_once
from bridge_webhook import lanes, wire
from bridge_webhook.config import WebhookConfig
from bridge_webhook.mapping import CloudEvents
from bridge_webhook.template import Template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from bridge.events import Event
    from bridge.sinks import Batch, Outcome
    from bridge_webhook.wire import Message, Sign

__all__ = ["WebhookSink"]

# below the 1 MiB of request body that common reverse proxies permit
MAX_EVENTS, MAX_BYTES = 1_000, 1_000_000
# telemetry in gzip is a quarter of its size at most, so twice as much stays below it as well; what is
# signed is made in one piece first, and pieces above 1 MiB cost more in page faults than a request saves
PACKED_ARRAYS = BatchLimits(max_events=2 * MAX_EVENTS, max_bytes=2 * MAX_BYTES, max_age=1.0)
ONE_BY_ONE = BatchLimits(max_events=1, max_bytes=MAX_BYTES, max_age=1.0)
# with lanes a batch becomes many requests: large enough that most lanes have work until it ends
LANES_OF_ARRAYS = BatchLimits(max_events=8 * MAX_EVENTS, max_bytes=8 * MAX_BYTES, max_age=1.0)
LANES_OF_EVENTS = BatchLimits(max_events=512, max_bytes=MAX_BYTES, max_age=1.0)
NOT_LET_IN = frozenset({401, 407})


class WebhookSink(Sink[WebhookConfig, bytes]):
    """Posts events to one receiver, singly or as an array."""

    name: ClassVar[str] = "webhook"
    config_type = WebhookConfig
    limits = BatchLimits(max_events=MAX_EVENTS, max_bytes=MAX_BYTES, max_age=1.0)

    def __init__(self, config: WebhookConfig, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives the Unix time of an attempt, which is signed."""
        super().__init__(config)
        self._clock = clock
        self._cloudevents = CloudEvents(id_from_mid=config.id == "mid", dataschema=config.dataschema)
        self._map = self._mapper()
        self._client: HttpClient | None = None
        self._sign_ed25519: Sign | None = None
        self._checked_url = ""
        self._arrays, self._keyed = config.body in wire.ARRAYS, config.ordering == "key"
        self._signed = bool(config.secrets or config.ed25519_key)
        if self._keyed:
            self.limits = LANES_OF_ARRAYS if self._arrays else LANES_OF_EVENTS
        elif not self._arrays:
            self.limits = ONE_BY_ONE
        elif config.compression == "gzip" and not self._signed:
            self.limits = PACKED_ARRAYS

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
        """Post the batch in one request, each payload in its own, or lane by lane; judge the answers."""
        return self._send_lanes(batch) if self._keyed else self._send_part(batch)

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
        for part in self._parts(batch):
            for message in wire.messages(self.config.body, part, self._cloudevents):
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

    def _parts(self, batch: Batch[bytes]) -> Iterator[Batch[bytes]]:
        """What is sent by itself: the whole batch, or the parts of each lane."""
        if not self._keyed:
            yield batch
            return
        for lane in lanes.divide(batch.events, self.config.order_key, self.config.lanes):
            yield from self._lane_parts(batch, lane)

    def _lane_parts(self, batch: Batch[bytes], lane: list[int]) -> Iterator[Batch[bytes]]:
        cut = lanes.cut(lane, batch.payloads, MAX_EVENTS, MAX_BYTES) if self._arrays else [lane]
        for part in cut:
            payloads, events = [batch.payloads[i] for i in part], [batch.events[i] for i in part]
            yield replace(batch, payloads=payloads, events=events, spans=())

    def _send_lanes(self, batch: Batch[bytes]) -> list[Outcome]:
        """Post every lane at once, each of them in order; what a fault left undone is sent again."""
        divided = lanes.divide(batch.events, self.config.order_key, self.config.lanes)
        answers = at_once([partial(self._send_lane, batch, lane) for lane in divided], self.config.lanes)
        return lanes.combine(len(batch), divided, answers)

    def _send_lane(self, batch: Batch[bytes], lane: list[int]) -> lanes.LaneAnswer:
        """Post one lane up to the first fault that is no single event's own."""
        outcomes: list[Outcome] = []
        for part in self._lane_parts(batch, lane):
            try:
                outcomes += self._send_part(part)
            except DeliveryError as error:
                if not isinstance(error, RejectedError) or len(part) > 1:
                    return lanes.LaneAnswer(outcomes, error)
                outcomes.append(Reject(error.code, str(error)))
        return lanes.LaneAnswer(outcomes, None)

    def _send_part(self, batch: Batch[bytes]) -> list[Outcome]:
        messages = list(wire.messages(self.config.body, batch, self._cloudevents))
        return batch.all(self._post(messages[0])) if self._arrays else self._post_each(messages)

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
        if self._signed:
            message = replace(message, parts=[message.body])
        timestamp = int(self._clock())
        headers = wire.request_headers(self.config, message, timestamp, self._sign_ed25519)
        body = compress_joined(message.parts) if self.config.compression == "gzip" else message.body
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
