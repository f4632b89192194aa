"""Paths in the configuration: a relative one starts from the configuration file's folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo

__all__ = ["ConfigPath", "from_config_folder"]


def from_config_folder(path: str, info: ValidationInfo) -> str:
    """`path` as it stands if it is absolute, else below the folder of the file it was written in."""
    places = (info.context or {}).get("places")
    expanded = Path(path).expanduser()
    if places is None or expanded.is_absolute():
        return str(expanded)
    return str(os.path.normpath(places.folder / expanded))


ConfigPath = Annotated[str, AfterValidator(from_config_folder)]
"""A path or glob in a plugin's configuration, as text."""
