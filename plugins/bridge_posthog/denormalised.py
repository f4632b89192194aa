"""What Sunbird's pipeline adds to events, and what else the head of an event does not hold. Pure.

The additions are present only on the de-normalised topic. The whole event has to be decoded
for them, so they are read only where the configuration asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridge_posthog.tokens import dump, snake, tame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge_posthog.tokens import Draft

__all__ = ["add_surroundings", "person_properties"]

_PLACES = {
    "countrycode": "$geoip_country_code",
    "country": "$geoip_country_name",
    "statecode": "$geoip_subdivision_1_code",
    "state": "$geoip_subdivision_1_name",
    "city": "$geoip_city_name",
}
_LEVELS = {f"l{level}": f"context_rollup_l{level}" for level in range(1, 5)}


def add_surroundings(document: Mapping[str, Any], draft: Draft) -> None:
    """Add the device's country, state and city under PostHog's names, and the tenant's hierarchy."""
    context = _object(document, "context")
    _add(_object(document, "devicedata"), _PLACES, draft)
    _add(_object(context, "rollup"), _LEVELS, draft)


def _add(source: Mapping[str, Any], names: Mapping[str, str], draft: Draft) -> None:
    for key, name in names.items():
        if isinstance(value := source.get(key), str) and value:
            draft.add(name, value)


def person_properties(document: Mapping[str, Any], keys: Sequence[str]) -> bytes:
    """The chosen keys of `userdata`, in snake_case, as the object of `$set`; blank if there are none."""
    user = _object(document, "userdata")
    chosen = {snake(key): user[key] for key in keys if user.get(key) not in (None, "", [])}
    return tame(dump(chosen)) if chosen else b""


def _object(source: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = source.get(key)
    return found if isinstance(found, dict) else {}
