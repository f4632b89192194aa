"""What commands have in common on the command line; imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["config_option", "examples"]

CommandT = TypeVar("CommandT", bound="Callable[..., Any]")


def examples(*lines: str) -> str:
    """The end of a command's help: lines to copy."""
    return "\n\n\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def config_option(command: CommandT) -> CommandT:
    """`--config PATH`, which may also stand before the command."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        callback=_from_group,
        metavar="PATH",
        help="The configuration; $BRIDGE_CONFIG, or config.toml, if not given.",
    )(command)


def _from_group(ctx: click.Context, _: click.Parameter, value: Path | None) -> Path | None:
    given: Path | None = value or ctx.find_root().params.get("config")
    return given
