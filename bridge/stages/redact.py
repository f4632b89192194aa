"""The stage `redact`: personal data leaves the event before any sink sees it."""

from __future__ import annotations

import hmac
import re
from base64 import b32encode
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any

import msgspec

from bridge.events import Event, rewrite
from bridge.hookspecs import hookimpl
from bridge.stages.base import Stage
from bridge.stages.jsonedit import Doubt, edit_event, leaves, only
from bridge.stages.jsonpaths import automaton, needle, parse
from bridge.stages.jsonvalues import TEXT, empty, kind_of, text_of, write
from bridge.stages.patterns import absent, masker, truncate_addresses
from bridge.stages.redact_config import RedactConfig, Rule

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from bridge.stages.jsonedit import Action
    from bridge.stages.jsonvalues import Fields

__all__ = ["Pseudonyms", "RedactStage", "bridge_stages"]

PSEUDONYM_BYTES = 16
REMEMBERED = 10_000  # pseudonyms a rule keeps at hand; a busy day has more devices, an hour seldom
LONGEST_REMEMBERED = 100  # characters of a value: ids repeat, long texts do not and would take memory
FEDERATED = re.compile(r"f:[^:]+:(?=.)")  # Keycloak's name for a user that it took over from elsewhere


class RedactStage(Stage[RedactConfig]):
    """Applies every rule to every event it gets; an event that no rule concerns stays the same object."""

    name = "redact"
    config_type = RedactConfig

    def __enter__(self) -> Self:
        self._plan  # noqa: B018 - the key is read now, not at the first event
        return self

    def apply(self, event: Event) -> Event:
        """The event without what the rules take away; its identity follows `actor.id` and `context.did`."""
        fields = self._plan.redact(event.raw)
        return event if fields is None else rewrite(event, fields)

    @cached_property
    def _plan(self) -> _Plan:
        return _Plan(self.config)


class _Plan:
    """The rules of a configuration, compiled."""

    def __init__(self, config: RedactConfig) -> None:
        key = config.key.reveal().encode() if config.key else b""
        chosen = [(rule, path) for rule in config.all_rules for path in rule.paths]
        steps = [parse(path) for _, path in chosen]
        needles = {needle(each) for each in steps}
        self._needles = [each for each in needles if each is not None] if None not in needles else [b""]
        self._root = automaton(steps)
        self._actions = tuple(_action(rule, path, key, config.key_version) for rule, path in chosen)

    def redact(self, raw: bytes) -> Fields | None:
        """The event's fields with the rules applied, or None if they change nothing."""
        # Keys can hide from the search only behind a backslash, as \u0063omments.
        if not any(each in raw for each in self._needles) and b"\\" not in raw:
            return None
        return edit_event(raw, self._root, self._actions)


class Pseudonyms:
    """Keyed pseudonyms: `k1:` and 128 bits of HMAC-SHA256(key, namespace + zero byte + value) in base32."""

    def __init__(self, key: bytes, version: str, namespace: str) -> None:
        self._key = key
        self._version = version
        self._space = namespace.encode() + b"\0"

    def of(self, value: str) -> str:
        """The pseudonym; a user id that Keycloak federated (`f:<provider>:<id>`) counts as its `<id>`."""
        name = FEDERATED.sub("", value, count=1) if value.startswith("f:") else value
        digest = hmac.digest(self._key, self._space + name.encode(), "sha256")
        text = b32encode(digest[:PSEUDONYM_BYTES]).decode().rstrip("=").lower()
        return f"{self._version}:{text}"


def _action(rule: Rule, path: str, key: bytes, version: str) -> Action:
    match rule.action:
        case "remove":
            return lambda _raw, _doubt: None
        case "empty":
            return lambda raw, _doubt: empty(raw)
        case "keep_only":
            return partial(_only, keys=frozenset(rule.keys))
        case "hash":
            return _hashing(Pseudonyms(key, version, rule.namespace or path), frozenset({"", *rule.keep}))
        case "truncate_ip":
            return _rewording(truncate_addresses, ("ipv4", "ipv6"))
        case _:
            return _rewording(masker(rule.patterns, rule.regex), () if rule.regex else rule.patterns)


def _only(raw: msgspec.Raw, doubt: Doubt, *, keys: frozenset[str]) -> msgspec.Raw:
    return only(raw, doubt, keys)


def _hashing(pseudonyms: Pseudonyms, kept: frozenset[str]) -> Action:
    remembered = lru_cache(REMEMBERED)(pseudonyms.of)

    def change(raw: msgspec.Raw) -> msgspec.Raw:
        value = text_of(raw)
        if value is None or value in kept:
            return raw
        name = remembered(value) if len(value) <= LONGEST_REMEMBERED else pseudonyms.of(value)
        return write(name)

    return lambda raw, doubt: leaves(raw, doubt, change)


def _rewording(reword: Callable[[str], str], sought: tuple[str, ...]) -> Action:
    """Put `reword` to every text; `sought` names the patterns without which it would change nothing."""

    def change(raw: msgspec.Raw) -> msgspec.Raw:
        if kind_of(raw) != TEXT:
            return raw
        old = msgspec.json.decode(raw, type=str)
        new = reword(old)
        return raw if new == old else write(new)

    def action(raw: msgspec.Raw, doubt: Doubt) -> msgspec.Raw:
        plain = bytes(raw)  # without a backslash its texts stand in it as they are
        if sought and b"\\" not in plain and absent(sought, plain.decode()):
            return raw
        return leaves(raw, doubt, change)

    return action


@hookimpl
def bridge_stages() -> list[type[Stage[Any]]]:
    """The stage `redact`."""
    return [RedactStage]
