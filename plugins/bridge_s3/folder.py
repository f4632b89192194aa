"""An archive in a local folder: every object is on disk, by fsync, before it is acknowledged."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.errors import DeliveryError, SetupError, TransientError
from bridge_s3.bucket import Bucket

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Folder"]

PIECE = 1024 * 1024
STAGED = ".staged"
HOPELESS = frozenset(
    {
        errno.EACCES,
        errno.EISDIR,
        errno.ENAMETOOLONG,
        errno.ENOTDIR,
        errno.ENOTSUP,
        errno.EPERM,
        errno.EROFS,
    }
)


class Folder(Bucket):
    """Files below `root`, which is made when the first object is written.

    A file is written under another name, synced, then linked to its own: it is there whole
    or not at all, and a link, unlike a rename, never takes the place of another file.
    """

    def __init__(self, root: str) -> None:
        self._root = Path(root)
        self._synced: set[Path] = set()

    def create(self, key: str, parts: Sequence[bytes]) -> bool:
        """See `Bucket.create`."""
        path = self._path(key)
        try:
            staged = self._stage(path, parts)
            try:
                path.hardlink_to(staged)
            except FileExistsError:
                return False
            finally:
                staged.unlink()
            _sync(path.parent)
        except OSError as error:
            raise _failed("writing", error) from None
        return True

    def replace(self, key: str, parts: Sequence[bytes]) -> None:
        """See `Bucket.replace`."""
        path = self._path(key)
        try:
            self._stage(path, parts).replace(path)
            _sync(path.parent)
        except OSError as error:
            raise _failed("writing", error) from None

    def stream(self, key: str) -> Iterator[bytes] | None:
        """See `Bucket.stream`."""
        return self._pieces(key) if self.size(key) is not None else None

    def size(self, key: str) -> int | None:
        """See `Bucket.size`."""
        try:
            return self._path(key).stat().st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _failed("reading", error) from None

    def keys(self, folder: str, after: str = "") -> Iterator[str]:
        """See `Bucket.keys`."""
        try:
            found = sorted(self._below(self._path(folder)))
        except OSError as error:
            raise _failed("listing", error) from None
        return (key for key in found if key > after)

    def probe(self) -> bool:
        """See `Bucket.probe`; `SetupError` if nothing can be written here either."""
        place = next(place for place in (self._root, *self._root.absolute().parents) if place.exists())
        if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
            raise SetupError(f"{place} is not a folder that can be written to")
        return super().probe()

    def _below(self, folder: Path) -> Iterator[str]:
        for place, folders, names in os.walk(folder, onerror=_unless_absent):
            folders[:] = [name for name in folders if name != STAGED]
            for name in names:
                yield (Path(place) / name).relative_to(self._root).as_posix()

    def _path(self, key: str) -> Path:
        parts = key.split("/") if key else []
        if any(part in {"", ".", ".."} or "\0" in part for part in parts):
            raise SetupError("a key must not hold empty, . or .. segments")
        return self._root.joinpath(*parts)

    def _stage(self, path: Path, parts: Sequence[bytes]) -> Path:
        self._make(path.parent)
        self._make(self._root / STAGED)
        staged = self._root / STAGED / f"{os.getpid()}-{threading.get_native_id()}"
        with staged.open("wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        return staged

    def _make(self, folder: Path) -> None:
        """Make the folder, and every new name on the way to it durable."""
        if folder in self._synced:
            return
        line = [folder, *folder.parents]
        new = {place for place in line if place.is_relative_to(self._root) or not place.exists()}
        folder.mkdir(parents=True, exist_ok=True)
        for place in line:
            if place in new - self._synced:
                _sync(place.parent)
        self._synced |= new

    def _pieces(self, key: str) -> Iterator[bytes]:
        try:
            with self._path(key).open("rb") as file:
                while piece := file.read(PIECE):
                    yield piece
        except OSError as error:
            raise _failed("reading", error) from None


def _failed(verb: str, error: OSError) -> DeliveryError:
    kind = SetupError if error.errno in HOPELESS else TransientError
    return kind(f"{verb} failed: {error.strerror}")


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
