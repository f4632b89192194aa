"""Which events: globs over three fields of an event, as `[sinks.<id>.route]` and stages have them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Glob", "Patterns", "RouteSettings", "Table"]

Glob = Annotated[str, Field(min_length=1)]


class Table(BaseModel):
    """Base of every host table: unknown keys are refused, values are frozen, input is never shown."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)


class Patterns(Table):
    """Globs over three fields of an event; an empty list says nothing about its field."""

    eids: tuple[Glob, ...] = Field(
        default=(),
        description="Leave out events whose `eid` matches one of these globs.",
        examples=[["ERROR"]],
    )
    channels: tuple[Glob, ...] = Field(
        default=(),
        description="Leave out events whose `context.channel` matches one of these globs.",
        examples=[["test-*"]],
    )
    producers: tuple[Glob, ...] = Field(
        default=(),
        description="Leave out events whose `context.pdata.id` matches one of these globs.",
        examples=[["*.staging"]],
    )


class RouteSettings(Table):
    """Which events a sink gets: every field that has globs must match one of them."""

    eids: tuple[Glob, ...] = Field(
        default=(),
        description="Only events whose `eid` matches one of these globs; empty = all.",
        examples=[["ASSESS", "INT*"]],
    )
    channels: tuple[Glob, ...] = Field(
        default=(),
        description="Only events whose `context.channel` matches; empty = all.",
        examples=[["state-*"]],
    )
    producers: tuple[Glob, ...] = Field(
        default=(),
        description="Only events whose `context.pdata.id` matches; empty = all.",
        examples=[["*.app"]],
    )
    exclude: Patterns = Field(default=Patterns(), description="Events that match any of these are left out.")
