"""`bridge explain`: what each sink would send for an event, or why nothing; no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.text import Text

from bridge.cli.explaining import Explainer, Verdict
from bridge.cli.host import Host, require_known
from bridge.cli.options import config_option, examples
from bridge.cli.output import is_terminal, say, warn
from bridge.intake.cutting import Cutter
from bridge.intake.opening import STDIN, Input
from bridge.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["command"]

LIMIT = 20
COLOURS = {"sent": "green", "left out": None, "refused": "red"}


@click.command(
    "explain",
    epilog=examples(
        "bridge explain event.json",
        "bridge explain batch.json --sink product",
        "tail -1 telemetry.jsonl | bridge explain -",
    ),
)
@click.argument(
    "file", default=STDIN, metavar="[FILE|-]", type=click.Path(exists=True, dir_okay=False, allow_dash=True)
)
@click.option("--sink", "sinks", multiple=True, metavar="SINK", help="This sink alone; may be given again.")
@click.option("--limit", default=LIMIT, show_default=True, type=click.IntRange(1), help="Events at most.")
@config_option
def command(config: Path | None, file: str, sinks: tuple[str, ...], limit: int) -> None:
    """Show what each sink would send for an event, or why nothing.

    Takes an event, a batch, an array or JSON Lines, from a file or standard input. For each event
    it says whether it is valid, what stages do with it, and for each sink whether a rule leaves it
    out, or exactly what would be sent, without any secret. Nothing is sent and no network is used.
    """
    host = Host.load(config, resolve_secrets=False)
    require_known(sinks, host.settings.sinks, "--sink")
    explainer = Explainer(host, sinks or list(host.settings.enabled))
    try:
        _explain(explainer, file, limit)
    finally:
        explainer.close()


def _explain(explainer: Explainer, file: str, limit: int) -> None:
    shown = 0
    for record in _records(file):
        for verdicts in explainer.explain(record):
            if shown == limit:
                warn(f"there is more; --limit {limit * 10} shows it")
                return
            shown += 1
            _show(shown, verdicts)
    if not shown:
        warn("no event was given")


def _records(file: str) -> Iterator[bytes]:
    cutter = Cutter()
    with Input(file) as source:
        for block in source.blocks():
            yield from cutter.feed(block)
    yield from cutter.close()


def _show(number: int, verdicts: list[Verdict]) -> None:
    head, *others = verdicts
    say(f"event {number}: {head.text}", COLOURS[head.result], bold=True)
    for verdict in others:
        say(f"  {verdict.sink}: {verdict.text}", COLOURS[verdict.result])
        if verdict.payload:
            _show_payload(verdict.payload)
    say()


def _show_payload(payload: str) -> None:
    console = Console(soft_wrap=True) if is_terminal() else None
    for line in payload.splitlines():
        text = f"    {printable(line)}".rstrip()
        if console:
            console.print(JSONHighlighter()(Text(text)))
        else:
            click.echo(text)
