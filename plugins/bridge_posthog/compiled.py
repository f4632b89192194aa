"""The form of an event type for the compiled part of the bridge, which reads and writes it in one pass.

What it is not sure of it leaves out; then the form itself reads the event, with the same result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridge_posthog.converters import Columns, Pairs, as_merged
from bridge_posthog.rules import Kind, attribute
from bridge_posthog.tokens import StrictDraft, load, prefix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge_posthog.forms import Converter, Form, Made
    from bridge_posthog.tokens import Draft

__all__ = ["compiled_form"]

_SPOKEN = frozenset({Kind.TEXT, Kind.MADE})  # kinds of values whose words the compiled part can give


def compiled_form(
    native: Any, form: Form, words: Sequence[Sequence[str]], draft: type[Draft], *, told: bool
) -> Any:
    """What tells as the form does, and gives the words at some paths of keys, made by the module `native`.

    One that is not `told` gives the words only. None if it has no way to these words.
    """
    kinds = {plain.path: plain.kind for plain in form.plain} | {made.path: Kind.MADE for made in form.made}
    places = {path: place for place, path in enumerate(kinds)}
    paths = [".".join(map(attribute, path)) for path in words]
    if not all(kinds.get(path) in _SPOKEN for path in paths):
        return None
    return native.Form(
        keys=_tree(places),
        plain=[(prefix(one.name), one.kind.name, one.fits) for one in form.plain],
        made=[_made(*pair, draft) for pair in zip(form.made, form.converters, strict=True)],
        words=[places[path] for path in paths],
        load=load,
        open=form.is_part,
        told=told,
    )


def _tree(places: dict[str, int]) -> dict[str, Any]:
    """The places by key, an object within an object."""
    tree: dict[str, Any] = {}
    for path, place in places.items():
        *outer, key = (name.removesuffix("_") for name in path.split("."))
        inside = tree
        for name in outer:
            inside = inside.setdefault(name, {})
        inside[key] = place
    return tree


def _made(made: Made, converter: Converter, draft: type[Draft]) -> tuple[list[str], bytes, Any, Any]:
    """How a value is made, behind which prefix, by which function, and what helps with it."""
    put = made.rule.put
    if converter.make is not None:
        way = "merged" if made.rule.make is as_merged else "pure"
        return [way], made.name, converter.make, converter.kept

    def spill(token: bytes) -> tuple[bytes, bytes]:
        sheet = draft()
        return converter.drafted(token, sheet), sheet.rest()

    if draft is StrictDraft:
        return ["spilling"], made.name, spill, None
    if isinstance(put, Columns):
        return ["columns"], made.name, spill, put.prefix
    if isinstance(put, Pairs):
        return ["pairs", put.label, put.value], made.name, spill, put.prefix
    return ["spilling"], made.name, spill, None
