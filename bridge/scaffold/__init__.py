"""The projects that `bridge new` copies: `common/` and `sink/`, `stage/` or `journal/`, with placeholders."""

from __future__ import annotations

from bridge.scaffold.project import KINDS, Kind, Names, create

__all__ = ["KINDS", "Kind", "Names", "create"]
