"""The command group: which commands there are, and what an error means for the exit code."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import click

from bridge.cli.options import examples
from bridge.errors import BridgeError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "cli", "main"]

DONE, UNWELL, MISUSED, INTERRUPTED = 0, 1, 2, 130

COMMANDS = {
    "run": ("bridge.cli.run", "Deliver events from the journal to the sinks."),
    "check": ("bridge.cli.check", "Say whether configuration, journal and destinations are in order."),
    "explain": ("bridge.cli.explain", "Show what each sink would send for an event, or why nothing."),
    "import": ("bridge.cli.importing", "Put events from files into the journal."),
    "dead-letters": ("bridge.cli.dead_letters", "Look at events that could not go on, and replay them."),
    "cursors": ("bridge.cli.cursors", "Show or move the places that sinks have reached in the journal."),
    "plugins": ("bridge.cli.plugins", "List the plugins, where they come from and what they offer."),
    "verify": ("bridge.cli.verify", "Prove from a destination alone that nothing is missing there."),
    "token": (
        "bridge.cli.token",
        "Make API keys and JSON Web Tokens for the HTTP intake, and look into them.",
    ),
    "new": ("bridge.cli.new", "Begin a plugin: a project whose tests pass."),
    "schema": ("bridge.cli.schema", "Print the JSON Schema of the configuration, for editors and CI."),
}

EXIT_CODES = """
\b
Exit codes:
  0    done
  1    something is not well: a check failed, a pipeline broke, letters were refused again
  2    the configuration or the command line is wrong
  130  interrupted (of `bridge run`: by a second signal; the first one ends it in order)
"""


class LazyGroup(click.Group):
    """Commands by name, imported when called: `bridge --help` loads no plugin and no engine."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as click calls it
        """The names, in the order a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """Import the command's module."""
        if cmd_name not in COMMANDS:
            return None
        return cast("click.Command", importlib.import_module(COMMANDS[cmd_name][0]).command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that `args` begin with, or say which one might be meant."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(COMMANDS)}"
            raise click.UsageError(f'there is no command "{args[0]}" ({hint})', ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, sentence) for name, (_, sentence) in COMMANDS.items()])

    def main(  # type: ignore[override]  # click declares it twice, once for each value of standalone_mode
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        *,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run, and turn every outcome into an exit code; a traceback is shown for our own bugs only."""
        try:
            code = super().main(args, prog_name, standalone_mode=False, **extra)
        except (click.ClickException, click.Abort, BridgeError, OSError) as error:
            if not standalone_mode:
                raise
            code = _told(error)
        if standalone_mode:
            sys.exit(code or DONE)
        return code


def _told(error: Exception) -> int:
    """Tell people what went wrong; the exit code."""
    match error:
        case click.ClickException():
            error.show()
            return error.exit_code
        case click.Abort():
            click.echo("interrupted", err=True)
            return INTERRUPTED
        case ConfigError():
            click.echo("\n".join(error.lines()), err=True)
            return MISUSED
        case BrokenPipeError():
            # whoever read our output has gone; without this Python complains once more at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return UNWELL
        case OSError(filename=str(name), strerror=str(reason)):
            click.echo(f"bridge: {name}: {reason}", err=True)
            return UNWELL
    click.echo(f"bridge: {error}", err=True)
    return UNWELL


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Say which release this is, and whether its hot loops are compiled."""
    if wanted:
        own = importlib.metadata.version("sunbird-bridge")
        click.echo(f"{own}, {importlib.import_module('bridge.native').FOUND.text}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXIT_CODES
    + examples(
        "bridge check                          # is everything in order?",
        "bridge run                            # deliver, until Ctrl-C",
        "bridge run --import events.jsonl.gz   # the same, with these events",
    ),
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version, and whether the compiled part is in use.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The configuration; $BRIDGE_CONFIG, or config.toml, if not given.",
)
@click.pass_context
def cli(ctx: click.Context, config: Path | None) -> None:  # noqa: ARG001 - the commands ask the context for it
    """Forward Sunbird telemetry from a journal to PostHog, Elasticsearch, S3, webhooks and your own sinks."""
    if os.environ.get("NO_COLOR"):
        ctx.color = False


def main() -> NoReturn:
    """The `bridge` command."""
    cli(prog_name="bridge")
    raise AssertionError("the group ends by itself")
