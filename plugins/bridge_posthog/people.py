"""Who did it: the distinct id of an event, and whether it names a person. Pure.

The ladder: the user; else the device; else the system actor; else the session; else the
event itself (which only `mapping` knows). Names that many strangers share are never used,
because PostHog would make them one person.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Who", "identify", "is_placeholder", "pseudonymiser", "shorten", "user_id"]

LONGEST = 200  # bytes: capture V1 drops, and V0 cuts, what is longer
SHORTEST_UNCHECKED = 37  # one more than the longest placeholder, a UUID of zeros

# What capture refuses to make a person of, and what Sunbird sends for nobody in particular.
PLACEHOLDERS = frozenset(
    {
        "",
        "0",
        "00000000-0000-0000-0000-000000000000",
        "1",
        "[object object]",
        "anonymous",
        "anonymous-user",
        "backend",
        "distinct_id",
        "distinctid",
        "email",
        "false",
        "guest",
        "id",
        "internal",
        "nan",
        "nil",
        "none",
        "not_authenticated",
        "null",
        "public",
        "system",
        "true",
        "undefined",
        "user",
    }
)


class Who(NamedTuple):
    """The `distinct_id`, and whether it is a real user (`person`)."""

    distinct_id: str
    person: bool


def is_placeholder(name: str) -> bool:
    """Say whether a name stands for nobody or for everybody."""
    if len(name) >= SHORTEST_UNCHECKED:
        return not name.strip()
    return name.strip().strip("\"'").strip().lower() in PLACEHOLDERS


def user_id(actor_type: str, actor_id: str) -> str | None:
    """The user an actor is, without the prefix of federated ids (`f:<provider>:<user>`)."""
    if actor_type.lower() != "user":
        return None
    name = actor_id.rpartition(":")[2] if actor_id.startswith("f:") else actor_id
    return None if is_placeholder(name) or name.startswith("org.") else name


def identify(
    actor_type: str, actor_id: str, did: str, sid: str, producer: str, hide: Callable[[str], str] = str
) -> Who | None:
    """Climb down the ladder; None if nothing but the event itself is known. `hide` makes pseudonyms."""
    if user := user_id(actor_type, actor_id):
        return Who(shorten(hide(user)), person=True)
    if not is_placeholder(did):
        return Who(shorten(hide(did)), person=False)
    name = producer if not actor_id.strip() else actor_id
    if actor_type.strip() and actor_type.lower() != "user" and name.strip():
        return Who(shorten(f"{actor_type.lower()}:{name}"), person=False)
    if sid.strip():
        return Who(shorten(f"session:{sid}"), person=False)
    return None


def shorten(name: str) -> str:
    """Replace what is longer than 200 bytes by its hash."""
    if len(name) <= LONGEST // 4:
        return name
    data = name.encode("utf-8", "replace")
    return name if len(data) <= LONGEST else f"sha256:{hashlib.sha256(data).hexdigest()}"


def pseudonymiser(key: bytes) -> Callable[[str], str]:
    """Return a function from ids to their HMAC-SHA256 under `key`, in hex."""

    def hide(name: str) -> str:
        return hmac.digest(key, name.encode("utf-8", "replace"), "sha256").hex()

    return hide
