"""What an answer means for each event of a load. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bridge.errors import (
    PluginError,
    RecutError,
    RejectedError,
    SetupError,
    ThrottledError,
    TransientError,
)
from bridge.sinks import Delivered, Outcome, Reject, Retry

if TYPE_CHECKING:
    from bridge.engine.loads import Load

__all__ = ["MAX_FAULTS", "Judgement", "is_success", "judge"]

MAX_FAULTS = 3
OUTCOMES = frozenset({Delivered, Retry, Reject})
Answer = Sequence[Outcome] | Exception


@dataclass(slots=True)
class Judgement:
    """What is to happen: counts, refusals by index, loads to send again, or a hold.

    `remaining` holds the indexes to send again after `wait` seconds (None: back off);
    `halve` says that the whole load is split; `hold` that the set-up is at fault;
    `recut` where the range must end; `throttled` that the destination asks for patience.
    `reason` is for people.
    """

    delivered: int = 0
    duplicates: int = 0
    rejected: list[tuple[int, Reject]] = field(default_factory=list)
    remaining: list[int] = field(default_factory=list)
    wait: float | None = None
    halve: bool = False
    hold: str | None = None
    recut: int | None = None
    fault: bool = False
    throttled: bool = False
    reason: str = ""


def is_success(answer: Answer) -> bool:
    """Whether the destination has all of it now, so that nothing is left to do but to settle."""
    return isinstance(answer, Sequence) and all(isinstance(outcome, Delivered) for outcome in answer)


def judge(load: Load, answer: Answer) -> Judgement:
    """Turn what `send` returned or raised into what happens next."""
    if not isinstance(answer, Exception):
        wrong = _broken_contract(load, answer)
        return _judge_error(load, wrong) if wrong else _judge_outcomes(load, answer)
    return _judge_error(load, answer)


def _broken_contract(load: Load, outcomes: object) -> PluginError | None:
    if not isinstance(outcomes, Sequence) or len(outcomes) != len(load.payloads):
        found = len(outcomes) if isinstance(outcomes, Sequence) else type(outcomes).__name__
        return PluginError(f"send must return {len(load.payloads)} outcomes, one per payload, not {found}")
    kinds = set(map(type, outcomes)) - OUTCOMES
    if kinds:
        return PluginError(f"send must return Delivered, Retry or Reject, not {kinds.pop().__name__}")
    return None


def _judge_outcomes(load: Load, outcomes: Sequence[Outcome]) -> Judgement:
    if load.ticket is not None:
        return _judge_object(load, outcomes)
    first = outcomes[0] if outcomes else None
    if type(first) is Delivered and outcomes.count(first) == len(outcomes):
        return Judgement(
            delivered=0 if first.duplicate else load.count, duplicates=load.count if first.duplicate else 0
        )
    return _judge_each(outcomes)


def _judge_each(outcomes: Sequence[Outcome]) -> Judgement:
    judgement = Judgement()
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, Delivered):
            judgement.delivered += not outcome.duplicate
            judgement.duplicates += outcome.duplicate
        elif isinstance(outcome, Reject):
            judgement.rejected.append((index, outcome))
        else:
            judgement.remaining.append(index)
            judgement.reason = judgement.reason or outcome.reason
            if outcome.after is not None:
                judgement.throttled = True
                judgement.wait = max(judgement.wait or 0.0, outcome.after)
    return judgement


def _judge_object(load: Load, outcomes: Sequence[Outcome]) -> Judgement:
    """An object is taken or refused whole, whatever its packs say one by one."""
    for outcome in outcomes:
        if isinstance(outcome, Reject):
            return Judgement(hold=f"the destination refuses the object: {outcome.reason}")
    for outcome in outcomes:
        if isinstance(outcome, Retry):
            return Judgement(remaining=[*range(load.count)], wait=outcome.after, reason=outcome.reason)
    if outcomes and all(isinstance(outcome, Delivered) and outcome.duplicate for outcome in outcomes):
        return Judgement(duplicates=load.count)
    return Judgement(delivered=load.count)


def _judge_error(load: Load, error: Exception) -> Judgement:
    everything = list(range(load.count)) or [0]
    match error:
        case RecutError():
            return Judgement(recut=error.end)
        case SetupError():
            return Judgement(hold=str(error))
        case ThrottledError():
            return Judgement(remaining=everything, wait=error.after, throttled=True, reason=str(error))
        case TransientError():
            return Judgement(remaining=everything, reason=str(error))
        case RejectedError():
            return _refused(load, error.code, error.reason)
        case _:
            return _unexpected(load, error, everything)


def _unexpected(load: Load, error: Exception, everything: list[int]) -> Judgement:
    """A plugin's own fault counts as transient a few times, then as a refusal of the data."""
    reason = f"{type(error).__name__}: {error}" if isinstance(error, PluginError) else type(error).__name__
    if load.faults < MAX_FAULTS:
        return Judgement(remaining=everything, fault=True, reason=f"plugin fault: {reason}")
    return _refused(load, "plugin_error", f"the sink failed {load.faults + 1} times with {reason}")


def _refused(load: Load, code: str, reason: str) -> Judgement:
    if load.ticket is not None:
        return Judgement(hold=f"the destination refuses the object: {reason}")
    if load.count > 1:
        return Judgement(halve=True, reason=reason)
    return Judgement(rejected=[(0, Reject(code, reason))])
