"""Events as CloudEvents 1.0, in JSON (structured mode) and in headers (binary mode)."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from bridge.errors import EventError

if TYPE_CHECKING:
    from bridge.events import Event

__all__ = ["CloudEvents"]

TYPE_PREFIX = "org.sunbird.telemetry."
LONGEST = 256
# What the HTTP binding leaves as it is: printable ASCII but space, double quote and percent.
_AS_IT_IS = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')

_json = msgspec.json.Encoder().encode


class CloudEvents:
    """Maps events; `id_from_mid` takes the event's mid as `id`, as far as that can serve as one.

    A mid need not be unique, and receivers may drop a CloudEvent whose `source` and `id` they
    have seen; the default `id` is therefore the event's identity.
    """

    def __init__(self, *, id_from_mid: bool = False, dataschema: str | None = None) -> None:
        self._id_from_mid = id_from_mid
        self._dataschema = dataschema

    def attributes(self, event: Event) -> dict[str, str]:
        """The context attributes of an event, required ones first; those without a value are left out."""
        optional = {
            "time": _rfc3339(event.ets),
            "subject": _printable(event.object.id if event.object else None),
            "dataschema": self._dataschema,
        }
        return {
            "specversion": "1.0",
            "id": self._id(event),
            "source": _source(event.context.channel or "", event.context.pdata.id or ""),
            "type": _type(event.eid),
            **{name: value for name, value in optional.items() if value},
        }

    def structured(self, event: Event) -> bytes:
        """The event as one JSON object, its own bytes unchanged under `data`."""
        head = _json(self.attributes(event))[:-1]
        return b'%b,"datacontenttype":"application/json","data":%b}' % (head, event.raw)

    def headers(self, event: Event) -> dict[str, str]:
        """The attributes as `ce-…` headers; `EventError` if a required one is too long for a header."""
        encoded = {name: quote(value, safe=_AS_IT_IS) for name, value in self.attributes(event).items()}
        for name, path in (("type", "$.eid"), ("source", "$.context")):
            if len(encoded[name]) > LONGEST:
                raise EventError(
                    "header_too_long", f"the CloudEvents {name} is longer than {LONGEST} characters", path
                )
        return {f"ce-{name}": value for name, value in encoded.items() if len(value) <= LONGEST}

    def _id(self, event: Event) -> str:
        usable = self._id_from_mid and _printable(event.mid)
        if usable and len(quote(event.mid, safe=_AS_IT_IS)) <= LONGEST:
            return event.mid
        return event.identity.hex()


@lru_cache(maxsize=4_096)
def _source(channel: str, product: str) -> str:
    return f"urn:sunbird:{quote(channel, safe='')}:{quote(product, safe='')}"


@lru_cache(maxsize=4_096)
def _type(eid: str) -> str:
    return TYPE_PREFIX + quote(eid.lower(), safe="")


def _printable(text: str | None) -> str | None:
    """CloudEvents forbids control characters and the like in its strings."""
    return text if text and text.isprintable() else None


def _rfc3339(ets: float) -> str | None:
    """Milliseconds since the epoch as `2024-05-01T09:30:00.250Z`; None outside the calendar."""
    try:
        seconds, millis = divmod(int(ets), 1_000)
        return f"{_second(seconds)}.{millis:03d}Z"
    except (ValueError, OverflowError, OSError):
        return None


@lru_cache(maxsize=4_096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()
