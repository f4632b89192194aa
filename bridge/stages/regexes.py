"""How much work a regular expression can make, found by reading it. Pure.

A backtracking engine takes exponential time where a text can be matched in very many ways. So the ways are
counted, and a pattern that could take more than `MOST_STEPS` steps from one place of a text is refused:
masking then costs at most that much for each character, whatever somebody sends.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["MOST_STEPS", "check_regex", "steps_of"]

MOST_STEPS = 1000
LONGEST = 500

_TOKEN = re.compile(
    r"""(?P<escape>\\.)
      | (?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])
      | (?P<open>\((?:\?(?:[:>=!]|<[=!]|P<\w+>))?)
      | (?P<close>\))
      | (?P<repeat>(?:[*+?]|\{\d*,\d*\}|\{\d+\})[?+]?)
      | (?P<bar>\|)
      | (?P<other>.)""",
    re.DOTALL | re.VERBOSE,
)
_ATOMIC = ("(?>", "(?=", "(?!", "(?<=", "(?<!")


class _Cost(NamedTuple):
    """In how many ways a part can match from one place, and how many steps it takes to try them all."""

    ways: int = 1
    steps: int = 1


def check_regex(pattern: str) -> str:
    """The pattern itself; ValueError says what to write instead if it is wrong or could be slow."""
    if len(pattern) > LONGEST:
        raise ValueError(f"write a shorter expression, of at most {LONGEST} characters")
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if compiled.match(""):
        raise ValueError(
            "it matches the empty text, so it would match everywhere; ask for at least one character"
        )
    if steps_of(pattern) > MOST_STEPS:
        raise ValueError(
            "it could take too long on some texts: repeat less, for example {1,20}, "
            "or add a + to repeats that need not give back, for example {1,64}+"
        )
    return pattern


def steps_of(pattern: str) -> int:
    """The most steps that the pattern takes from one place of any text, at least; counted up to a bound."""
    reading = _Reading(pattern)
    cost = reading.choice()
    return cost.steps


class _Reading:
    """A pattern that `re` has taken, read token by token."""

    def __init__(self, pattern: str) -> None:
        tokens = _TOKEN.finditer(pattern.removeprefix("(?i)"))
        self._tokens = [(token.lastgroup or "", token[0]) for token in tokens]
        self._next = 0

    def choice(self) -> _Cost:
        """Alternatives up to a closing parenthesis or the end."""
        costs = [self._sequence()]
        while self._take("bar"):
            costs.append(self._sequence())
        return _Cost(_bounded(sum(cost.ways for cost in costs)), _bounded(sum(cost.steps for cost in costs)))

    def _sequence(self) -> _Cost:
        ways, steps = 1, 0
        while self._next < len(self._tokens) and self._tokens[self._next][0] not in {"bar", "close"}:
            part = self._repeated(self._part())
            steps = _bounded(steps + ways * part.steps)
            ways = _bounded(ways * part.ways)
        return _Cost(ways, steps)

    def _part(self) -> _Cost:
        kind, text = self._tokens[self._next]
        self._next += 1
        if kind == "escape" and text[1] in "123456789":
            raise ValueError("write out what repeats: \\1 and its like are not offered")
        if kind != "open":
            return _Cost()
        if text == "(" and self._tokens[self._next][1].startswith("?"):
            raise ValueError(
                "of the groups with (? only (?:…), (?>…), (?P<name>…) and lookarounds are offered"
            )
        inner = self.choice()
        self._take("close")
        return _Cost(1, inner.steps) if text in _ATOMIC else inner

    def _repeated(self, part: _Cost) -> _Cost:
        if not (token := self._take("repeat")):
            return part
        fewest, most = _limits(token)
        tries = [min(part.ways**count, _TOO_MANY) for count in range(min(most, MOST_STEPS) + 1)]
        steps = _bounded(sum(tries) * part.steps)
        ways = _bounded(sum(tries[min(fewest, MOST_STEPS) :]))
        return _Cost(1 if token.endswith("+") and len(token) > 1 else ways, steps)

    def _take(self, kind: str) -> str:
        if self._next < len(self._tokens) and self._tokens[self._next][0] == kind:
            self._next += 1
            return self._tokens[self._next - 1][1]
        return ""


_TOO_MANY = MOST_STEPS + 1


def _bounded(number: int) -> int:
    return min(number, _TOO_MANY)


def _limits(token: str) -> tuple[int, int]:
    """The fewest and the most repetitions; what has no limit counts as too many."""
    if token[0] in "*+?":
        return (0, 1) if token[0] == "?" else (token[0] == "+", _TOO_MANY)
    fewest, comma, most = token.rstrip("?+")[1:-1].partition(",")
    low = int(fewest or 0)
    return low, int(most) if most else (_TOO_MANY if comma else low)
