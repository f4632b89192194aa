"""The compiled hot loops, `bridge_native`: used where they are installed, and never needed.

They give what the Python ones give. `BRIDGE_PURE=1` in the environment leaves them out.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["compiled"]

API = 2
"""The `API` of the modules that this bridge works with."""
_NAME, _PROJECT, _REMEDY = "bridge_native", "sunbird-bridge-native", "run `make native`"


@dataclass(frozen=True, slots=True)
class Found:
    """The compiled module, None where Python does its work; and one line that says which and why.

    It is `flawed` if there is a module that cannot be used.
    """

    module: Any
    text: str
    flawed: bool = False


def find(
    environ: Mapping[str, str], load: Callable[[str], Any] = importlib.import_module, wanted: int = API
) -> Found:
    """Look for the compiled module; one that cannot be used is left alone."""
    if environ.get("BRIDGE_PURE") == "1":
        return Found(None, "pure Python (BRIDGE_PURE=1)")
    try:
        module = load(_NAME)
    except ModuleNotFoundError as error:
        if error.name == _NAME:
            return Found(None, "pure Python")
        return _flawed("is not whole")
    except ImportError:
        return _flawed("was built for another Python or system")
    found = getattr(module, "API", None)
    if found != wanted:
        return _flawed(f"has API {found} where {wanted} is wanted")
    return Found(module, f"compiled ({_NAME} {_version()})")


def _flawed(why: str) -> Found:
    return Found(None, f"pure Python ({_NAME} {why}: {_REMEDY})", flawed=True)


def _version() -> str:
    try:
        return version(_PROJECT)
    except PackageNotFoundError:
        return "of unknown version"


FOUND = find(os.environ)


def compiled() -> Any:
    """The module `bridge_native`, which belongs to this version of the bridge; None without it."""
    return FOUND.module
