"""The `[intake.folder]` table: files that people put into a folder are imported while the bridge runs."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from bridge.paths import ConfigPath

__all__ = ["FolderIntakeSettings"]


class FolderIntakeSettings(BaseModel):
    """The `[intake.folder]` table."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    enabled: bool = Field(default=False, description="Import files that are put into a folder.")
    path: ConfigPath = Field(
        default="inbox",
        min_length=1,
        validate_default=True,
        description="The folder, relative to this file; files go on to done/ and failed/ in it.",
    )
    every: float = Field(default=2.0, gt=0, description="Seconds between two looks into the folder.")
    settle: float = Field(
        default=5.0, ge=0, description="Seconds a file must not have changed before it is taken."
    )
