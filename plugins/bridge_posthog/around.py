"""What stands around `edata`: when it happened, who did it, on what, in which relations. Pure.

Neighbours mostly share it, so it is found for runs of events; with the compiled part of the bridge,
what begins a run is found here, and the runs themselves there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bridge_posthog.moments import moment, moments
from bridge_posthog.settings import Settings
from bridge_posthog.surroundings import Places, correlated, placed, relations, tagged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridge.events import Event
    from bridge_posthog.config import PostHogConfig
    from bridge_posthog.settings import Setting
    from bridge_posthog.surroundings import Piece, Place
    from bridge_posthog.wire import Protocol

__all__ = ["Around", "Surroundings"]


class Around(NamedTuple):
    """Columns: times (ms), settings and their openings, places and their pieces, and relations.

    The last are None where they are not told. `overruled` are the indices of events whose device's
    clock was not believed.
    """

    times: list[int]
    overruled: list[int]
    settings: list[Setting]
    openings: list[Piece]
    places: list[Place]
    pieces: list[Piece]
    relations: list[Piece] | None


class Surroundings:
    """Finds what stands around events, for one configuration and one protocol."""

    def __init__(
        self, config: PostHogConfig, protocol: Protocol, hide: Callable[[str], str], native: Any
    ) -> None:
        self._settings = Settings(config, protocol, hide)
        self._places = Places(config, hide)
        self._related = config.properties == "flat"
        self._compiled = None if native is None else self._compile(native)

    def along(self, events: Sequence[Event]) -> Around:
        """The columns of some events; `EventError` if there is one without a time."""
        if self._compiled is not None:
            return Around(*self._compiled.along([*events]))
        times, overruled = moments(events)
        settings = self._settings.along(events, times)
        places = self._places.along(events, settings)
        return Around(
            times,
            overruled,
            settings,
            [setting.opening for setting in settings],
            places,
            [place.piece for place in places],
            relations(events) if self._related else None,
        )

    def _compile(self, native: Any) -> Any:
        return native.Around(
            moment=moment,
            setting=self._settings.of,
            place=self._places.of,
            grouped=self._places.grouped,
            related=(correlated, placed, tagged) if self._related else None,
        )
