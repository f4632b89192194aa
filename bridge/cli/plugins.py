"""`bridge plugins`: what is installed, where it comes from, what it offers."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from bridge import settings as configuration
from bridge.cli.options import config_option, examples
from bridge.cli.output import table, warn
from bridge.errors import ConfigError
from bridge.plugins import Plugins

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.registry import PluginInfo

__all__ = ["command", "load_everything"]


@click.command("plugins", epilog=examples("bridge plugins", "bridge plugins --json"))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array instead of a table.")
@config_option
def command(config: Path | None, *, as_json: bool) -> None:
    """List the plugins, where they come from and what they offer.

    Lists every installed plugin and, if there is a configuration, the single-file plugins in its
    [plugins] dir. A plugin that cannot be used is listed with the reason, and stops no other.
    """
    infos = sorted(load_everything(config).installed(), key=lambda info: info.name)
    if as_json:
        click.echo(json.dumps([asdict(info) for info in infos], indent=2))
        return
    table(("plugin", "from", "offers"), [(info.name, info.source, _offers(info)) for info in infos])


def load_everything(config: Path | None) -> Plugins:
    """Load what is installed and what lies in the configured folder; a wrong configuration is only told."""
    plugins = Plugins()
    path = config or configuration.find(os.environ)
    folder = None
    if config or path.is_file():
        try:
            folder = configuration.read(path, os.environ).plugin_folder()
        except ConfigError as error:
            warn("\n".join(error.lines()))
    plugins.load((), folder)
    plugins.load_installed()
    return plugins


def _offers(info: PluginInfo) -> str:
    if info.error:
        return f"cannot be used: {info.error}"
    nouns = {"sink": info.sinks, "journal": info.journals, "stage": info.stages}
    offers = [f"{noun} {name}" for noun, names in nouns.items() for name in names]
    return ", ".join(offers) or "observers"
