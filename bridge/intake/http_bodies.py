"""Request bodies as they come in: held while small enough, inflated while honest, refused at once otherwise.

Every byte that is held counts against one budget for all requests, so that no number of
clients can fill the memory.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from bridge.intake.http_answers import Refused

if TYPE_CHECKING:
    from bridge.configuration.intake import HttpLimits

__all__ = ["Body", "Budget", "GzipBody"]

GZIP_FORMAT = 31
SLICE = 64 * 1024
HARMLESS = 64 * 1024  # so short a text is no bomb, however well it was compressed
TOO_LONG, BUSY, BAD_REQUEST = 413, 503, 400


class Budget:
    """Bytes that all requests under way may hold together."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def take(self, size: int) -> None:
        """Count `size` bytes in; `Refused` (503) if they are too many."""
        if self.used + size > self.limit:
            raise Refused(BUSY, "too much is being received at once; try again soon", after=1)
        self.used += size

    def give(self, size: int) -> None:
        """Count `size` bytes out."""
        self.used -= size


class Body:
    """A body sent as it is. `feed` pieces, `close` for the whole, `release` once it is settled."""

    def __init__(self, limits: HttpLimits, budget: Budget) -> None:
        self._limit = limits.body_bytes
        self._budget = budget
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> None:
        """Take a piece; `Refused` if the body gets too long, or everybody's together."""
        self._hold(piece)

    def close(self) -> bytes:
        """The whole body; it counts as held until `release`."""
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def release(self) -> None:
        """Let go of everything; may be called again."""
        self._budget.give(self._size)
        self._size = 0
        self._pieces = []

    def _hold(self, piece: bytes) -> None:
        if self._size + len(piece) > self._limit:
            raise Refused(TOO_LONG, f"send at most {self._limit} bytes at once")
        self._budget.take(len(piece))
        self._size += len(piece)
        self._pieces.append(piece)


class GzipBody(Body):
    """A body of one gzip member, inflated piece by piece so that a bomb is noticed while it is small."""

    def __init__(self, limits: HttpLimits, budget: Budget) -> None:
        super().__init__(limits, budget)
        self._most = limits.compressed_bytes
        self._ratio = limits.ratio
        self._received = 0
        self._inflate = zlib.decompressobj(GZIP_FORMAT)

    def feed(self, piece: bytes) -> None:
        """Inflate a piece; `Refused` also if this is not gzip, or unpacks to something absurdly long."""
        self._received += len(piece)
        if self._received > self._most:
            raise Refused(TOO_LONG, f"send at most {self._most} compressed bytes at once")
        if self._inflate.eof:
            raise Refused(BAD_REQUEST, "the gzip body goes on after its end")
        while True:
            piece = self._inflated(piece)
            if not piece:
                break
        if self._inflate.unused_data:
            raise Refused(BAD_REQUEST, "the gzip body goes on after its end")

    def close(self) -> bytes:
        """The whole text; `Refused` if its end is missing."""
        if not self._inflate.eof:
            raise Refused(BAD_REQUEST, "the gzip body is cut off")
        return super().close()

    def _inflated(self, piece: bytes) -> bytes:
        """Hold the next slice of the text; returns what is left of the piece."""
        try:
            text = self._inflate.decompress(piece, SLICE)
        except zlib.error:
            raise Refused(BAD_REQUEST, "the body is not gzip, although Content-Encoding says so") from None
        self._hold(text)
        left = self._inflate.unconsumed_tail
        if self._size > HARMLESS and self._size > self._ratio * (self._received - len(left)):
            raise Refused(TOO_LONG, f"the body is compressed more than {self._ratio} times")
        return left
