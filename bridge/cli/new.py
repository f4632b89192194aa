"""`bridge new`: begin a plugin of your own with a project that works."""

from __future__ import annotations

from pathlib import Path

import click

from bridge.cli.options import examples
from bridge.cli.output import say
from bridge.scaffold import KINDS, create

__all__ = ["command"]

NEXT = """\
wrote {folder}

    cd {folder}
    pip install --editable '.[test]'
    pytest

Then change {what} in {module}.py; {page} takes you through it."""
BEGIN = {
    "sink": ("map and send", "docs/plugins/tutorial.md"),
    "stage": ("apply", "docs/stages.md"),
    "journal": ("the reader's read", "docs/plugins/reference.md"),
}


@click.command(
    "new",
    epilog=examples(
        "bridge new sink click-house",
        "bridge new stage redact-names",
        "bridge new journal spool --dir .",
    ),
)
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.option(
    "--dir",
    "parent",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="The folder in which bridge-NAME is made; this one, if not given.",
)
def command(kind: str, name: str, parent: Path) -> None:
    """Begin a plugin: a project whose tests pass.

    NAME is what operators will write as type = "NAME". The project is made in a new folder,
    bridge-NAME; one that exists is left as it is.
    """
    (chosen,) = (known for known in KINDS if known == kind)
    folder = create(chosen, name, parent)
    module = next(folder.glob("bridge_*.py")).stem
    what, page = BEGIN[kind]
    for line in NEXT.format(folder=folder, module=module, what=what, page=page).splitlines():
        say(line)
