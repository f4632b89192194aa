"""The sink type `console`: telemetry as lines to read, for trying things out."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from bridge import DELIVERED, BatchLimits, Sink, SinkConfig, hookimpl
from bridge.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge import Batch, Event, Outcome

COLOURS = {"ERROR": 31, "ASSESS": 32, "START": 36, "END": 36}


class ConsoleConfig(SinkConfig):
    """What operators write below `[sinks.<id>] type = "console"`."""

    stream: Literal["stdout", "stderr"] = Field(default="stdout", description="where the lines go")
    colour: bool = Field(default=False, description="true colours event types, for terminals")


class ConsoleSink(Sink[ConsoleConfig, bytes]):
    """Prints one line an event."""

    name: ClassVar[str] = "console"
    config_type = ConsoleConfig
    limits = BatchLimits(max_events=100, max_age=0.2)
    max_in_flight = 1  # lines in the order of the journal

    def map(self, event: Event) -> bytes:
        """The line: when, what, on what, by whom, where, and the beginning of the identity."""
        what = _first(event.edata, "subtype", "type")
        place = _first(event.edata, "pageid", "query", "message") or event.context.env
        words = [
            *filter(None, (what, place and f"at {place}", _target(event))),
            f"by {event.actor.type} {event.actor.id}".rstrip(),
            f"({event.context.pdata.id})",
            f"#{event.identity.hex()[:8]}",
        ]
        moment, eid = _clock(event.record_time()), self._painted(event.eid)
        return f"{moment} {eid} {_plain(' '.join(words))}\n".encode()

    def send(self, batch: Batch[bytes]) -> Sequence[Outcome]:
        """Print a batch."""
        try:
            stream = getattr(sys, self.config.stream).buffer
            stream.write(b"".join(batch.payloads))
            stream.flush()
        except (OSError, ValueError) as error:
            raise SetupError(f"nobody reads {self.config.stream} ({type(error).__name__})") from None
        return batch.all(DELIVERED)

    def _painted(self, eid: str) -> str:
        colour = COLOURS.get(eid) if self.config.colour else None
        return f"\x1b[{colour}m{_plain(eid)}\x1b[0m" if colour else _plain(eid)


def _first(edata: dict[str, Any], *keys: str) -> str:
    """The first of these that is there and is text; edata is free-form, anything may be missing."""
    found = (edata.get(key) for key in keys)
    return next((value for value in found if isinstance(value, str) and value), "")


def _target(event: Event) -> str:
    thing = event.object
    return f"on {thing.type or 'object'} {thing.id}" if thing and thing.id else ""


def _clock(moment: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(moment / 1000))
    except (ValueError, OverflowError, OSError):
        return "at no time"


def _plain(text: str) -> str:
    """Telemetry is written by strangers: what could move the cursor of a terminal is replaced."""
    return "".join(char if char.isprintable() else "?" for char in text)


@hookimpl
def bridge_sinks() -> list[type[Sink[Any, Any]]]:
    """Offer the sink to the bridge."""
    return [ConsoleSink]
