"""`bridge cursors` where the journal is Kafka: the committed offsets of the pipelines' groups."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

import click

from bridge.cli.moments import parse_moment
from bridge.cli.output import ago, counted, say, table
from bridge.deadletters import REJECTS
from bridge.journals.kafka import KafkaJournalConfig, kafka_cursors, reset_kafka_cursors

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from bridge.cli.host import Host
    from bridge.journals.kafka_cursors import CursorRow, Move, Target

__all__ = ["Destination", "kafka_config", "move", "show"]


class Destination(click.ParamType):  # type: ignore[type-arg]  # older clicks have it without arguments
    """Where cursors go: `earliest`, `latest`, an offset (digits), or a moment as `datetime`."""

    name = "place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Target:
        """Read one of the four; a usage error for anything else."""
        if not isinstance(value, str) or value in {"earliest", "latest"}:
            return cast("Target", value)  # one of the two, or converted before
        if value.isdecimal():
            return int(value)
        try:
            return datetime.fromtimestamp(parse_moment(value, time.time()) / 1000, UTC)
        except (ValueError, OverflowError):
            self.fail(
                f'"{value}" is none of earliest, latest, a time (2h, 2026-11-21T03:00), an offset', param, ctx
            )


def kafka_config(host: Host) -> KafkaJournalConfig | None:
    """The journal's configuration if it is Kafka."""
    config = host.settings.journal.config
    return config if isinstance(config, KafkaJournalConfig) else None


def show(host: Host, config: KafkaJournalConfig) -> None:
    """Print how far each pipeline is behind, in all and by partition; asks the brokers alone."""
    rows = kafka_cursors(config, host.settings.instance, (*host.settings.sinks, REJECTS))
    if not rows:
        say(f"there is no topic {', '.join(config.read_topics)} yet")
        return
    groups = [list(found) for _, found in groupby(rows, attrgetter("pipeline"))]
    behind = ("left to read", "oldest waits", "of retention")
    table(
        ("pipeline", "group", *behind),
        [(found[0].pipeline, found[0].group, *_behind(found)) for found in groups],
    )
    say()
    headings = ("pipeline", "stream", "position", "there are", *behind)
    table(headings, [(row.pipeline, row.stream, *_place(row), *_behind([row])) for row in rows])


def move(
    host: Host, config: KafkaJournalConfig, sink: str, to: Target, streams: Collection[str], *, dry_run: bool
) -> None:
    """Print what moving a sink's cursors changes; unless that is all (`dry_run`), do it."""
    only = set(streams) or None
    moves = reset_kafka_cursors(config, host.settings.instance, sink, to, streams=only, dry_run=dry_run)
    if dry_run:
        table(("stream", "from", "to", "records"), [_change(one) for one in moves])


def _place(row: CursorRow) -> tuple[object, object]:
    return "none yet" if row.position is None else row.position, f"{row.low:,} to {row.high:,}"


def _behind(rows: Iterable[CursorRow]) -> tuple[str, str, str]:
    """Of these partitions together: records, the age of the oldest, that as a share of the retention."""
    rows = list(rows)
    ages = [row.lag_seconds for row in rows if row.lag_seconds is not None]
    shares = [row.of_retention for row in rows if row.of_retention is not None]
    left = sum(row.lag for row in rows)
    oldest = "" if not left else ago(max(ages)) if ages else "unknown"
    return counted(left, "record"), oldest, f"{100 * max(shares):.1f} %" if left and shares else ""


def _change(move: Move) -> tuple[object, ...]:
    if move.before is None:
        return move.stream, "none yet", move.after, ""
    by = move.after - move.before
    effect = f"{-by:,} again" if by < 0 else f"{by:,} left out" if by else "as it is"
    return move.stream, move.before, move.after, effect
