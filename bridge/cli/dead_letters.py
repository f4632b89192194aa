"""`bridge dead-letters`: look at events that could not go on, and replay them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import IO, TYPE_CHECKING

import click

from bridge.cli.dead_letters_kafka import shelves
from bridge.cli.host import Host
from bridge.cli.letters import SHORT, choosing, record
from bridge.cli.options import config_option, examples
from bridge.cli.output import counted, moment, say, table
from bridge.cli.replay import replay_command
from bridge.errors import BridgeError
from bridge.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.cli.dead_letters_kafka import Shelf
    from bridge.deadletters import DeadLetter, Filter

__all__ = ["command"]

LIMIT = 20
LONGEST = 80


@click.group(
    "dead-letters",
    epilog=examples(
        "bridge dead-letters list",
        "bridge dead-letters show 3f9c0a",
        "bridge dead-letters replay --sink product --dry-run",
    ),
)
def command() -> None:
    """Look at events that could not go on, and replay them.

    A dead letter keeps an event's original bytes and the reason. What one sink refused is kept
    under that sink's name; what is not valid, and so of no use to any sink, under `rejects`.
    They are in the state file and, with `dead_letter_topic`, in Kafka; commands look at both.
    """


@command.command(
    "list",
    epilog=examples(
        "bridge dead-letters list",
        "bridge dead-letters list --sink search --code mapping --since 2h",
        "bridge dead-letters list --resolved --limit 100",
    ),
)
@choosing
@click.option("--resolved", is_flag=True, help="Those that a replay has delivered, instead of the open ones.")
@click.option("--limit", default=LIMIT, show_default=True, type=click.IntRange(0), help="Letters at most.")
@config_option
def list_(config: Path | None, which: Filter, *, resolved: bool, limit: int) -> None:
    """Count dead letters by sink and reason, and list the oldest.

    Works while the bridge runs.
    """
    which = replace(which, resolved=resolved)
    with shelves(Host.load(config, resolve_secrets=False)) as letters:
        counts = letters.count(which)
        if not counts:
            say("no dead letters" if not resolved else "no resolved dead letters")
            return
        rows = [(sink, code, number) for (sink, code), number in sorted(counts.items())]
        table(("sink", "code", "letters"), rows)
        if limit:
            say()
            _list(letters, which, limit, sum(counts.values()))


def _list(letters: Shelf, which: Filter, limit: int, total: int) -> None:
    rows = [
        (
            letter.id[:SHORT],
            moment(letter.first_ms),
            letter.sink,
            letter.code,
            letter.eid or "",
            letter.attempts,
            f"{letter.path} {letter.reason}".strip()[:LONGEST],
        )
        for letter in letters.find(which, limit)
    ]
    table(("id", "first seen", "sink", "code", "eid", "attempts", "reason"), rows)
    if total > limit:
        say(f"and {counted(total - limit, 'more letter')}; --limit shows more")


@command.command(
    "show",
    epilog=examples("bridge dead-letters show 3f9c0a", "bridge dead-letters show 3f9c0a | tail -1 | jq ."),
)
@click.argument("letter_id", metavar="ID")
@config_option
def show(config: Path | None, letter_id: str) -> None:
    """Show all there is to know of one dead letter; its payload is the last line.

    ID is the beginning of a letter's id, as long as no other letter's begins so. Works while the
    bridge runs.
    """
    with shelves(Host.load(config, resolve_secrets=False)) as letters:
        letter = letters.get(letter_id)
    if letter is None:
        raise BridgeError(f'no letter, or more than one, has an id that begins with "{letter_id}"')
    _show(letter)


def _show(letter: DeadLetter) -> None:
    fields = record(letter)
    for name in ("payload", "payload_base64"):
        fields.pop(name, None)
    for name, value in fields.items():
        say(f"{name:<9} {'' if value is None else value}".rstrip())
    say(f"payload   {counted(len(letter.payload), 'byte')}:")
    click.echo(printable(letter.payload.decode("utf-8", "backslashreplace")))


@command.command(
    "export",
    epilog=examples(
        "bridge dead-letters export --sink rejects > rejects.jsonl",
        "bridge dead-letters export --format full --since 1d --output letters.jsonl",
    ),
)
@choosing
@click.option("--resolved", is_flag=True, help="Those that a replay has delivered, instead of the open ones.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["payload", "full"]),
    default="payload",
    show_default=True,
    help="payload = the original event; full = everything that is known of the letter.",
)
@click.option("--output", type=click.File("wb", atomic=True), default="-", help="A file.")
@click.option("--limit", type=click.IntRange(1), help="Letters at most.")
@config_option
def export(
    config: Path | None,
    which: Filter,
    *,
    resolved: bool,
    form: str,
    output: IO[bytes],
    limit: int | None,
) -> None:
    """Write dead letters as JSON Lines, oldest first.

    The original events can be mended by any tool and imported again. Works while the bridge runs.
    """
    which = replace(which, resolved=resolved)
    with shelves(Host.load(config, resolve_secrets=False)) as letters:
        for letter in letters.find(which, limit):
            line = letter.payload if form == "payload" else json.dumps(record(letter)).encode()
            output.write(line.replace(b"\n", b" ") + b"\n")


command.add_command(replay_command)
