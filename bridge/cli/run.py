"""`bridge run`: deliver events from the journal to the sinks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bridge import logs
from bridge import settings as configuration
from bridge.cli.host import Host
from bridge.cli.options import config_option, examples
from bridge.cli.running import Run
from bridge.errors import ConfigError, Problem

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["command"]


@click.command(
    "run",
    epilog=examples(
        "bridge run",
        "bridge run --only archive                 # one sink of several, for a process of its own",
        "bridge run --import 2026-11.jsonl.gz --until-idle   # deliver this file, then end",
        "bridge run --import received/             # every file in it, and go on",
    ),
)
@click.option("--only", multiple=True, metavar="SINK", help="Run this sink alone; may be given again.")
@click.option("--until-idle", is_flag=True, help="End once everything in the journal is settled.")
@click.option(
    "--import",
    "imports",
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, allow_dash=True),
    help="Put this file, or every file in this folder, into the journal meanwhile; may be given again, "
    "- is standard input.",
)
@config_option
def command(config: Path | None, only: tuple[str, ...], imports: tuple[str, ...], *, until_idle: bool) -> int:
    """Deliver events from the journal to the sinks.

    Each sink has its own pipeline and its own place in the journal, so one that is down delays
    no other. Ctrl-C or SIGTERM stops the intakes and then reading, delivers what is on its way,
    stores the places and ends with exit code 0; whatever was not acknowledged is read again next
    time. A second signal ends at once, which is safe too.

    On a terminal a table shows how it goes; otherwise the log has a line per pipeline every 30 s.
    """
    host = Host.load(config)
    _require_runnable(host, only)
    logs.configure(host.settings.log)
    logs.catch_crashes()
    host.plugins.announce()
    with host.open_state() as state:
        return Run(host, state, only=only, until_idle=until_idle, imports=imports).to_the_end()


def _require_runnable(host: Host, only: tuple[str, ...]) -> None:
    configuration.only(host.settings, only)
    disabled = [name for name in only if name not in host.settings.enabled]
    if disabled:
        problems = [
            Problem("--only", f'the sink "{name}" is disabled (remove enabled = false)') for name in disabled
        ]
        raise ConfigError(problems, host.settings.origin)
