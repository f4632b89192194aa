"""What operators write below `[sinks.<id>] type = "postgresql"`."""

from __future__ import annotations

from pydantic import Field

from bridge import Secret, SinkConfig

__all__ = ["PostgresqlConfig"]


class PostgresqlConfig(SinkConfig):
    """One table of one database."""

    dsn: Secret = Field(
        description="postgresql://user:password@host/database, or key=value pairs; write env:NAME"
    )
    table: str = Field(
        default="sunbird_events",
        pattern=r"^[a-z_][a-z0-9_]{0,62}(\.[a-z_][a-z0-9_]{0,62})?$",
        description="the table, or schema.table; `bridge check --setup` creates it",
    )
    connect_timeout: int = Field(default=5, ge=1, le=60, description="seconds to connect")
    deadline: float = Field(default=30.0, gt=0, le=600, description="seconds for one statement")
