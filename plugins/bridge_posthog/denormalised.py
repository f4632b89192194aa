"""What Sunbird's pipeline adds to events: where the device is, and who the user is. Pure.

Present only on the de-normalised topic. The whole event has to be decoded for it, so it is
read only where the configuration asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridge_posthog.tokens import dump, snake, tame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge_posthog.tokens import Draft

__all__ = ["add_place", "person_properties"]

_PLACES = {
    "countrycode": "$geoip_country_code",
    "country": "$geoip_country_name",
    "statecode": "$geoip_subdivision_1_code",
    "state": "$geoip_subdivision_1_name",
    "city": "$geoip_city_name",
}


def add_place(document: Mapping[str, Any], draft: Draft) -> None:
    """Add the device's country, state and city under PostHog's names."""
    device = _object(document, "devicedata")
    for key, name in _PLACES.items():
        if isinstance(value := device.get(key), str) and value:
            draft.add(name, value)


def person_properties(document: Mapping[str, Any], keys: Sequence[str]) -> bytes:
    """The chosen keys of `userdata`, in snake_case, as the object of `$set`; blank if there are none."""
    user = _object(document, "userdata")
    chosen = {snake(key): user[key] for key in keys if user.get(key) not in (None, "", [])}
    return tame(dump(chosen)) if chosen else b""


def _object(source: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = source.get(key)
    return found if isinstance(found, dict) else {}
