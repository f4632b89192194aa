"""The posthog package: where its hosts are, and its own way of sending, for comparison.

Only the synchronous request of its consumer is used. `Client.capture` puts events into a
queue that drops them when full, and cannot say which arrived.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import msgspec

from bridge.errors import PluginError, SetupError, TransientError
from bridge.http import Answer
from bridge_posthog.answers import Verdict, delivered, outcomes, refuse

if TYPE_CHECKING:
    from posthog.capture_v1 import CaptureV1Error
    from posthog.request import APIError

    from bridge.sinks import Outcome
    from bridge_posthog.config import PostHogConfig
    from bridge_posthog.wire import Encoding, Parcel, Protocol

__all__ = ["SdkTransport", "ingestion_host"]

_decode = msgspec.json.Decoder().decode


def ingestion_host(host: str) -> str:
    """The host that takes events for the address of a PostHog, which may be that of its web pages."""
    try:
        from posthog.request import determine_server_host  # noqa: PLC0415 - an optional package
    except ImportError:
        raise PluginError("the PostHog sink needs its extra: pip install 'sunbird-bridge[posthog]'") from None
    logging.getLogger("posthog").setLevel(logging.WARNING)  # at DEBUG it logs whole events
    return str(determine_server_host(host)).rstrip("/")


class SdkTransport:
    """Sends parcels through `posthog.consumer.Consumer.request`, which is never started as a thread."""

    def __init__(self, config: PostHogConfig, host: str, protocol: Protocol, encoding: Encoding) -> None:
        try:
            from posthog.capture_compression import CaptureCompression  # noqa: PLC0415 - an optional package
            from posthog.capture_mode import CaptureMode  # noqa: PLC0415 - an optional package
            from posthog.consumer import Consumer  # noqa: PLC0415 - an optional package
        except ImportError:
            raise PluginError(
                'transport = "sdk" needs a newer posthog package: pip install -U posthog'
            ) from None
        self._protocol: Protocol = protocol
        self._consumer: Any = Consumer(
            None,
            config.api_key.reveal(),
            host=host,
            retries=0,  # the host retries
            timeout=config.timeout,
            gzip=encoding == "gzip",
            historical_migration=config.historical_migration,
            capture_mode=CaptureMode(protocol),
            capture_compression=CaptureCompression(encoding),
        )

    def send(self, parcel: Parcel) -> list[Outcome]:
        """Deliver a parcel of V0 events; outcomes and errors as the other transport's."""
        from posthog.request import APIError  # noqa: PLC0415 - an optional package
        from requests.exceptions import RequestException, SSLError  # noqa: PLC0415 - posthog's client

        try:
            self._consumer.request([_decode(event) for event in parcel.events])
        except APIError as error:
            return self._explained(parcel, error)
        except SSLError:
            raise SetupError("TLS: the server's certificate is not trusted") from None
        except (RequestException, OSError) as error:
            raise TransientError(type(error).__name__) from None
        return delivered(parcel)

    def close(self) -> None:
        """Close the package's connections, which all of its users in this process share."""
        from posthog.request import reset_sessions  # noqa: PLC0415 - an optional package

        reset_sessions()

    def _explained(self, parcel: Parcel, error: APIError) -> list[Outcome]:
        status: Any = error.status
        if not isinstance(status, int):
            raise TransientError("PostHog's package could not read the answer") from None
        headers = {"retry-after": f"{error.retry_after:.0f}"} if error.retry_after else {}
        body = msgspec.json.encode({"detail": str(error.message)})
        refuse(self._protocol, Answer(status, headers, body), time.time())
        if self._protocol == "v0":
            return delivered(parcel)  # 204 is an error for the package
        return outcomes(parcel, _verdicts(parcel, error), error.retry_after)


def _verdicts(parcel: Parcel, error: Any) -> dict[str, Verdict]:
    """What a 2xx of V1 said, from the lists of a `CaptureV1Error`."""
    failed: CaptureV1Error = error
    if not failed.drops and not failed.retry_exhausted:
        raise TransientError("HTTP 200, but no verdicts of capture V1; is host the ingestion host?")
    found = {uuid.decode(): Verdict("ok") for uuid in parcel.uuids}
    found |= {uuid: Verdict("drop", details) for uuid, details in failed.drops}
    found |= {uuid: Verdict("retry") for uuid in failed.retry_exhausted}
    return found
