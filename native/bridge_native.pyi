"""The hot loops of Sunbird Bridge, compiled.

Optional: `bridge.native` says whether the bridge uses them. What a method is not sure of it leaves
to Python, which decides; what it gives is what Python would have given.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

API: int
"""Goes up when an argument or a meaning changes; the bridge uses a module of its own number only."""

def join(into: Any, columns: Sequence[bytes | list[bytes]]) -> int:
    """Write the pieces of `columns` row by row, and say how many bytes they are.

    A column that is `bytes` is the same in every row. `into` is a buffer to be written to, from its
    beginning; nothing is written if they do not fit.

    Raises:
        TypeError: a piece is not of bytes.
        ValueError: the columns differ in length, or `into` cannot be written to.
    """

def joined(
    digests: list[bytes], times: list[int], columns: Sequence[list[bytes] | bytes]
) -> tuple[list[bytes], list[int]]:
    """PostHog events put together, and the indices of those with a backslash in them.

    Each begins with its uuid, from 16 bytes, and its time, from milliseconds since the epoch. Behind
    them stands a piece of each column, or the column itself where it is the same in all.

    Raises:
        ValueError: the lists differ in length, a digest is not of 16 bytes, or a time is beyond the calendar.
        TypeError: a column or a piece is none.
    """

def lines(text: bytes) -> tuple[list[bytes], bytes]:
    """The lines of a text without their newlines, and what stands behind the last newline."""

def spans(events: list[Any], unit: int, served: bool) -> tuple[list[int], list[int]]:
    """Which span of `unit` ms since 1970 each event lies in, and the places of events without an answer.

    0 stands for these. The time is the record time; if it is to be the one `served`, the server's, and
    the device's only without one.
    """

@final
class Reader:
    """Reads one event per payload at one level; safe to share between threads."""

    def __new__(
        cls,
        *,
        event: type[Any],
        absent: Any,
        eids: Mapping[str, Any] | None,
        other: Any,
        official: bool,
        longest: int,
        parts: Sequence[Callable[[bytes], Any]],
        refused: tuple[type[BaseException], ...],
    ) -> Reader:
        """Make a reader of the rules of a level.

        `event` is called with keywords; `absent` is what it holds where there is no `edata`, else the
        place of that in the payload (`start << 32 | end`). `eids` (a dict) has the rules of
        `bridge.schemas` for `edata` by type; None if any type and any `edata` goes. `other` is the
        rule of types that are not in it; None if there may be none. `official` wants `ver`, `actor`,
        `context` and `edata`. A payload of more than `longest` bytes is doubtful.

        The three `parts` recall actor, context and object by their text, and raise one of `refused`;
        anything else they raise goes through to the caller of `read`.

        Raises:
            TypeError: a rule is none of `bridge.schemas`, or a record of it has more than 64 keys.
        """

    def read(self, payloads: list[bytes]) -> tuple[list[Any], list[int]]:
        """The events, and the indices, rising, of payloads of which nothing is said; None stands for these.

        `digest` of each event is set to its identity.
        """

@final
class Form:
    """What becomes of one shape of JSON object; a `Teller` reads and writes by it."""

    def __new__(
        cls,
        *,
        keys: Mapping[str, Any],
        plain: Sequence[tuple[bytes, str, Any]],
        made: Sequence[tuple[list[str], bytes, Callable[..., Any], Callable[..., Any] | None]],
        words: Sequence[int],
        load: Callable[[bytes], Any],
        open: bool,  # noqa: A002 - a keyword
        told: bool,
    ) -> Form:
        """Make a form of its keys and of what becomes of their values.

        `keys` has the place of each key's rule (those of `made` count on behind those of `plain`), or
        a dict for an object. `plain` are (prefix, kind, fits or None). `made` are (way, prefix, function,
        what helps with it), the way one of

        * `pure`: the function gives members of a value, or None; the helper is the same with a memory;
        * `merged`: so does the function, where a list of objects cannot simply be made one;
        * `spilling`: the function gives members, and those that have to stand at the end;
        * `columns`, or `pairs` with the keys of label and value: the same, where a list of objects is
          not simple; the helper gives the prefix of a key.

        `words` are places, `load` decodes a text. An `open` form passes unknown keys by; one that is
        not `told` gives words only.
        """

@final
class Teller:
    """Tells of events by the forms of their types; safe to share between threads."""

    def __new__(
        cls,
        types: dict[
            str, tuple[bytes, bytes, Form | None, tuple[Callable[..., Any], Callable[..., Any]] | None]
        ],
        small: int,
    ) -> Teller:
        """`types` has for each eid its name, its piece of the properties, its form, and what names it.

        The form is None where nothing is told of the `edata`. What names an event takes its setting's
        `source` and the form's words ("" where there is none), and gives name and properties: a pure
        function with a memory, for events of up to `small` bytes, and without.
        """

    def tell(
        self, events: list[Any], settings: list[Any]
    ) -> tuple[list[bytes | None], list[bytes | None], list[bytes | None], list[int]]:
        """Columns of names, pieces and members, and the indices of events that are left.

        The columns hold None for those, of which Python has to tell.
        """

@final
class Around:
    """Finds what neighbouring events share; safe to share between threads."""

    def __new__(
        cls,
        *,
        moment: Callable[[Any], tuple[int, bool]],
        setting: Callable[[Any, int], tuple[Any, int, int]],
        place: Callable[[Any], Any],
        grouped: bool,
        related: tuple[Callable[[Any], bytes], Callable[[Any], bytes], Callable[[Any], bytes]] | None,
    ) -> Around:
        """Pure functions that find for one event what the next ones mostly share.

        `moment` gives the time (ms) of an unusual event and whether its clock was overruled; `setting`
        an event's setting at its time, and from when to when (ms) it holds; `place` its place, which
        object and channel decide unless it is `grouped` by more. `related` make pieces of a context's
        `cdata`, its `rollup` and an event's `tags`; None if these are not told.
        """

    def along(
        self, events: list[Any]
    ) -> tuple[list[int], list[int], list[Any], list[bytes], list[Any], list[bytes], list[bytes] | None]:
        """Times, the indices of overruled clocks, settings, openings, places, pieces, relations."""

@final
class Window:
    """Remembers at least the last `size` identities and at most twice as many; for one thread at a time."""

    size: int

    def __new__(cls, size: int) -> Window:
        """Make a window that knows nothing yet."""

    def fresh(self, identities: list[bytes]) -> list[bool] | None:
        """For each identity whether it is new, remembering it; None when all of them are.

        Raises:
            ValueError: one is not of 16 bytes; then none is remembered.
        """
