"""`bridge verify`: prove from a destination alone that nothing is missing there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bridge.cli.host import Host
from bridge.cli.options import config_option, examples
from bridge.cli.output import say

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["command"]


@click.command(
    "verify", epilog=examples("bridge verify archive", "bridge verify archive --stream 'telemetry[3]'")
)
@click.argument("sink")
@click.option("--stream", help="One stream of the journal, such as log or telemetry[3]; otherwise all.")
@config_option
def command(config: Path | None, *, sink: str, stream: str | None) -> int:
    """Prove from a destination alone that nothing is missing there.

    SINK is the identifier in the configuration, the `archive` of [sinks.archive]. An archive on
    S3 or in a folder is compared with its plans: no position of the journal without a plan, every
    object there with its size, digest and number of events. Nothing is changed. The exit code is
    1 if something is missing.
    """
    host = Host.load(config)
    with host.sink(sink) as opened:
        complete, lines = opened.verify(stream)
    for line in lines:
        say(line)
    return int(not complete)
