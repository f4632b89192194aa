"""`bridge check`: say whether configuration, journal and destinations are in order."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from bridge.cli.host import Host
from bridge.cli.options import config_option, examples
from bridge.cli.output import counted, say
from bridge.configuration.problems import shown
from bridge.engine.supervisor import open_journal
from bridge.errors import BridgeError
from bridge.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bridge.sinks import Sink

__all__ = ["command"]

COLOURS = {"ok": "green", "failed": "red", "skipped": None}


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and one line about it."""

    subject: str
    result: Literal["ok", "failed", "skipped"]
    text: str


@click.command(
    "check",
    epilog=examples(
        "bridge check",
        "bridge check --offline     # the configuration alone, where secrets and networks are missing",
        "bridge check --setup       # also write what sinks need, such as index templates",
    ),
)
@click.option("--offline", is_flag=True, help="Judge the configuration alone: no network, no secrets.")
@click.option("--setup", is_flag=True, help="Let sinks write what they need at their destination.")
@config_option
def command(config: Path | None, *, offline: bool, setup: bool) -> int:
    """Say whether configuration, journal and destinations are in order.

    Every problem of the configuration is told at once. Then the journal is looked at, stages are
    tried whether they can begin, and each enabled sink is asked whether its destination can be
    reached and lets us in; nothing is sent and, without --setup, nothing is changed. The exit
    code is 1 if anything failed.
    """
    if offline and setup:
        raise click.UsageError("--setup needs the network, so it cannot be --offline")
    host = Host.load(config, resolve_secrets=not offline)
    enabled, every = len(host.settings.enabled), len(host.settings.sinks)
    summary = f"{host.settings.origin}: {counted(every, 'sink')}" + (
        f", {enabled} enabled" * (enabled != every)
    )
    failed = _tell(Finding("configuration", "ok", summary))
    for finding in _findings(host, offline=offline, setup=setup):
        failed |= _tell(finding)
    return int(failed)


def _findings(host: Host, *, offline: bool, setup: bool) -> Iterator[Finding]:
    journal = f"journal {host.settings.journal.type}"
    if offline:
        yield Finding(journal, "skipped", "not opened (--offline)")
    else:
        yield _attempt(journal, partial(_journal, host))
    for name, stage in host.settings.stages.items():
        if not stage.enabled:
            yield Finding(f"stage {name}", "skipped", "disabled")
        elif offline:
            yield _attempt(f"stage {name}", partial(_stage_made, host, name))
        else:
            yield _attempt(f"stage {name}", partial(_stage_entered, host, name))
    for name, sink in host.settings.sinks.items():
        subject = f"sink {name}"
        if not sink.enabled:
            yield Finding(subject, "skipped", "disabled")
        elif offline:
            yield _attempt(subject, partial(_made, host, name))
        else:
            yield _attempt(subject, partial(_visited, host, name, setup=setup))


def _attempt(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, "ok", shown(look()))
    except BridgeError as error:
        return Finding(subject, "failed", shown(str(error)))
    except Exception as error:  # noqa: BLE001 - boundary: one broken plugin must not hide the others' findings
        return Finding(subject, "failed", f"the plugin failed with {type(error).__name__}")


def _stage_made(host: Host, name: str) -> str:
    host.stage(name)
    return "not entered (--offline)"


def _stage_entered(host: Host, name: str) -> str:
    with host.stage(name):
        sinks = host.settings.stages[name].sinks
        return f"ready, for {', '.join(sinks) if sinks else 'every sink'}"


def _made(host: Host, name: str) -> str:
    host.sink(name)
    return "not contacted (--offline)"


def _visited(host: Host, name: str, *, setup: bool) -> str:
    with host.sink(name) as sink:
        done = [_set_up(sink)] if setup else []
        return "; ".join(filter(None, [*done, sink.check()]))


def _set_up(sink: Sink[Any, Any]) -> str:
    """What the sink wrote at its destination, if it needs anything there."""
    return sink.setup()


def _journal(host: Host) -> str:
    """What the journal says, without leaving a trace where it does not exist yet."""
    _require_place(host.settings.data_dir)
    with ExitStack() as stack:
        if host.state_path.is_file():
            state = stack.enter_context(host.look())
            return open_journal(host.settings, host.registry, state).check()
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        state = stack.enter_context(State(Path(folder) / host.state_path.name))
        found = open_journal(host.settings, host.registry, state).check()
        return f"{found.replace(str(state.path), str(host.state_path))} (the state file is not there yet)"


def _require_place(data_dir: Path) -> None:
    existing = next(place for place in (data_dir, *data_dir.parents) if place.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        raise BridgeError(f"data_dir: {existing} cannot be written to")


def _tell(finding: Finding) -> bool:
    """Print a finding; whether it is a bad one."""
    colour = COLOURS[finding.result]
    say(f"{finding.subject:<20} {finding.result:<8} {finding.text}", colour)
    return finding.result == "failed"
