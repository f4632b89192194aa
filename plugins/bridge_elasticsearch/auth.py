"""How a request proves who sends it, in each form the two products take."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from bridge.errors import SetupError
from bridge_elasticsearch import sigv4

if TYPE_CHECKING:
    from bridge_elasticsearch.config import ElasticsearchConfig, SigV4Config

__all__ = ["api_key_header", "basic_header", "headers"]


def headers(config: ElasticsearchConfig, method: str, url: str, body: bytes, now: float) -> dict[str, str]:
    """Return the headers that authenticate this request at `now` (Unix time); none if nothing is configured.

    Secrets are read anew each time, so that keys can be rotated; one that has gone missing
    holds the stream (`SetupError`), for no event is at fault.
    """
    try:
        if config.sigv4 is not None:
            return _signature(config.sigv4, method, url, body, now)
        if config.api_key is not None:
            return {"authorization": api_key_header(config.api_key.reveal())}
        if config.username is not None and config.password is not None:
            return {"authorization": basic_header(config.username, config.password.reveal())}
        if config.bearer_token is not None:
            return {"authorization": f"Bearer {config.bearer_token.reveal()}"}
    except ValueError as error:
        raise SetupError(str(error)) from None
    return {}


def api_key_header(key: str) -> str:
    """Write the header for `id:key`, its base64 form, or a cloud key `essu_…`.

    Raises:
        ValueError: it is none of these; the text does not quote it.
    """
    if key.startswith("essu_") or _is_encoded_pair(key):
        return f"ApiKey {key}"
    identifier, colon, secret = key.partition(":")
    if identifier and colon and secret:
        return f"ApiKey {base64.b64encode(key.encode()).decode()}"
    raise ValueError("an API key is id:key, the same in base64, or begins with essu_")


def basic_header(username: str, password: str) -> str:
    """Write the header of basic authentication (UTF-8, as both products read it)."""
    return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"


def _signature(settings: SigV4Config, method: str, url: str, body: bytes, now: float) -> dict[str, str]:
    signer = sigv4.Signer(
        settings.access_key_id.reveal(),
        settings.secret_access_key.reveal(),
        settings.region,
        settings.service,
        settings.session_token.reveal() if settings.session_token else None,
    )
    return signer.headers(method, url, body, now)


def _is_encoded_pair(key: str) -> bool:
    try:
        return b":" in base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        return False
