"""What is done to an ordinary event to make it nasty, by the verdict it deserves.

Changes are applied to an event before it is encoded (dotted keys, see `make_event`), edits to
the bytes of an encoded one, for what an encoder would never write.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

__all__ = ["ACCEPTED", "ACCEPTED_TEXT", "EXTREME_TEXT", "REFUSED", "REFUSED_TEXT", "UNOFFICIAL", "Case"]

Edit = Callable[[bytes], bytes]


class Case(NamedTuple):
    """The changes that make an ordinary event of type `eid` nasty."""

    changes: Mapping[str, Any]
    eid: str = "INTERACT"


def _text(value: str) -> Case:
    """Put a text where people type and where programs build names, paths and queries."""
    places = ("mid", "actor.id", "context.did", "context.env", "object.id", "edata.id", "edata.pageid")
    return Case({**dict.fromkeys(places, value), "edata.extra.values": [value]})


def _extra(value: Any) -> Case:
    """Put a value into the one place of `edata` that takes any."""
    return Case({"edata.extra": value})


def _nested(depth: int, kind: type) -> Any:
    """Nest a list or an object `depth` levels deep."""
    value: Any = "bottom"
    for _ in range(depth):
        value = [value] if kind is list else {"in": value}
    return value


# PostHog, Elasticsearch and JavaScript give these names a meaning of their own.
_POSTHOG: Final[dict[str, Any]] = {
    "$set": {"email": "someone@example.org"},
    "$set_once": {"is_admin": True},
    "$unset": ["name"],
    "$groups": {"channel": "somebody-else"},
    "$process_person_profile": True,
    "$ip": "127.0.0.1",
    "$session_id": "x",
    "$anon_distinct_id": "x",
    "distinct_id": "somebody-else",
    "token": "phc_stolen",
    "api_key": "phc_stolen",
    "timestamp": "2001-01-01T00:00:00Z",
    "uuid": "not-a-uuid",
    "alias": "somebody-else",
    "event": "$identify",
    "properties": [],
}
_ELASTIC: Final[dict[str, Any]] = {
    "_id": "1",
    "_index": "other",
    "_source": {},
    "_type": "x",
    "@timestamp": "x",
}
_NOBODY: Final = ("null", "undefined", "[object Object]", "NaN", "0", "anonymous", "system", "guest", " ")

ACCEPTED: Final[dict[str, Case]] = {
    "null where a key may be absent": Case(
        {"object": None, "tags": None, "context.cdata": None, "context.sid": None, "edata.plugin": None}
    ),
    "null inside free-form edata": _extra({"a": None, "values": [None, 1]}),
    "Indic scripts": _text("हिन्दी தமிழ் తెలుగు ಕನ್ನಡ বাংলা മലയാളം ગુજરાતી ਪੰਜਾਬੀ ଓଡ଼ିଆ اردو"),
    "emoji with joiners and skin tones": _text("👩🏽\u200d🏫👨\u200d👩\u200d👧\u200d👦🇮🇳"),
    "right-to-left override": _text("abc\u202egpj.exe\u202c"),
    "five hundred combining marks": _text("a" + "\u0301" * 500),
    "noncharacters U+FFFE and U+10FFFF": _text("\ufffe\U0010ffff"),
    "NUL character": _text("a\x00b"),
    "control characters": _text("".join(map(chr, range(1, 32))) + "\x7f\x85\x9f"),
    "line separators U+2028 and U+2029": _text("one\u2028two\u2029three"),
    "terminal escape sequences": _text("\x1b[2J\x1b]0;title\x07"),
    "CRLF with a header behind it": _text("m-1\r\nX-Injected: yes"),
    "SQL injection": _text("'; DROP TABLE events; --"),
    "HTML with a script": _text("<script>alert(1)</script><img src=x onerror=alert(1)>"),
    "spreadsheet formula": _text("=HYPERLINK(A1)"),
    "shell and template expressions": _text("$(reboot) `reboot` ${jndi:ldap://x} {{7*7}} %s %n"),
    "JSON inside a text": _text('{"mid":"m-2"}\\"}'),
    "path traversal in the channel": Case({"context.channel": "../../etc/passwd"}),
    "channel that is a parent folder": Case({"context.channel": ".."}),
    "channel with slashes, spaces and percent signs": Case({"context.channel": "a/b c\\d%2Fe?f#g"}),
    "channel of one blank": Case({"context.channel": " "}),
    "channel of 250 characters": Case({"context.channel": "c" * 250}),
    "empty ids": Case(
        {
            "actor": {"id": "", "type": ""},
            "context.sid": "",
            "context.did": "",
            "context.env": "",
            "context.pdata.id": "",
            "object": {"id": "", "type": "", "ver": ""},
            "edata.id": "",
        }
    ),
    "empty object, tags and cdata": Case({"object": {}, "tags": [], "context.cdata": []}),
    "ids of 250 characters": _text("x" * 250),
    "ids of 250 Devanagari letters": _text("क" * 250),
    "id of 64 KiB": Case({"mid": "m" * 65_536}),
    "text of 512 KiB": Case({"edata.comments": "a" * 524_288}, "FEEDBACK"),
    "objects nested 100 deep": _extra(_nested(100, dict)),
    "arrays nested 400 deep": _extra({"a": _nested(400, list)}),
    "two thousand keys": _extra({f"key{n}": n for n in range(2000)}),
    "key of 1,000 characters": _extra({"k" * 1000: 1}),
    "empty key": _extra({"": 1}),
    "keys with dots": _extra({"a.b": 1, "a": {"b": 2}, ".": 3, "..": 4}),
    "one key with three types": _extra({"value": [1, "one", {"one": 1}, True, None]}),
    "keys of PostHog in edata": _extra(_POSTHOG),
    "keys of PostHog at the top": Case(_POSTHOG),
    "keys of PostHog in the context": Case({f"context.{key}": value for key, value in _POSTHOG.items()}),
    "keys of Elasticsearch in edata": _extra(_ELASTIC),
    "keys of Elasticsearch at the top": Case(_ELASTIC),
    "keys of JavaScript prototypes": _extra({"__proto__": {"admin": True}, "constructor": 1}),
    "numbers at the edges": _extra(
        {"n": [2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64, 10**30, 1.7976931348623157e308, 5e-324, -0.0]}
    ),
    **{f"actor id {name!r}": Case({"actor.id": name}) for name in _NOBODY},
    "ets of zero": Case({"ets": 0}),
    "negative ets": Case({"ets": -1_767_605_400_000}),
    "ets in seconds": Case({"ets": 1_767_605_400}),
    "ets with a fraction": Case({"ets": 1_767_605_400_000.75}),
    "ets in the year 9999": Case({"ets": 253_402_300_799_999}),
    "ets beyond any calendar": Case({"ets": 1e300}),
    "ets of an integer beyond 64 bits": Case({"ets": 2**70}),
    "ets a year ahead of syncts": Case({"ets": 1_799_141_400_000, "syncts": 1_767_605_400_000}),
    "ets forty days before syncts": Case({"ets": 1_764_149_400_000, "syncts": 1_767_605_400_000}),
    "syncts as text": Case({"syncts": "yesterday"}),
    "syncts as an object": Case({"syncts": {"$numberLong": "1767605400000"}}),
    "syncts beyond any calendar": Case({"syncts": 1e300}),
    "@timestamp that is no time": Case({"@timestamp": "0000-99-99T99:99:99Z"}),
    "@timestamp with an offset": Case({"@timestamp": "2026-01-05T15:00:00.000+0530"}),
    "answer with learner's name and phone number": Case(
        {"edata.resvalues": [{"name": "Asha", "phone": "+91 00000 00000"}]}, "ASSESS"
    ),
}
"""Unusual events that the official schemas accept."""

UNOFFICIAL: Final[dict[str, Case]] = {
    "edata key that no schema knows": Case({"edata.hotness": 7}),
    "traceid in ERROR": Case({"edata.traceid": "t-1"}, "ERROR"),
    "event type in lower case": Case({"eid": "interact"}),
    "event type that is a schema's name": Case({"eid": "cdata"}),
    "event type with a path and SQL": Case({"eid": "../x'; --"}),
    "event type of 250 characters": Case({"eid": "E" * 250}),
    "event type in Hindi": Case({"eid": "आरंभ"}),
}
"""Events that real producers send and `lenient` accepts, though the official schemas do not."""

REFUSED: Final[dict[str, Case]] = {
    "no eid": Case({"eid": ...}),
    "eid as a number": Case({"eid": 7}),
    "eid null": Case({"eid": None}),
    "no mid": Case({"mid": ...}),
    "mid as a number": Case({"mid": 7}),
    "empty mid": Case({"mid": ""}),
    "no ets": Case({"ets": ...}),
    "ets as text": Case({"ets": "1767605400000"}),
    "ets as a boolean": Case({"ets": True}),
    "ver as a number": Case({"ver": 3.0}),
    "no actor": Case({"actor": ...}),
    "actor as text": Case({"actor": "7d0c5a1e"}),
    "actor id as a number": Case({"actor.id": 1184}),
    "no context": Case({"context": ...}),
    "no channel": Case({"context.channel": ...}),
    "empty channel": Case({"context.channel": ""}),
    "no producer": Case({"context.pdata": ...}),
    "cdata id as an array": Case({"context.cdata": [{"type": "Class", "id": ["Class 11"]}]}),
    "cdata as an object": Case({"context.cdata": {"type": "Class", "id": "11"}}),
    "object as text": Case({"object": "do_1"}),
    "rollup as an array": Case({"object.rollup": []}),
    "tags of objects": Case({"tags": [{"genie": []}]}),
    "no edata": Case({"edata": ...}),
    "edata null": Case({"edata": None}),
    "edata as an array": Case({"edata": []}),
    "INTERACT without an id": Case({"edata.id": ...}),
    "ERROR without err": Case({"edata.err": ...}, "ERROR"),
    "START with edisk as text": Case({"edata.dspec.edisk": "12.5"}, "START"),
    "LOG with params as text": Case({"edata.params": "[{}]"}, "LOG"),
    "ASSESS with pass as a boolean": Case({"edata.pass": True}, "ASSESS"),
    "event of version 2": Case(
        {"eid": "OE_INTERACT", "ver": "2.1", "actor": ..., "context": ..., "uid": "u", "edata": {"eks": {}}}
    ),
    "derived event without an actor": Case({"actor": ..., "ver": "1.1"}, "ME_WORKFLOW_SUMMARY"),
}
"""Well-formed JSON that is no valid event."""


def _swap(old: bytes, new: bytes) -> Edit:
    """Replace a piece of the ordinary event's bytes."""
    return lambda raw: raw.replace(old, new, 1)


_ID: Final = b'"subtype":"next-clicked"'
_DURATION: Final = b'"duration":1.2'


def _subtype(text: bytes) -> Edit:
    """Put raw bytes between the quotes of a text."""
    return _swap(_ID, b'"subtype":"' + text + b'"')


ACCEPTED_TEXT: Final[dict[str, Edit]] = {
    "ets in scientific notation": _swap(b'"ets":1767605402000', b'"ets":1.767605402E12'),
    "ets as a float": _swap(b'"ets":1767605402000', b'"ets":1767605402000.0'),
    "duplicate keys": lambda raw: raw[:-1] + b',"mid":"second","mid":"third"}',
    "duplicate keys in edata": _swap(_DURATION, _DURATION + b',"id":"second","id":"third"'),
    "newlines and tabs between tokens": lambda raw: json.dumps(json.loads(raw), indent="\t").encode(),
    "every letter escaped": lambda raw: json.dumps(json.loads(raw), ensure_ascii=True).encode(),
    "escaped slashes and a surrogate pair": _subtype(rb"\/\ud83d\ude00\u0000"),
    "blanks around the event": lambda raw: b" \t" + raw + b" \t",
    "number of 300 digits": _swap(_DURATION, b'"duration":' + b"9" * 300),
}
"""The same event in a writing few programs use."""

REFUSED_TEXT: Final[dict[str, Edit]] = {
    "nothing": lambda _: b"",
    "white space": lambda _: b" \t ",
    "line of a log": lambda _: b"2026-01-05 09:30:00 WARN upstream timed out, event dropped",
    "HTML error page": lambda _: b"<html><body><h1>502 Bad Gateway</h1></body></html>",
    "gzip stream": lambda raw: gzip.compress(raw, mtime=0),
    "event cut off": lambda raw: raw[: len(raw) // 2],
    "event followed by rubbish": lambda raw: raw + b"]]",
    "two events on one line": lambda raw: raw + raw,
    "array in place of the event": lambda _: b"[1,2,3]",
    "text in place of the event": lambda _: b'"INTERACT"',
    "null in place of the event": lambda _: b"null",
    "single quotes": lambda raw: raw.replace(b'"', b"'"),
    "trailing comma": lambda raw: raw[:-1] + b",}",
    "raw control character in a text": _subtype(b"a\x01b"),
    "byte order mark": lambda raw: b"\xef\xbb\xbf" + raw,
    "UTF-16": lambda raw: raw.decode().encode("utf-16"),
    "Latin-1 bytes": _subtype(b"caf\xe9"),
    "overlong UTF-8": _subtype(b"\xc0\xaf"),
    "surrogate encoded as UTF-8": _subtype(b"\xed\xa0\x80"),
    "UTF-8 beyond U+10FFFF": _subtype(b"\xf5\x80\x80\x80"),
    "lone surrogate": _subtype(rb"\ud83d"),
    "surrogates in the wrong order": _subtype(rb"\ude00\ud83d"),
    "NaN": _swap(_DURATION, b'"duration":NaN'),
    "Infinity": _swap(_DURATION, b'"duration":-Infinity'),
    "number with a leading zero": _swap(_DURATION, b'"duration":012'),
}
"""Bytes that are no JSON object in UTF-8."""

EXTREME_TEXT: Final[dict[str, Edit]] = {
    "number beyond the range of floats": _swap(_DURATION, b'"duration":1e999'),
    "number of 100,000 digits": _swap(_DURATION, b'"duration":' + b"9" * 100_000),
    "arrays nested 100,000 deep": _swap(_DURATION, b'"extra":' + b"[" * 100_000 + b"]" * 100_000),
    "event of more than 1 MiB": _subtype(b"a" * 1_048_576),
    "objects never closed": lambda _: b'{"a":' * 100_000,
}
"""Bytes on whose verdict programs may differ; what counts is that there is one, soon."""
