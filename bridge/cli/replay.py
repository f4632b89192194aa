"""`bridge dead-letters replay`: send letters to the sinks that refused them, again."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import click

from bridge import logs
from bridge.cli.dead_letters_kafka import staged
from bridge.cli.host import Host, require_known
from bridge.cli.letters import choosing
from bridge.cli.live import screen_for
from bridge.cli.options import config_option, examples
from bridge.cli.output import counted, say, table, warn
from bridge.cli.rehearsal import rehearse
from bridge.cli.running import Signals
from bridge.deadletters import REJECTS, SqliteDeadLetters
from bridge.engine.replay import Replay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bridge.cli.dead_letters_kafka import Choice, Count, Staged
    from bridge.deadletters import Filter
    from bridge.reports import Snapshot
    from bridge.settings import Settings
    from bridge.state import State

__all__ = ["replay_command"]

TICK = 0.1
INTERRUPTED = 130


@click.command(
    "replay",
    epilog=examples(
        "bridge dead-letters replay --dry-run",
        "bridge dead-letters replay --sink product --code too_large",
        "bridge dead-letters replay --sink rejects --limit 10    # try ten first",
    ),
)
@choosing
@click.option("--limit", type=click.IntRange(1), help="Letters at most, oldest first.")
@click.option("--dry-run", is_flag=True, help="Send nothing; say what would become of each.")
@config_option
def replay_command(config: Path | None, which: Filter, *, limit: int | None, dry_run: bool) -> int:
    """Send dead letters to the sinks that refused them, again.

    Each goes only to the sink that refused it, with the same identity; those of `rejects` go to
    every sink, if they are valid by now. What is delivered becomes resolved. What is refused again
    keeps its id and stays, with its attempts added up, and the exit code is 1. A sink whose
    set-up is wrong ends the replay, and nothing is lost. For letters in the state file stop the
    bridge first, because it holds that; what arrives meanwhile waits in the journal. For letters
    in Kafka, and with --dry-run, it may go on.
    """
    host = Host.load(config, resolve_secrets=not dry_run)
    require_known((which.sink,) if which.sink else (), (REJECTS, *host.settings.sinks), "--sink")
    choose = partial(_parts, host.settings, which)
    with staged(host, choose, limit) as copy:
        if dry_run:
            return _each(host, copy, choose, limit, partial(rehearse, host), host.look)
        logs.configure(host.settings.log)
        with Signals() as signals:
            act = partial(_replay, host, signals, copy)
            return _each(host, copy, choose, limit, act, host.open_state)


def _parts(settings: Settings, which: Filter, count: Count) -> Iterator[Filter]:
    """One filter for each pipeline that has letters and can be replayed."""
    counts: dict[str, int] = {}
    for (name, _), number in count(which).items():
        counts[name] = counts.get(name, 0) + number
    for name, number in sorted(counts.items()):
        if name == REJECTS or name in settings.enabled:
            yield replace(which, sink=name)
        else:
            state_of = "disabled" if name in settings.sinks else "not configured any more"
            warn(f"{name} is {state_of}: its {counted(number, 'letter')} stay")


def _each(
    host: Host,
    copy: Staged | None,
    choose: Choice,
    limit: int | None,
    act: Callable[[State, list[Filter], int | None], int],
    open_state: Callable[[], State],
) -> int:
    """Do it to the letters in Kafka, if there are any, and to those in the state file."""
    code = 0
    if copy is not None and copy.total:
        code = act(copy.state, list(choose(SqliteDeadLetters(copy.state).count)), limit)
        limit = None if limit is None else limit - copy.total
        if limit == 0 or code == INTERRUPTED or not _has_letters(host, choose):
            return code
    elif copy is not None and not _has_letters(host, choose):
        say("no dead letters to replay")
        return code
    with open_state() as state:
        return max(code, act(state, list(choose(SqliteDeadLetters(state).count)), limit))


def _has_letters(host: Host, choose: Choice) -> bool:
    """Whether there is anything in the state file, too."""
    if not host.state_path.is_file():
        return False
    with host.look() as state:
        return any(True for _ in choose(SqliteDeadLetters(state).count))


def _replay(
    host: Host,
    signals: Signals,
    copy: Staged | None,
    state: State,
    parts: list[Filter],
    limit: int | None,
) -> int:
    code = 0
    from_kafka = copy if copy is not None and state is copy.state else None
    for part in parts:
        if limit == 0 or signals.received is not None:
            break
        replay = Replay(host.settings, host.registry, state, host.plugins.notify, part, limit)
        limit = limit if limit is None else max(0, limit - replay.letters.total)
        code = max(code, _run(host, replay, signals, from_kafka))
    if not parts:
        say("no dead letters to replay")
    return INTERRUPTED if signals.received is not None else code


def _run(host: Host, replay: Replay, signals: Signals, copy: Staged | None) -> int:
    replay.start()
    trouble: list[Snapshot] = []
    with screen_for(host.settings.log) as screen:
        while replay.running():
            screen.show(replay.snapshots(), [])
            trouble = trouble or [s for s in replay.snapshots() if s.state in {"setup", "blocked"}]
            if trouble or signals.received is not None:
                replay.stop()
            if copy is not None:
                copy.sync_now_and_then()
            time.sleep(TICK)
    replay.close()
    if copy is not None:
        copy.sync()
    return _report(replay, trouble)


def _report(replay: Replay, trouble: list[Snapshot]) -> int:
    letters, snapshots = replay.letters, replay.snapshots()
    rows = [
        (
            letters.owner,
            s.pipeline,
            s.counts.read,
            s.counts.delivered,
            s.counts.duplicate,
            s.counts.filtered,
            s.counts.dead_lettered,
            s.counts.invalid,
            s.counts.outstanding,
        )
        for s in snapshots
    ]
    headings = ("letters of", "sent to", "read", "delivered", "duplicate", "filtered", "refused again")
    table((*headings, "still invalid", "not sent"), rows)
    say(f"{letters.resolved:,} of {counted(letters.total, 'letter')} resolved")
    for snapshot in trouble:
        say(f"{snapshot.pipeline}: {snapshot.reason}; the replay was ended, its letters stay", "red")
    for name, failure in replay.failures():
        say(f"{name} broke: {type(failure).__name__}", "red")
    refused = any(snapshot.counts.dead_lettered for snapshot in snapshots)
    return int(bool(trouble or refused or replay.failures()))
