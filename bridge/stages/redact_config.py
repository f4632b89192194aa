"""What operators write under `[stages.<id>] type = "redact"`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bridge.secrets import Secret
from bridge.stages.base import StageConfig
from bridge.stages.jsonpaths import ChangedPaths, automaton, parse
from bridge.stages.regexes import check_regex

__all__ = ["PRESETS", "PresetName", "RedactConfig", "Rule"]

SHORTEST_KEY = 16

Name = Annotated[str, Field(min_length=1)]
PatternName = Literal["email", "phone", "aadhaar", "ipv4", "ipv6"]
PresetName = Literal["learner_answers", "free_text", "contacts", "profiles", "identifiers"]


class Rule(BaseModel):
    """`[[stages.<id>.rules]]`: what happens at some places of an event."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    paths: tuple[ChangedPaths, ...] = Field(
        description="Places in the event, keys with dots between them; * is any key or item, ** any depth.",
        examples=[["actor.id", "edata.**.comments"]],
    )
    action: Literal["remove", "empty", "hash", "mask", "truncate_ip", "keep_only"] = Field(
        description='remove; empty ("", [], {}, 0); hash (a keyed pseudonym); mask (patterns in texts); '
        "truncate_ip (addresses to /24 and /48); keep_only (these keys of an object)."
    )
    namespace: str = Field(
        default="",
        description="hash: equal values get equal pseudonyms within one namespace; empty = the path.",
        examples=["person"],
    )
    keep: tuple[str, ...] = Field(
        default=("anonymous",),
        description="hash: values that stay because they stand for nobody; blank ones always do.",
    )
    patterns: tuple[PatternName, ...] = Field(
        default=(), description="mask: what to look for in texts.", examples=[["email", "phone"]]
    )
    regex: tuple[Annotated[str, AfterValidator(check_regex)], ...] = Field(
        default=(),
        description="mask: further things to look for, as regular expressions whose repeats have limits.",
        examples=[["EMP\\d{4,8}"]],
    )
    keys: tuple[Name, ...] = Field(
        default=(), description="keep_only: the keys that stay.", examples=[["type", "pageid"]]
    )

    @model_validator(mode="after")
    def _fits_its_action(self) -> Self:
        if not self.paths:
            raise ValueError('name at least one path, for example paths = ["actor.id"]')
        for action, names in _OPTIONS.items():
            if stray := [name for name in names if name in self.model_fields_set and self.action != action]:
                raise ValueError(f'{stray[0]} belongs to action = "{action}"; leave it out')
        if self.action == "mask" and not (self.patterns or self.regex):
            raise ValueError('say what to mask, for example patterns = ["email", "phone"]')
        if self.action == "keep_only" and not self.keys:
            raise ValueError('say which keys stay, for example keys = ["type", "pageid"]')
        return self


_OPTIONS = {"hash": ("namespace", "keep"), "mask": ("patterns", "regex"), "keep_only": ("keys",)}

PRESETS: dict[str, tuple[Rule, ...]] = {
    "learner_answers": (
        Rule(paths=("edata.resvalues", "edata.values", "edata.extra.values"), action="empty"),
    ),
    "free_text": (Rule(paths=("edata.comments", "edata.commenttxt", "edata.query"), action="empty"),),
    "contacts": (Rule(paths=("edata",), action="mask", patterns=("email", "phone", "aadhaar")),),
    "profiles": (
        Rule(
            paths=(
                "edata.dspec",
                "edata.uaspec",
                "edata.loc",
                "userdata",
                "devicedata",
                "derivedlocationdata",
            ),
            action="remove",
        ),
        Rule(paths=("edata.data",), action="empty"),
    ),
    "identifiers": (
        Rule(
            paths=("actor.id", "context.did", "context.sid", "edata.dspec.id"),
            action="hash",
            namespace="identifier",
            keep=("anonymous", "null", "undefined", "0", "1"),
        ),
    ),
}


class RedactConfig(StageConfig):
    """Personal data taken out of events, or made unreadable, before a sink gets them."""

    presets: tuple[PresetName, ...] = Field(
        default=(),
        description="Rules that come with the bridge; docs/stages.md says what each does.",
        examples=[["learner_answers", "free_text"]],
    )
    rules: tuple[Rule, ...] = Field(
        default=(),
        description="What happens where; written as tables [[stages.<id>.rules]].",
        examples=[[{"paths": ["actor.id", "context.did"], "action": "hash"}]],
    )
    key: Secret | None = Field(
        default=None, description='Key of the pseudonyms that action = "hash" makes, 16 characters or more.'
    )
    key_version: str = Field(
        default="k1",
        pattern=r"^[a-z0-9]{1,8}$",
        description="Stands in front of each pseudonym; change it together with the key.",
    )

    @property
    def all_rules(self) -> tuple[Rule, ...]:
        """The rules of the presets, then the others."""
        return tuple(rule for name in self.presets for rule in PRESETS[name]) + self.rules

    @field_validator("key")
    @classmethod
    def _long_enough(cls, key: Secret | None, info: ValidationInfo) -> Secret | None:
        places = (info.context or {}).get("places")
        if key and (places is None or places.resolve) and len(key.reveal()) < SHORTEST_KEY:
            raise ValueError(
                f"use a key of {SHORTEST_KEY} characters or more, for example from: openssl rand -hex 32"
            )
        return key

    @model_validator(mode="after")
    def _complete(self) -> Self:
        rules = self.all_rules
        if not rules:
            raise ValueError('say what to redact: write rules, or presets = ["learner_answers"]')
        if self.key is None and any(rule.action == "hash" for rule in rules):
            raise ValueError('hash needs a key: write key = "env:REDACT_KEY" and set that variable')
        automaton([parse(path) for rule in rules for path in rule.paths])
        return self
