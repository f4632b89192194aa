"""What Sunbird's pipeline adds to events: where the device is, and who the user is. Pure.

Present only on the de-normalised topic. The whole event has to be decoded for it, so it is
read only where the configuration asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridge_posthog.values import snake, tame, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge_posthog.values import Properties

__all__ = ["add_place", "person_properties"]

_PLACES = {
    "countrycode": "$geoip_country_code",
    "country": "$geoip_country_name",
    "statecode": "$geoip_subdivision_1_code",
    "state": "$geoip_subdivision_1_name",
    "city": "$geoip_city_name",
}


def add_place(document: Mapping[str, Any], out: Properties) -> None:
    """Add the device's country, state and city under PostHog's names."""
    device = document.get("devicedata")
    if not isinstance(device, dict):
        return
    for key, name in _PLACES.items():
        value = text(device.get(key))
        if value:
            out[name] = value


def person_properties(document: Mapping[str, Any], keys: Sequence[str]) -> Properties:
    """The chosen keys of `userdata`, in snake_case, to be set on the person."""
    user = document.get("userdata")
    if not isinstance(user, dict):
        return {}
    return {snake(key): tame(user[key]) for key in keys if user.get(key) not in (None, "", [])}
