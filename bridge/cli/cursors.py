"""`bridge cursors`: the places that pipelines have reached in the journal."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from bridge.cli import cursors_kafka
from bridge.cli.cursors_kafka import Destination, kafka_config
from bridge.cli.host import Host, require_known
from bridge.cli.options import config_option, examples
from bridge.cli.output import ago, counted, moment, say, size, table
from bridge.deadletters import REJECTS
from bridge.engine.supervisor import open_journal
from bridge.errors import BridgeError
from bridge.journals.cursors import all_cursors, replace_cursors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.journals.base import Start
    from bridge.journals.kafka_cursors import Target
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

    Works while the bridge runs. With a Kafka journal the brokers are asked: the committed offsets
    of each sink's group, how many records lie behind them, how old the next one is, and that age
    as a share of what the topic keeps.
    """
    host = Host.load(config, resolve_secrets=False)
    if kafka := kafka_config(host):
        cursors_kafka.show(host, kafka)
        return
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
        "bridge cursors reset --sink search --to 2026-11-21T03:00+05:30    # Kafka",
        "bridge cursors reset --sink search --stream 'telemetry[3]' --to 81200    # Kafka",
    ),
)
@click.option(
    "--sink", required=True, metavar="SINK", help="Whose place is moved; rejects = of invalid events."
)
@click.option(
    "--to",
    required=True,
    type=Destination(),
    metavar="PLACE",
    help="earliest or latest; with Kafka also a time (2h, 2026-11-21T03:00) or an offset.",
)
@click.option("--stream", "streams", multiple=True, metavar="TOPIC[N]", help="Kafka: this partition alone.")
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
def reset(
    config: Path | None, sink: str, to: Target, streams: tuple[str, ...], *, dry_run: bool, yes: bool
) -> None:
    """Move a sink to another place in the journal.

    At the earliest, every event that the journal still holds is delivered to this sink again:
    a destination that knows events by their id takes each once. At the latest, whatever it has not
    read is never delivered to it. With Kafka it can also go to the first record after a time, or
    to an offset, within what each partition holds. Stop the bridge first: it holds the state file,
    and Kafka moves no group that has members.
    """
    host = Host.load(config, resolve_secrets=False)
    require_known((sink,), (REJECTS, *host.settings.sinks), "--sink")
    if kafka := kafka_config(host):
        cursors_kafka.move(host, kafka, sink, to, streams, dry_run=True)
        if _agreed(f"Move {sink} there?", dry_run=dry_run, yes=yes):
            cursors_kafka.move(host, kafka, sink, to, streams, dry_run=False)
            say(f"{sink} begins there when the bridge runs")
        return
    if streams or to not in {"earliest", "latest"}:
        kind = host.settings.journal.type
        raise click.UsageError(f"in a {kind} journal a sink moves to earliest or latest, in all of it")
    with host.look() if dry_run else host.open_state() as state:
        places = open_journal(host.settings, host.registry, state).places(cast("Start", to))
        _show_move(state, sink, places)
        if not _agreed(f"Move {sink} to the {to} events?", dry_run=dry_run, yes=yes):
            return
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
    if kafka_config(host):
        group = f"{host.settings.instance}.{pipeline}"
        raise BridgeError(f"Kafka forgets the group {group} by itself, and keeps no records for it")
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


def _agreed(question: str, *, dry_run: bool, yes: bool) -> bool:
    if dry_run:
        say("nothing was changed (--dry-run)")
        return False
    _confirm(question, yes=yes)
    return True


def _confirm(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is there to be asked; write --yes")
    click.confirm(question, abort=True)
