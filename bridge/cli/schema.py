"""`bridge schema`: the JSON Schema of the configuration, plugins included."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from bridge.cli.options import config_option, examples
from bridge.cli.output import warn
from bridge.cli.plugins import load_everything
from bridge.settings import json_schema

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["command"]


@click.command(
    "schema",
    epilog=examples(
        "bridge schema > bridge.schema.json",
        "bridge --config staging.toml schema   # with the single-file plugins it names",
    ),
)
@config_option
def command(config: Path | None) -> None:
    """Print the JSON Schema of the configuration, for editors and CI.

    It describes every key of the host and of each plugin that is installed or lies in the
    configured folder. A plugin that cannot be used is left out, and named on standard error.
    """
    plugins = load_everything(config)
    for info in plugins.loaded():
        if info.error:
            warn(f"{info.name} is left out: {info.error}")
    click.echo(json.dumps(json_schema(plugins.registry), indent=2))
