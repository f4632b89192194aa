"""The `s3` sink: an archive of objects in S3, a folder, Google Cloud Storage or Azure.

Every event of a range of the journal lands in exactly one object, whatever crashes, and the
archive can prove it: see `docs/sinks/s3.md` and `docs/decisions/0005-plan-chain.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridge.hookspecs import hookimpl
from bridge_s3.config import S3Config
from bridge_s3.sink import S3Sink
from bridge_s3.verify import Report, verify

if TYPE_CHECKING:
    from bridge.sinks import Sink

__all__ = ["Report", "S3Config", "S3Sink", "verify"]


@hookimpl
def bridge_sinks() -> list[type[Sink[Any, Any]]]:
    """Offer the sink behind `type = "s3"`."""
    return [S3Sink]
