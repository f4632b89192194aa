"""`bridge cursors`: the places that pipelines have reached in the journal."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from bridge.cli.host import Host, require_known
from bridge.cli.options import config_option, examples
from bridge.cli.output import ago, counted, moment, say, size, table
from bridge.deadletters import REJECTS
from bridge.engine.supervisor import open_journal
from bridge.errors import BridgeError
from bridge.journals.cursors import all_cursors, replace_cursors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.state import State

__all__ = ["command"]

COMPRESSED = {".gz", ".zst"}


@click.group(
    "cursors",
    epilog=examples(
        "bridge cursors show",
        "bridge cursors reset --sink search --to earliest --dry-run",
        "bridge cursors remove old-sink",
    ),
)
def command() -> None:
    """Show or move the places that sinks have reached in the journal."""


@command.command("show", epilog=examples("bridge cursors show", "bridge --config staging.toml cursors show"))
@config_option
def show(config: Path | None) -> None:
    """Show each pipeline's place in the journal, when it last moved, and what is left to read.

    Works while the bridge runs. A Kafka journal keeps its cursors in Kafka, so they are not here.
    """
    host = Host.load(config, resolve_secrets=False)
    with host.look() as state:
        rows = [
            (
                pipeline,
                detail or stream,
                position,
                _moved(at_ms),
                _left(host, state, pipeline, detail, position),
            )
            for pipeline, stream, position, detail, at_ms in all_cursors(state)
        ]
    if not rows:
        say("no cursor yet; each sink begins where its start says")
        return
    table(("pipeline", "stream", "position", "last moved", "left to read"), rows)


@command.command(
    "reset",
    epilog=examples(
        "bridge cursors reset --sink search --to earliest --dry-run",
        "bridge cursors reset --sink search --to latest --yes",
    ),
)
@click.option(
    "--sink", required=True, metavar="SINK", help="Whose place is moved; rejects = of invalid events."
)
@click.option("--to", required=True, type=click.Choice(["earliest", "latest"]), help="Where it is moved to.")
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
def reset(
    config: Path | None, sink: str, to: Literal["earliest", "latest"], *, dry_run: bool, yes: bool
) -> None:
    """Move a sink to the beginning or the end of the journal.

    At the beginning, every event that the journal still holds is delivered to this sink again:
    a destination that knows events by their id takes each once. At the end, whatever it has not
    read is never delivered to it. Stop the bridge first, because it holds the state file.
    """
    host = Host.load(config, resolve_secrets=False)
    require_known((sink,), (REJECTS, *host.settings.sinks), "--sink")
    with host.look() if dry_run else host.open_state() as state:
        places = open_journal(host.settings, host.registry, state).places(to)
        _show_move(state, sink, places)
        if dry_run:
            say("nothing was changed (--dry-run)")
            return
        _confirm(f"Move {sink} to the {to} events?", yes=yes)
        replace_cursors(state, sink, places)
    say(f"{sink} begins there when the bridge runs")


@command.command("remove", epilog=examples("bridge cursors show", "bridge cursors remove old-sink --yes"))
@click.argument("pipeline")
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
def remove(config: Path | None, pipeline: str, *, yes: bool) -> None:
    """Forget the place of a sink that is no longer configured.

    Such a cursor never moves, so it keeps the embedded journal from being trimmed behind it.
    Stop the bridge first, because it holds the state file.
    """
    host = Host.load(config, resolve_secrets=False)
    if pipeline in {REJECTS, *host.settings.sinks}:
        raise click.UsageError(f"{pipeline} is configured; `bridge cursors reset` moves its cursor")
    with host.open_state() as state:
        found = [cursor for cursor in all_cursors(state) if cursor[0] == pipeline]
        if not found:
            raise BridgeError(f"{pipeline} has no cursor")
        _confirm(f"Remove {counted(len(found), 'cursor')} of {pipeline}?", yes=yes)
        replace_cursors(state, pipeline, {})
    say(f"the cursors of {pipeline} are removed")


def _show_move(state: State, sink: str, places: Mapping[str, tuple[int, str]]) -> None:
    before = {stream: (at, name) for pipeline, stream, at, name, _ in all_cursors(state) if pipeline == sink}
    rows: list[tuple[object, ...]] = []
    for stream in sorted({*before, *places}):
        begin, old_name = before.get(stream, ("no cursor", ""))
        end, name = places.get(stream, ("removed", old_name))
        rows.append((name or stream, begin, end))
    table(("stream", "from", "to"), rows)


def _moved(at_ms: int) -> str:
    return f"{moment(at_ms)} ({ago(time.time() - at_ms / 1000)} ago)"


def _left(host: Host, state: State, pipeline: str, detail: str, position: int) -> str:
    """What lies behind a cursor, where that is cheap to know."""
    if pipeline not in {REJECTS, *host.settings.sinks}:
        return f"not configured any more: bridge cursors remove {pipeline}"
    if not detail:
        places = open_journal(host.settings, host.registry, state).places("latest")
        return counted(sum(end for end, _ in places.values()) - position, "event")
    path = Path(detail)
    if path.suffix in COMPRESSED:
        return ""
    return size(max(0, path.stat().st_size - position)) if path.is_file() else "the file is gone"


def _confirm(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is there to be asked; write --yes")
    click.confirm(question, abort=True)
