"""PostgreSQL: one row an event, written once however often it is delivered.

config    what operators write
rows      event → line of COPY                     pure
verdicts  SQLSTATE → what happens next             pure
sink      the only module that talks to a server
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridge import hookimpl
from bridge_postgresql.sink import PostgresqlSink

if TYPE_CHECKING:
    from bridge import Sink

__all__ = ["PostgresqlSink", "bridge_sinks"]


@hookimpl
def bridge_sinks() -> list[type[Sink[Any, Any]]]:
    """Offer the sink to the bridge."""
    return [PostgresqlSink]
