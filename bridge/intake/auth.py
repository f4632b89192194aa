"""Who sends: API keys and JSON Web Tokens, and the channels that each may send.

Kept of a key is its digest alone. Keys are random and long, so a plain SHA-256 is as good as a
slow one, and looking a digest up tells a stranger nothing that they could try next.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.intake.http_answers import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.configuration.intake import ApiKey, HttpIntakeSettings
    from bridge.intake.auth_tokens import Tokens

__all__ = ["ANYBODY", "Gate", "Sender", "digest"]

UNAUTHORIZED = 401
CHALLENGE = (("WWW-Authenticate", 'Bearer realm="telemetry"'),)
LONGEST = 8 * 1024
DOTS_OF_A_TOKEN = 2


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent a request: a `name` to count by, and the `channels` it may send (none: all)."""

    name: str
    channels: frozenset[str] = frozenset()


ANYBODY = Sender("anybody")


def digest(key: str) -> str:
    """What the configuration holds of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


class Gate:
    """Tells senders apart. `tokens` is needed where the configuration has issuers."""

    def __init__(self, settings: HttpIntakeSettings, tokens: Tokens | None = None) -> None:
        self._open = settings.open
        self._keys = {key.sha256: _sender(name, key) for name, key in settings.keys.items()}
        self._tokens = tokens

    def sender(self, headers: Mapping[str, str], now: float) -> Sender:
        """Whose request this is; `now` is Unix time.

        `Refused`: 401 for a stranger, 503 while the key set that a token needs cannot be had.
        """
        if self._open:
            return ANYBODY
        credential = _credential(headers)
        if not credential:
            raise _stranger("send an API key or a token, as Authorization: Bearer")
        if known := self._keys.get(digest(credential)):
            return known
        if self._tokens and credential.count(".") == DOTS_OF_A_TOKEN:
            try:
                return self._tokens.sender(credential, now)
            except ValueError as error:
                raise _stranger(str(error)) from None
        raise _stranger("this API key is not known")


def _credential(headers: Mapping[str, str]) -> str:
    """What Authorization says, or X-Api-Key where there is none."""
    if "authorization" in headers:
        kind, _, rest = headers["authorization"].strip().partition(" ")
        found = rest.strip() if kind.lower() == "bearer" else ""
    else:
        found = headers.get("x-api-key", "").strip()
    return found if len(found) <= LONGEST else ""


def _sender(name: str, key: ApiKey) -> Sender:
    return Sender(name, frozenset(key.channels))


def _stranger(reason: str) -> Refused:
    return Refused(UNAUTHORIZED, reason, headers=CHALLENGE)
