"""What a send came to, in one word, whether it was returned or raised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bridge.errors import (
    DeliveryError,
    RecutError,
    RejectedError,
    SetupError,
    ThrottledError,
    TransientError,
)
from bridge.sinks import Delivered, Outcome, Reject, Retry
from bridge.testing.lessons import Breach, require

if TYPE_CHECKING:
    from bridge.sinks import Batch, Sink

__all__ = ["Verdict", "send", "word"]

RAISE = """\
from bridge.errors import RejectedError, SetupError, ThrottledError, TransientError
raise TransientError("…")   # network, timeout, 5xx: the same bytes are sent again
raise ThrottledError("…", after)   # 429: not before `after` seconds
raise RejectedError("code", "…")   # the data is refused: halved until the culprit is found
raise SetupError("…")   # 401, wrong address: the sink is held, nothing is dead-lettered"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one batch: a word for each payload, what was said about it, when to come back.

    Words: `delivered`, `duplicate`, `retry`, `throttled`, `rejected`, `setup`, `recut`.
    """

    words: tuple[str, ...]
    texts: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    after: float | None = None
    raised: bool = False

    @property
    def word(self) -> str:
        """The word that all payloads share, `mixed` if there is more than one."""
        found = set(self.words)
        return found.pop() if len(found) == 1 else "mixed"

    def __str__(self) -> str:
        said = f' ("{self.texts[0]}")' if self.texts else ""
        return f"{self.word if self.word != 'mixed' else ', '.join(self.words)}{said}"


def word(outcome: Outcome) -> str:
    """One outcome as a word."""
    match outcome:
        case Delivered():
            return "duplicate" if outcome.duplicate else "delivered"
        case Retry():
            return "retry" if outcome.after is None else "throttled"
        case Reject():
            return "rejected"


def send(sink: Sink[Any, Any], batch: Batch[Any]) -> Verdict:
    """Send as the host does; a `Breach` for what the host would count as the plugin's own fault."""
    try:
        outcomes = sink.send(batch)
    except DeliveryError as error:
        return _raised(error, len(batch))
    except Exception as error:
        seen = f"send raised {type(error).__module__}.{type(error).__qualname__}: {error}"
        raise Breach(seen, RAISE) from error
    return _returned(outcomes, batch)


def _raised(error: DeliveryError, count: int) -> Verdict:
    after = error.after if isinstance(error, ThrottledError) else None
    codes = (error.code,) if isinstance(error, RejectedError) else ()
    return Verdict((_word_of(error),) * count, (str(error),), codes, after, raised=True)


def _word_of(error: DeliveryError) -> str:
    kinds: list[tuple[type[DeliveryError], str]] = [
        (ThrottledError, "throttled"),
        (TransientError, "retry"),
        (RejectedError, "rejected"),
        (SetupError, "setup"),
        (RecutError, "recut"),
    ]
    for kind, name in kinds:
        if isinstance(error, kind):
            return name
    raise Breach(f"send raised {type(error).__name__} itself, which does not say what happens next", RAISE)


def _returned(outcomes: Any, batch: Batch[Any]) -> Verdict:
    require(
        isinstance(outcomes, Sequence) and len(outcomes) == len(batch),
        f"send returned {_described(outcomes)} for {len(batch)} payloads",
        "return a list with one outcome for each of batch.payloads, in their order; batch.all(DELIVERED)\n"
        "if one answer covers them all",
    )
    strange = {type(outcome).__name__ for outcome in outcomes if not isinstance(outcome, Outcome)}
    require(
        not strange,
        f"send returned {', '.join(sorted(strange))}",
        "return DELIVERED, DUPLICATE, Retry(reason, after) or Reject(code, reason)",
    )
    afters = [o.after for o in outcomes if isinstance(o, Retry) and o.after is not None]
    return Verdict(
        tuple(map(word, outcomes)),
        tuple(o.reason for o in outcomes if not isinstance(o, Delivered)),
        tuple(o.code for o in outcomes if isinstance(o, Reject)),
        max(afters, default=None),
    )


def _described(outcomes: Any) -> str:
    return f"{len(outcomes)} outcomes" if isinstance(outcomes, Sequence) else type(outcomes).__name__
