"""Files as a journal: JSON Lines, plain, `.gz` or `.zst`, read in place and never changed."""

from __future__ import annotations

import glob
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from bridge.errors import BridgeError
from bridge.hookspecs import hookimpl
from bridge.journals.base import Journal, JournalConfig, JournalContext, Lag, Page, Reader
from bridge.journals.cursors import Cursors
from bridge.journals.recent import RecentPages
from bridge.journals.sources import Source, open_source
from bridge.paths import ConfigPath

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.journals.base import Start

__all__ = ["FileJournal", "FileJournalConfig"]

log = logging.getLogger(__name__)

SCAN_EVERY = 1.0
NOBODY = ""  # a pipeline without cursors, for looking at the files as if for the first time
SUFFIXES = (".jsonl", ".ndjson", ".json", ".log", ".gz", ".zst")


class FileJournalConfig(JournalConfig):
    """`[journal] type = "file"`."""

    path: ConfigPath = Field(
        min_length=1,
        description="A file, a folder (its .jsonl, .ndjson, .json, .log, .gz and .zst files) or a glob; "
        "include rotated names.",
    )
    follow: bool = Field(
        default=False,
        description="Keep waiting for new lines and new files; a last line without newline waits too.",
    )


class FileReader(Reader):
    """One pipeline's place in the files, taken in order of their names."""

    def __init__(
        self, config: FileJournalConfig, cursors: Cursors, start: Start, recent: RecentPages | None = None
    ) -> None:
        """`recent` holds pages that other pipelines have read."""
        self._recent = recent or RecentPages()
        self._config = config
        self._cursors = cursors
        self._known = cursors.load()
        self._start: Start = "earliest" if self._known else start
        self._sources: dict[str, Source] = {}
        self._failed: set[Path] = set()
        self._inodes: dict[Path, int] = {}
        self._scanned = 0.0
        self._scan()
        self._start = "earliest"  # whatever appears from now on is new

    def read(self, timeout: float) -> Page | None:  # noqa: ARG002 - files cannot be waited for
        """The next page of the first file that has one."""
        if self._config.follow and time.monotonic() - self._scanned >= SCAN_EVERY:
            self._scan()
        for source in list(self._sources.values()):
            page = self._page(source)
            if page is not None:
                return page
        return None

    def commit(self, cursors: Mapping[str, int]) -> None:
        """Store the offsets with the next group commit."""
        self._known.update(cursors)
        details = {stream: str(self._sources[stream].path) for stream in cursors if stream in self._sources}
        self._cursors.commit(cursors, details)

    def positions(self) -> dict[str, int]:
        """Where each file is read next, by stream."""
        return {stream: source.offset for stream, source in self._sources.items()}

    def paths(self) -> dict[str, str]:
        """What each file is called now, by stream."""
        return {stream: str(source.path) for stream, source in self._sources.items()}

    def rewind(self, cursors: Mapping[str, int]) -> None:
        """Read these files again from these offsets."""
        for stream, offset in cursors.items():
            self._sources[stream].seek(offset)

    def at_end(self) -> bool:
        """Whether every file was read to its end."""
        return all(source.ended for source in self._sources.values())

    def lag(self) -> Lag:
        """Bytes not read yet."""
        return Lag(bytes=sum(source.remaining() for source in self._sources.values()))

    def close(self) -> None:
        """Wait for the last cursor and close the files."""
        self._cursors.flush()
        for source in self._sources.values():
            source.close()
        self._sources.clear()

    def _page(self, source: Source) -> Page | None:
        if source.ended and not self._config.follow:
            return None
        try:
            if self._config.follow and source.truncated():
                log.warning("%s was truncated; it is read from its start", source.path)
                self._restart(source)
                return None
            return self._shared(source) or self._read(source)
        except BridgeError as error:
            log.error("%s; the rest of this file is left for later", error)  # noqa: TRY400 - the sentence says it all
            self._failed.add(source.path)
            self._sources.pop(source.stream).close()
            return None

    def _shared(self, source: Source) -> Page | None:
        """The page as a neighbour has read it; a compressed file has no way to skip it."""
        page = None if source.compressed else self._recent.find(source.stream, source.offset)
        if page is not None:
            source.seek(page.end)
        return page

    def _read(self, source: Source) -> Page | None:
        page = source.page(whole_lines=self._config.follow)
        return page if page is None or source.compressed else self._recent.keep(page)

    def _restart(self, source: Source) -> None:
        """A truncated file starts a new stream, so that what is in flight of the old one still settles."""
        self._sources.pop(source.stream).close()
        self._inodes.pop(source.path, None)
        base, generation = _generation(source.stream)
        self._known[f"{base}~{generation + 1}"] = 0
        self._scanned = 0.0

    def _scan(self) -> None:
        self._scanned = time.monotonic()
        for path in find_files(self._config.path):
            inode = _inode(path)
            if inode is not None and self._inodes.get(path) != inode and path not in self._failed:
                self._adopt(path, inode)

    def _adopt(self, path: Path, inode: int) -> None:
        try:
            source = open_source(path, whole_lines=self._config.follow)
        except BridgeError as error:
            log.error("%s", error)  # noqa: TRY400 - the sentence says it all
            self._failed.add(path)
            return
        if source is None:
            return
        self._inodes[path] = inode
        generations = [known for known in self._known if _generation(known)[0] == source.stream]
        source.stream = max(generations, key=_generation, default=source.stream)
        if source.stream in self._sources:
            source.close()  # renamed while we read it: it is still open under its old name
            return
        if self._start == "latest" and source.stream not in self._known:
            source.seek_end()
        else:
            source.seek(self._known.get(source.stream, 0))
        self._sources[source.stream] = source


def _generation(stream: str) -> tuple[str, int]:
    base, _, generation = stream.partition("~")
    return base, int(generation or 0)


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


class FileJournal(Journal):
    """JSON Lines files, read in place."""

    name: ClassVar[str] = "file"
    config_type: ClassVar[type[JournalConfig]] = FileJournalConfig
    config: FileJournalConfig

    def __init__(self, config: JournalConfig, context: JournalContext) -> None:
        super().__init__(config, context)
        self._recent = RecentPages()

    def reader(self, pipeline: str, start: Start, wake: Callable[[], None]) -> FileReader:  # noqa: ARG002 - nothing wakes
        """A reader at the pipeline's offsets."""
        if not find_files(self.config.path) and not self.config.follow:
            raise BridgeError(self._nothing_there())
        cursors = Cursors(self.context.state, pipeline)
        begun = bool(cursors.load())
        reader = FileReader(self.config, cursors, start, self._recent)
        if start == "latest" and not begun:
            reader.commit(reader.positions())  # a restart must not skip what comes in between
        return reader

    def places(self, start: Start) -> dict[str, tuple[int, str]]:
        """The beginning of every file, or its last whole line's end; the name is its path."""
        reader = FileReader(self.config, Cursors(self.context.state, NOBODY), start)
        places = reader.positions()
        paths = reader.paths()
        reader.close()
        return {stream: (position, paths[stream]) for stream, position in places.items()}

    def check(self) -> str:
        """Say how many files there are."""
        found = find_files(self.config.path)
        if not found:
            raise BridgeError(self._nothing_there())
        return f"{len(found)} files, {sum(path.stat().st_size for path in found)} bytes at {self.config.path}"

    def _nothing_there(self) -> str:
        return f"journal.path: no file at {self.config.path} (write a file, a folder or a glob that exists)"


def find_files(path: str) -> list[Path]:
    """The files a `path` setting means, ordered by name."""
    place = Path(path).expanduser()
    if place.is_dir():
        return sorted(file for file in place.iterdir() if file.is_file() and file.suffix in SUFFIXES)
    if place.is_file():
        return [place]
    found = glob.glob(str(place), recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
    return sorted(Path(name) for name in found if Path(name).is_file())


@hookimpl
def bridge_journals() -> list[type[Journal]]:
    """Offer the journal type `file`."""
    return [FileJournal]
