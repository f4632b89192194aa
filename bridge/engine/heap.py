"""The C heap of a process that holds events: it gives back what is not used any more.

Payloads come and go by the thousand, in every sender's thread and in the Kafka client's. glibc
would keep an arena for each of these threads, and after the first large buffer was freed it would
keep such buffers too: about a third more memory for the same events, at the same speed (measured).
"""

from __future__ import annotations

import ctypes
import os
from functools import cache

__all__ = ["keep_small"]

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD, ARENA_MAX = -1, -2, -3, -8  # <malloc.h>
LARGE = SPARE = 1024 * 1024  # below it, pages and bodies are mapped anew: 1 to 2 µs an event in page faults


@cache
def keep_small() -> bool:
    """Tell glibc once, before there are threads; False where there is another allocator.

    `MALLOC_ARENA_MAX` and `MALLOC_MMAP_THRESHOLD_` in the environment keep their word.
    """
    tell = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if tell is None:
        return False
    wanted = {
        "MALLOC_ARENA_MAX": (ARENA_MAX, 1),
        "MALLOC_MMAP_THRESHOLD_": (MMAP_THRESHOLD, LARGE),
        "MALLOC_TOP_PAD_": (TOP_PAD, SPARE),
        "MALLOC_TRIM_THRESHOLD_": (TRIM_THRESHOLD, 4 * SPARE),
    }
    return all(bool(tell(*option)) for name, option in wanted.items() if name not in os.environ)
