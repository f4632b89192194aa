"""Order by key: a batch is divided into lanes, every event of one key into the same one.

Each lane posts its events one request after the other, all lanes at once. The host gives one
batch at a time (`ordered`) and sends what is left of it before the next, so two requests with
events of one key are never under way together. Everything but `at_once` is pure.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from bridge.errors import DeliveryError, RejectedError, SetupError, ThrottledError
from bridge.sinks import Outcome, Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bridge.events import Event

__all__ = ["LaneAnswer", "combine", "cut", "divide"]

Lane = list[int]

_KEYS: dict[str, Callable[[Event], str | None]] = {
    "did": attrgetter("context.did"),
    "sid": attrgetter("context.sid"),
    "actor": attrgetter("actor.id"),
}


class LaneAnswer(NamedTuple):
    """What became of a lane: the outcomes of its first events, and the error that stopped it, if any."""

    outcomes: list[Outcome]
    error: DeliveryError | None


def divide(events: Sequence[Event], key: str, count: int) -> list[Lane]:
    """The indexes of the events in each of at most `count` lanes, in order; events without key share one."""
    key_of = _KEYS[key]
    lanes: dict[int, Lane] = {}
    for index, event in enumerate(events):
        number = crc32((key_of(event) or "").encode("utf-8", "surrogatepass")) % count
        lanes.setdefault(number, []).append(index)
    return list(lanes.values())


def cut(lane: Lane, payloads: Sequence[bytes], max_events: int, max_bytes: int) -> Iterator[Lane]:
    """A lane in parts that fit into one request each, at least one event in each."""
    part: Lane = []
    size = 0
    for index in lane:
        if part and (len(part) >= max_events or size + len(payloads[index]) > max_bytes):
            yield part
            part, size = [], 0
        part.append(index)
        size += len(payloads[index])
    if part:
        yield part


def combine(count: int, lanes: Sequence[Lane], answers: Sequence[LaneAnswer]) -> list[Outcome]:
    """One outcome for each of `count` payloads; raises if no lane got anywhere.

    What a lane did not come to is to be sent again. A refusal without culprit is raised only
    when nothing else happened: the host then halves the batch, and would send what was
    delivered a second time.
    """
    errors = [answer.error for answer in answers if answer.error is not None]
    if errors and not any(answer.outcomes for answer in answers):
        raise _gravest(errors)
    outcomes: dict[int, Outcome] = {}
    for lane, answer in zip(lanes, answers, strict=True):
        again = Retry(str(answer.error), getattr(answer.error, "after", None))
        left = len(lane) - len(answer.outcomes)
        outcomes.update(zip(lane, [*answer.outcomes, *[again] * left], strict=True))
    return [outcomes[index] for index in range(count)]


def _gravest(errors: Sequence[DeliveryError]) -> DeliveryError:
    """The error that decides what happens to the batch; a refusal only if there is nothing but refusals."""
    others = [error for error in errors if not isinstance(error, RejectedError)]
    for kind in (SetupError, ThrottledError, DeliveryError):
        found = next((error for error in others if isinstance(error, kind)), None)
        if found is not None:
            return found
    return errors[0]
