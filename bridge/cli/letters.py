"""Which dead letters a command is about: the options that choose them, and how they are shown."""

from __future__ import annotations

import base64
from dataclasses import asdict
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.moments import as_moment
from bridge.cli.output import moment
from bridge.deadletters import Filter

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.deadletters import DeadLetter

__all__ = ["SHORT", "choosing", "record"]

SHORT = 12
OPTIONS = (
    click.option("--sink", metavar="SINK", help="Refused by this sink; rejects = not valid for any."),
    click.option("--code", metavar="CODE", help="Refused for this reason."),
    click.option("--eid", metavar="EID", help="Events of this type."),
    click.option(
        "--since",
        metavar="TIME",
        callback=as_moment,
        help="First seen after: 2h (ago), 3d, 2026-11-21.",
    ),
    click.option("--until", metavar="TIME", callback=as_moment, help="First seen before."),
)


def choosing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose letters; the command receives them as the filter `which`."""

    @wraps(command)
    def filtered(*args: Any, sink: str, code: str, eid: str, since: int, until: int, **rest: Any) -> Any:
        return command(*args, which=Filter(sink, code, eid, since, until), **rest)

    for option in reversed(OPTIONS):
        filtered = option(filtered)
    return filtered


def record(letter: DeadLetter) -> dict[str, Any]:
    """A letter as JSON can hold it: times as ISO 8601, a payload that is no UTF-8 as Base64."""
    fields = asdict(letter)
    payload = fields.pop("payload")
    for name in ("first", "last", "resolved"):
        at = fields.pop(f"{name}_ms")
        fields[name] = None if at is None else moment(at)
    try:
        fields["payload"] = payload.decode()
    except UnicodeDecodeError:
        fields["payload_base64"] = base64.b64encode(payload).decode()
    return fields
