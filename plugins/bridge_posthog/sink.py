"""The sink: talks to PostHog's capture over HTTP, or through PostHog's own package."""

from __future__ import annotations

import time
from collections import OrderedDict
from importlib.metadata import PackageNotFoundError, version
from threading import Lock
from typing import TYPE_CHECKING, ClassVar, Self

from bridge.errors import RejectedError, SetupError
from bridge.http import HttpClient, Tls
from bridge.sinks import Batch, BatchLimits, Delivered, Outcome, Sink
from bridge_posthog.answers import judge, refuse
from bridge_posthog.config import PostHogConfig
from bridge_posthog.explain import side_by_side
from bridge_posthog.mapping import Mapper
from bridge_posthog.wire import PATHS, body, headers, pack, packed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from bridge.events import Event
    from bridge.http import Answer
    from bridge_posthog.sdk import SdkTransport
    from bridge_posthog.wire import Encoding, Parcel, Protocol

__all__ = ["PostHogSink"]

MEGABYTE = 1024 * 1024
LARGEST_ANSWER = 8 * MEGABYTE  # 1,000 verdicts are 60 kB; a batch has at most some 50,000 events
MOST_KNOWN = 10_000
NOT_FOUND = 404


class PostHogSink(Sink[PostHogConfig, bytes]):
    """Sends events to a PostHog project by capture V1 or V0.

    A payload is the JSON of one PostHog event, for the protocol in use; with `group_identify`
    it may be followed by others, with a newline between them.
    """

    name: ClassVar[str] = "posthog"
    config_type = PostHogConfig
    limits: BatchLimits = BatchLimits(
        max_events=1_000, max_bytes=5 * MEGABYTE, max_age=1.0, max_payload_bytes=900 * 1024
    )
    max_in_flight: int = 8

    def __init__(self, config: PostHogConfig, clock: Callable[[], float] = time.time) -> None:
        super().__init__(config)
        self._clock = clock
        self._client: HttpClient | None = None
        self._sdk: SdkTransport | None = None
        self._host = config.host
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._known_lock = Lock()
        self._agent = f"sunbird-bridge/{_version()}"
        self._speak("v0" if config.capture_mode == "v0" else "v1")

    @property
    def protocol(self) -> Protocol:
        """The protocol in use; before the sink is entered, the one it would try first."""
        return self._protocol

    def map(self, event: Event) -> bytes | None:
        """The PostHog event, as bytes; None for an excluded type."""
        return self._mapper.encode([event])[0]

    def map_batch(self, events: Sequence[Event]) -> Sequence[bytes | None]:
        """The same for many events."""
        return self._mapper.encode(events)

    def __enter__(self) -> Self:
        from bridge_posthog.sdk import SdkTransport, ingestion_host  # noqa: PLC0415 - it needs the posthog extra

        self._host = ingestion_host(self.config.host)
        tls = Tls(ca_file=self.config.ca_file) if self.config.ca_file else None
        self._client = HttpClient(deadline=self.config.timeout, max_answer=LARGEST_ANSWER, tls=tls)
        try:
            self._speak(self._probe() if self.config.capture_mode == "auto" else self._protocol)
            if self.config.transport == "sdk":
                self._sdk = SdkTransport(self.config, self._host, self._protocol, self._encoding)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._sdk is not None:
            self._sdk.close()
            self._sdk = None

    def send(self, batch: Batch[bytes]) -> Sequence[Outcome]:
        """Deliver a batch; what is in it twice is sent once."""
        parcel = pack(batch.payloads, self._known if self.config.group_identify else None)
        if self._sdk is not None:
            outcomes = self._sdk.send(parcel)
        else:
            answer = self._post(self._protocol, parcel, batch.attempt)
            outcomes = judge(self._protocol, answer, parcel, self._clock())
        if self.config.group_identify and parcel.counts is not None:
            self._remember(parcel, outcomes)
        return outcomes

    def check(self) -> str:
        """Ask the server for its opinion of a request without events; changes nothing there."""
        refuse_unless_empty(self._protocol, self._ask(self._protocol), self._clock())
        how = "asked" if self.config.capture_mode == "auto" else "configured"
        key = self.config.api_key.reveal()
        shape = (
            "looks like a project key"
            if key.startswith("phc_")
            else "does not begin with phc_, as new keys do"
        )
        return (
            f"{self._host} speaks capture {self._protocol.upper()} ({how}), bodies: {self._encoding}; "
            f"api_key {shape} ({len(key)} characters; PostHog tells nobody whether a key is known)"
        )

    def explain(self, batch: Batch[bytes]) -> str:
        """Show Sunbird events and what PostHog gets, side by side."""
        return side_by_side(batch.events, batch.payloads)

    def _speak(self, protocol: Protocol) -> None:
        self._protocol: Protocol = protocol
        self._encoding: Encoding = _encoding(self.config, protocol)
        # The SDK takes events in the form of V0 and rewrites them itself.
        self._mapper = Mapper(self.config, "v0" if self.config.transport == "sdk" else protocol)

    def _probe(self) -> Protocol:
        answer = self._ask("v1")
        if answer.status == NOT_FOUND:
            return "v0"
        refuse_unless_empty("v1", answer, self._clock())
        return "v1"

    def _ask(self, protocol: Protocol) -> Answer:
        return self._post(protocol, pack([]), attempt=1)

    def _post(self, protocol: Protocol, parcel: Parcel, attempt: int) -> Answer:
        if self._client is None:
            raise SetupError("the sink is not open")
        key, now = self.config.api_key.reveal(), self._clock()
        encoding = _encoding(self.config, protocol)
        pieces = body(protocol, parcel.events, key, now, self.config.historical_migration)
        return self._client.request(
            "POST",
            f"{self._host}{PATHS[protocol]}",
            content=packed(pieces, encoding),
            headers=headers(
                protocol,
                key=key,
                agent=self._agent,
                encoding=encoding,
                uuids=parcel.uuids,
                attempt=attempt,
                now=now,
            ),
        )

    def _remember(self, parcel: Parcel, outcomes: Sequence[Outcome]) -> None:
        """Additional events that have arrived need not be sent again; their uuids are kept for a while."""
        arrived = [
            uuid
            for own, outcome in zip(parcel.by_payload(parcel.uuids), outcomes, strict=True)
            if isinstance(outcome, Delivered)
            for uuid in own[1:]
        ]
        if arrived:
            with self._known_lock:
                self._known.update(dict.fromkeys(arrived))
                while len(self._known) > MOST_KNOWN:
                    self._known.popitem(last=False)


def refuse_unless_empty(protocol: Protocol, answer: Answer, now: float) -> None:
    """A request without events is refused by a capture that works; anything else is raised."""
    try:
        refuse(protocol, answer, now)
    except RejectedError:
        return


def _encoding(config: PostHogConfig, protocol: Protocol) -> Encoding:
    if config.compression == "auto" or (config.compression == "zstd" and protocol == "v0"):
        return "zstd" if protocol == "v1" else "gzip"
    return config.compression


def _version() -> str:
    try:
        return version("sunbird-bridge")
    except PackageNotFoundError:
        return "0"
