"""`bridge import`: put events from files into the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from bridge.cli.background import BackgroundImport, report_files
from bridge.cli.host import Host
from bridge.cli.options import config_option, examples
from bridge.cli.output import is_terminal
from bridge.engine.supervisor import open_journal
from bridge.intake.files import require_writable

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["command"]

TICK = 0.1


@click.command(
    "import",
    epilog=examples(
        "bridge import 2026-11-*.jsonl.gz",
        "bridge import archive-2026-11-21.zip transfer.gsa   # from a phone, by Share Telemetry",
        "bridge import received/                             # every file in it",
        "zcat backup.gz | bridge import -",
        "bridge import batch.json && bridge run --until-idle",
    ),
)
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILES...",
    type=click.Path(exists=True, allow_dash=True),
)
@click.option("--again", is_flag=True, help="Import what was imported before, too.")
@config_option
def command(config: Path | None, files: tuple[str, ...], *, again: bool) -> int:
    """Put events from files into the journal.

    Takes JSON Lines, batches as SDKs post them, arrays of events and single events, indented or
    not, plain or compressed with gzip or zstd; the archives that the mobile app shares (.zip and
    .gsa); folders of all these; - is standard input. Every event is kept with its own bytes.
    What was imported before is counted as duplicate and left out, so an import that was
    interrupted is simply started again. Events that are not valid are counted by reason, and
    become dead letters when the bridge runs. The journal must not be in use: `bridge run
    --import` imports beside a run.
    """
    host = Host.load(config)
    with host.open_state() as state:
        journal = open_journal(host.settings, host.registry, state, host.plugins.notify)
        require_writable(journal)
        background = BackgroundImport(host, journal, files, patient=False, again=again)
        try:
            background.start()
            _show(background)
        finally:
            background.stop()
            background.join()
            report_files(background.reports)
    if background.error:
        raise background.error
    return 1 if background.problem() else 0


def _show(background: BackgroundImport) -> None:
    """Wait for the end; a terminal sees how far it is."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(), transient=True, disable=not is_terminal()) as progress:
        task = progress.add_task("import", total=background.total)
        while background.is_alive():
            speed = background.events / max(progress.tasks[0].elapsed or 0.0, TICK)
            note = f"{background.note()}, {speed:,.0f} events/s"
            progress.update(task, completed=background.position, description=note)
            background.join(TICK)
