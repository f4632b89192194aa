"""Files of JSON Lines, plain or compressed, read from any byte offset in pages that cut alike."""

from __future__ import annotations

import os
import zlib
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any, cast

import xxhash
import zstandard
from isal import igzip

from bridge import native
from bridge.errors import BridgeError
from bridge.journals.base import Page

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Source", "cut_lines", "open_source"]

BLOCK = 256 * 1024  # a page and what is made of it stay in the processor's cache: 10 % of a sink's time
FINGERPRINT_BYTES = 1_024
BLANK = frozenset({b"", b"\r"})
DAMAGE = (EOFError, OSError, ValueError, zlib.error, zstandard.ZstdError)


class _ZstdFile:
    """A Zstandard file of any number of frames, read forwards."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._reader = zstandard.ZstdDecompressor().stream_reader(self._file, read_across_frames=True)

    def read(self, size: int) -> bytes:
        return self._reader.read(size)

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()


class Source:
    """One file: `stream` names its content, whatever the file is called after a rotation.

    Offsets are bytes of the (decompressed) content. Pages end at the last line before a
    multiple of 256 KiB, so pipelines that read the same file cut it into the same pages.
    """

    def __init__(self, path: Path, handle: IO[bytes], stream: str, *, compressed: bool) -> None:
        self.path = path
        self.stream = stream
        self.compressed = compressed
        self.offset = 0
        self.ended = False
        self._handle = handle
        self._buffer = b""

    def seek(self, offset: int) -> None:
        """Continue at `offset`; a compressed file is read again up to there."""
        self.offset = offset
        self.ended = False
        self._buffer = b""
        if self.compressed:
            self._handle.close()
            self._handle, _ = _open(self.path)
            while offset > 0 and (skipped := len(self._read(min(offset, BLOCK), 0))):
                offset -= skipped

    def seek_end(self) -> None:
        """Continue behind the last whole line."""
        at = 0 if self.compressed else max(0, os.fstat(self._handle.fileno()).st_size - BLOCK)
        self.seek(at)
        end = at
        while block := self._read(BLOCK, at):
            if b"\n" in block:
                end = at + block.rfind(b"\n") + 1
            at += len(block)
        self.seek(end)

    def page(self, *, whole_lines: bool) -> Page | None:
        """The next page, or None at the end; `whole_lines` leaves an unfinished last line for later."""
        lines, tail = cut_lines(self._fill())
        unfinished = not lines and bool(tail) and not whole_lines
        if unfinished:
            lines, tail = [tail], b""
        self._buffer = tail if self.compressed else b""
        self.ended = not lines
        return self._cut(lines, unfinished=unfinished) if lines else None

    def _cut(self, lines: list[bytes], *, unfinished: bool) -> Page:
        begin = self.offset
        size = sum(map(len, lines)) + len(lines) - unfinished
        self.offset += size
        if not unfinished and b"" not in lines and b"\r" not in lines:  # a set would hash every line
            return Page(self.stream, begin, self.offset, lines, size)
        return _page_with_gaps(self.stream, begin, lines, size)

    def truncated(self) -> bool:
        """Whether the file has become shorter than what was read of it."""
        return not self.compressed and os.fstat(self._handle.fileno()).st_size < self.offset

    def remaining(self) -> int:
        """Bytes not read yet; for a compressed file, of the file as it is on disk."""
        size = os.fstat(self._handle.fileno()).st_size
        if self.compressed:
            return 0 if self.ended else size
        return max(0, size - self.offset)

    def close(self) -> None:
        """Close the file."""
        self._handle.close()

    def _fill(self) -> bytes:
        """Content from `offset` to the next boundary, or further where a line is longer than that."""
        boundary = (self.offset + BLOCK // 2) // BLOCK * BLOCK + BLOCK
        data = self._buffer
        while True:
            missing = boundary - self.offset - len(data)
            more = self._read(missing, self.offset + len(data))
            data = data + more if data else more
            if len(more) < missing or b"\n" in more:
                return data
            boundary += BLOCK

    def _read(self, size: int, at: int) -> bytes:
        try:
            if not self.compressed:  # what was read of an unfinished line is simply read again
                return os.pread(self._handle.fileno(), size, at)
            return self._handle.read(size)
        except DAMAGE as error:
            raise BridgeError(
                f"{self.path}: damaged at byte {self.offset} of its content ({error})"
            ) from None


def open_source(path: Path, *, whole_lines: bool) -> Source | None:
    """Open a file; None if it is gone, empty, or (`whole_lines`) has no complete line to know it by yet."""
    try:
        handle, compressed = _open(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BridgeError(f"{path}: cannot be opened ({error.strerror})") from None
    try:
        head = handle.read(FINGERPRINT_BYTES)
        inode = os.fstat(handle.fileno()).st_ino
    except DAMAGE as error:
        handle.close()
        raise BridgeError(f"{path}: cannot be read ({error})") from None
    line, newline, _ = head.partition(b"\n")
    if not head or (whole_lines and not newline and len(head) < FINGERPRINT_BYTES):
        handle.close()
        return None
    source = Source(path, handle, f"{inode:x}-{xxhash.xxh3_64_hexdigest(line)}", compressed=compressed)
    source.seek(0)
    return source


def _open(path: Path) -> tuple[IO[bytes], bool]:
    if path.suffix == ".gz":
        return cast("IO[bytes]", igzip.IGzipFile(path, "rb")), True  # type: ignore[no-untyped-call]
    if path.suffix == ".zst":
        return cast("IO[bytes]", _ZstdFile(path)), True
    return path.open("rb", buffering=0), False


def cut_lines(data: bytes, module: Any = native.FOUND.module) -> tuple[list[bytes], bytes]:
    """The lines of a text, without their newlines, and what stands behind the last newline."""
    if module is not None:
        return cast("tuple[list[bytes], bytes]", module.lines(data))
    # half the time of `split`
    lines = [line[:-1] for line in BytesIO(data)]
    if not data or data.endswith(b"\n"):
        return lines, b""
    lines.pop()
    return lines, data[data.rfind(b"\n") + 1 :]


def _page_with_gaps(stream: str, begin: int, lines: list[bytes], size: int) -> Page:
    """A page with blank lines in it, or whose last line has no newline: positions are listed."""
    payloads: list[bytes] = []
    afters: list[int] = []
    at, end = begin, begin + size
    for line in lines:
        at = min(at + len(line) + 1, end)
        if line not in BLANK:
            payloads.append(line)
            afters.append(at)
    return Page(stream, begin, end, payloads, size, afters)
