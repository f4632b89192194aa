"""`bridge token`: make credentials for the HTTP intake, and look into them."""

from __future__ import annotations

import json
import re
import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.host import Host, require_known
from bridge.cli.options import config_option, examples
from bridge.cli.output import ago, moment, say, warn
from bridge.errors import BridgeError
from bridge.intake.auth import Gate, digest
from bridge.intake.auth_tokens import Tokens, require_jwt
from bridge.intake.http_answers import Refused

if TYPE_CHECKING:
    from bridge.configuration.intake import HttpIntakeSettings, Issuer

__all__ = ["command"]

KEY_BYTES = 32
NAME = re.compile(r"[a-z][a-z0-9_-]*")
LASTING = re.compile(r"(\d+)([hd])")
SECONDS = {"h": 3_600, "d": 86_400}
TIMES = ("iat", "nbf", "exp")
STDIN = "-"


@click.group(
    "token",
    epilog=examples(
        "bridge token key portal",
        "bridge token make kong --lasting 30d",
        "bridge token inspect eyJhbGciOi…",
    ),
)
def command() -> None:
    """Make API keys and JSON Web Tokens for the HTTP intake, and look into them."""


@command.command(
    "key", epilog=examples("bridge token key portal", "bridge token key portal --channel in.state")
)
@click.argument("name")
@click.option("--channel", "channels", multiple=True, help="A channel it may send; may be given again.")
def key(name: str, channels: tuple[str, ...]) -> None:
    """Make an API key.

    The key itself is printed once and kept nowhere; the configuration holds its digest.
    """
    if not NAME.fullmatch(name):
        raise click.BadParameter("a name is of a-z 0-9 - _ and begins with a letter", param_hint="NAME")
    made = secrets.token_urlsafe(KEY_BYTES)
    say("Give this to the sender, who puts it into Authorization: Bearer … (the SDK's authtoken):")
    say()
    say(f"    {made}")
    say()
    say("Put this into the configuration:")
    say()
    say(f"    [intake.http.keys.{name}]")
    say(f'    sha256 = "{digest(made)}"')
    if channels:
        say(f"    channels = {json.dumps(list(channels), ensure_ascii=False)}")


@command.command(
    "make",
    epilog=examples(
        "bridge token make kong",
        "bridge token make kong --subject device-1 --lasting 12h",
        "bridge token make idp --private-key idp.pem --key-id 2026",
    ),
)
@click.argument("issuer")
@click.option("--subject", metavar="NAME", help="The token's `sub`: each subject is limited by itself.")
@click.option("--lasting", default="30d", show_default=True, help="How long it is good: 12h, 30d, or never.")
@click.option(
    "--private-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The private key in PEM, for RS256, ES256 and EdDSA.",
)
@click.option("--key-id", metavar="ID", help="The token's `kid`, which names a key of a key set.")
@config_option
def make(
    config: Path | None,
    issuer: str,
    subject: str | None,
    lasting: str,
    private_key: Path | None,
    key_id: str | None,
) -> None:
    """Make a token as ISSUER would, for trying things out.

    ISSUER is the name of a table [intake.http.issuers.<name>]. With HS256 its secret is known; with
    the other algorithms you need the private key.
    """
    settings = Host.load(config).settings.intake.http
    require_known((issuer,), settings.issuers, "ISSUER")
    chosen, now = settings.issuers[issuer], int(time.time())
    claims: dict[str, Any] = {"iss": chosen.iss, "iat": now}
    if subject:
        claims["sub"] = subject
    if chosen.audience:
        claims["aud"] = chosen.audience
    if (seconds := _seconds(lasting)) is not None:
        claims["exp"] = now + seconds
    elif chosen.expiring:
        raise click.UsageError(
            f"tokens of {issuer} have to expire; write --lasting, or expiring = false there"
        )
    jwt = require_jwt()
    headers = {"kid": key_id} if key_id else None
    try:
        click.echo(jwt.encode(claims, _signing_key(chosen, private_key), chosen.algorithm, headers))
    except (jwt.PyJWTError, ValueError, TypeError):
        raise BridgeError(f"this is no key for {chosen.algorithm}") from None


@command.command(
    "inspect", epilog=examples("bridge token inspect eyJhbGciOi…", "pbpaste | bridge token inspect -")
)
@click.argument("token")
@config_option
def inspect(config: Path | None, token: str) -> int:
    """Show what TOKEN says, and whether the configured intake would take it.

    TOKEN may be an API key too; - reads it from standard input, so that it stays out of the shell's history.
    """
    text = (sys.stdin.read() if token == STDIN else token).strip()
    if text.count(".") == 2:  # noqa: PLR2004 - head, claims and signature
        _show(text)
    settings = Host.load(config).settings.intake.http
    return _judge(settings, text)


def _show(text: str) -> None:
    jwt = require_jwt()
    try:
        found = jwt.decode_complete(text, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        warn("this is no JSON Web Token")
        return
    for part in ("header", "payload"):
        say(part, bold=True)
        for name, value in found[part].items():
            say(f"  {name}: {json.dumps(value, ensure_ascii=False)}{_when(name, value)}")
    say()


def _when(name: str, value: object) -> str:
    """For a time, the date, and how far it is away."""
    if name not in TIMES or not isinstance(value, int | float):
        return ""
    away = value - time.time()
    try:
        date = moment(int(value * 1000))
    except (OverflowError, ValueError, OSError):
        return ""
    return f"  ({date}, {'in ' + ago(away) if away > 0 else ago(-away) + ' ago'})"


def _judge(settings: HttpIntakeSettings, text: str) -> int:
    """Say whether the intake would take it; the exit code."""
    if settings.open:
        say("the intake asks nobody for a key or token; it serves this machine alone")
        return 0
    if any(issuer.jwks for issuer in settings.issuers.values()):
        warn("issuers with a key set are asked now; give them a moment")
    tokens = Tokens(settings.issuers, patient=True) if settings.issuers else None
    try:
        sender = Gate(settings, tokens).sender({"authorization": f"Bearer {text}"}, time.time())
    except Refused as error:
        say(f"refused: {error.reason}", "red")
        return 1
    finally:
        if tokens:
            tokens.close()
    channels = ", ".join(sorted(sender.channels)) or "any channel"
    say(f"taken as {sender.name}, who may send {channels}", "green")
    return 0


def _signing_key(issuer: Issuer, private_key: Path | None) -> str:
    if issuer.secret:
        return issuer.secret.reveal()
    if private_key is None:
        raise click.UsageError(f"{issuer.algorithm} needs --private-key, which only the issuer has")
    return private_key.read_text(encoding="utf-8")


def _seconds(text: str) -> int | None:
    if text == "never":
        return None
    found = LASTING.fullmatch(text)
    if not found:
        raise click.BadParameter("write 12h, 30d or never", param_hint="--lasting")
    return int(found[1]) * SECONDS[found[2]]
