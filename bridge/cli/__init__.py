"""The `bridge` command. Each subcommand has a module of its own, imported when it is called."""

from __future__ import annotations

from bridge.cli.app import cli, main

__all__ = ["cli", "main"]
