"""What a telemetry SDK does: stamp each event with who, where and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

Json = dict[str, Any]


def uuid4(rng: Random) -> str:
    """Make a random UUID of version 4."""
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def token(rng: Random, digits: int = 16) -> str:
    """Make a random hexadecimal name."""
    return f"{rng.getrandbits(4 * digits):0{digits}x}"


class Recorder:
    """Records the events of one session; `clock` is the device's, in ms since the epoch.

    `mid` is the producer's way of writing message ids: a format of `eid`, `ms`, `uuid` and `hex`.
    """

    def __init__(self, rng: Random, clock: int, actor: Json, context: Json, mid: str = "{uuid}") -> None:
        self.rng = rng
        self.clock = clock
        self.actor = actor
        self.base = context
        self.context = context
        self.mid = mid
        self.events: list[Json] = []

    def enter(self, env: str, pid: str, cdata: list[Json]) -> None:
        """Go on in another part of the product, which names itself in `pdata.pid`."""
        pdata = {**self.base["pdata"], "pid": pid}
        self.context = {**self.base, "pdata": pdata, "env": env, "cdata": cdata}

    def record(self, eid: str, edata: Json, item: Json | None = None, after: float = 4.0) -> None:
        """Record an event about `after` seconds after the one before."""
        self.clock += 40 + int(2000 * after * self.rng.random())
        event = {
            "eid": eid,
            "ets": self.clock,
            "ver": "3.0",
            "mid": self._mid(eid),
            "actor": self.actor,
            "context": self.context,
            "object": item or {},
            "tags": [self.base["channel"]],
            "edata": edata,
        }
        self.events.append(event)

    def _mid(self, eid: str) -> str:
        if self.mid == "{uuid}":
            return uuid4(self.rng)
        return self.mid.format(eid=eid, ms=self.clock, uuid=uuid4(self.rng), hex=token(self.rng, 32))
