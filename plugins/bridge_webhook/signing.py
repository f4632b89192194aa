"""Message ids, and signatures that the libraries of Standard Webhooks 1.0.0 verify.

Signed is `id.timestamp.body`, where the body is the JSON text: a receiver that gets gzip checks
the signature after unpacking, because every verifier decodes the body as text.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["ed25519_seed", "github_signature", "message_id", "standard_signature", "symmetric_key"]

SEED_BYTES = 32
FEWEST, MOST = 24, 64


def message_id(kind: str, sink: str, identities: Iterable[bytes]) -> str:
    """An id of these events for this sink: the same ones in the same order have the same id.

    `kind` is `evt` or `bat`. Users choose mids, and an id that held a dot would let them shift
    the border between id and timestamp in what is signed; so it is a hash in base32.
    """
    digest = hashlib.sha256(sink.encode() + b"\0" + b"".join(identities)).digest()[:20]
    return f"{kind}_{base64.b32encode(digest).decode().lower()}"


def symmetric_key(secret: str) -> bytes:
    """The key in `whsec_…` or bare base64; `ValueError` unless it is 24 to 64 bytes."""
    key = _decoded(secret.removeprefix("whsec_"))
    if not FEWEST <= len(key) <= MOST:
        raise ValueError(f"a signing secret is whsec_ and {FEWEST} to {MOST} random bytes in base64")
    return key


def ed25519_seed(secret: str) -> bytes:
    """The private key in `whsk_…` or bare base64: 32 bytes, or these and the public key. `ValueError`."""
    key = _decoded(secret.removeprefix("whsk_"))
    if len(key) not in {SEED_BYTES, 2 * SEED_BYTES}:
        raise ValueError("an ed25519 key is whsk_ and the 32 bytes of the private key in base64")
    return key[:SEED_BYTES]


def standard_signature(
    keys: Sequence[bytes],
    ident: str,
    timestamp: int,
    body: bytes,
    ed25519: Callable[[bytes], bytes] | None = None,
) -> str:
    """The `webhook-signature` header: one signature a key, the first key's first, then ed25519's."""
    head = f"{ident}.{timestamp}.".encode()
    signatures = [f"v1,{_base64(_hmac(key, head, body))}" for key in keys]
    if ed25519 is not None:
        signatures.append(f"v1a,{_base64(ed25519(head + body))}")
    return " ".join(signatures)


def github_signature(secret: str, body: bytes) -> str:
    """The `x-hub-signature-256` header, whose key is the secret's text as it is."""
    return f"sha256={_hmac(secret.encode(), b'', body).hex()}"


def _hmac(key: bytes, head: bytes, body: bytes) -> bytes:
    state = hmac.new(key, head, hashlib.sha256)
    state.update(body)
    return state.digest()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("this secret is not base64") from None
