"""Failures that teach: what the contract says, what was seen, what to write instead."""

from __future__ import annotations

import functools
import textwrap
from typing import TYPE_CHECKING, Any, ParamSpec

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Breach", "check", "require"]

ParamsT = ParamSpec("ParamsT")
WIDTH = 96
LONGEST = 600


class Breach(Exception):  # noqa: N818 - it is a finding about a plugin, not an error of the kit
    """The contract is not kept: what was `seen`, and what to `write`."""

    def __init__(self, seen: str, write: str) -> None:
        super().__init__(seen)
        self.seen = seen
        self.write = write


def require(fulfilled: object, seen: str, write: str) -> None:
    """Raise a `Breach` unless this part of the contract is fulfilled."""
    if not fulfilled:
        raise Breach(seen, write)


def check(method: Callable[ParamsT, None]) -> Callable[ParamsT, None]:
    """Make a test of a method whose docstring is the rule it holds a plugin to."""

    @functools.wraps(method)
    def run(*args: ParamsT.args, **kwargs: ParamsT.kwargs) -> None:
        lesson = ""
        try:
            method(*args, **kwargs)
        except Breach as breach:
            lesson = _lesson(method, breach)
        if lesson:  # outside of the handler, so that no chain of exceptions is shown with it
            pytest.fail(lesson, pytrace=False)

    return run


def _lesson(method: Callable[..., Any], breach: Breach) -> str:
    rule = textwrap.dedent(method.__doc__ or method.__name__).strip()
    parts = {"The contract": " ".join(rule.split()), "Seen": breach.seen, "Write": breach.write}
    return "\n".join(f"{name}: {_laid_out(text)}" for name, text in parts.items())


def _laid_out(text: str) -> str:
    """Prose is wrapped; what has lines of its own, such as code, keeps them."""
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    if "\n" in text:
        return "\n" + textwrap.indent(text, "    ")
    return textwrap.fill(
        text, WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
