"""The three levels of validation, and the rules of each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from bridge import schemas

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.schemas import Rule

__all__ = ["RULES", "Level", "Rules"]


class Level(StrEnum):
    """How much of an event must be as the official schemas say."""

    STRICT = "strict"
    """The official v3 schemas exactly; unknown eids are refused."""
    LENIENT = "lenient"
    """The official types and required keys; more keys in edata and unknown eids pass."""
    ENVELOPE = "envelope"
    """Only what identity and routing read."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a level wants: of the `head`, of the `edata` of each eid, and of that of `other` eids.

    Without `edata` only the head counts. With it, an eid it does not know is refused unless there
    is a rule for `other` ones.
    """

    head: Rule
    edata: Mapping[str, Rule] | None = None
    other: Rule | None = None


RULES = {
    Level.STRICT: Rules(schemas.HEAD, schemas.EDATA),
    Level.LENIENT: Rules(schemas.HEAD, schemas.EDATA_EXTENDED, schemas.OBJECT),
    Level.ENVELOPE: Rules(schemas.ROUTING),
}
