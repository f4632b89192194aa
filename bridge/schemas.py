"""The official telemetry v3 schemas as one table of rules.

Source: Sunbird-Obsrv/sunbird-data-pipeline, pipeline-preprocessor, schemas/telemetry/3.0; a test
compares this table with those files. A key with a star is required. `$` keys of the files that
never act (`id`, and `format` on a number) are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

__all__ = [
    "EDATA",
    "EDATA_EXTENDED",
    "HEAD",
    "NUMBER",
    "ROUTING",
    "TEXT",
    "ArrayOf",
    "Number",
    "Record",
    "Rule",
    "Text",
]


@dataclass(frozen=True, slots=True)
class Text:
    """A string of at least `min_length` characters, or one of `choices` where there are any."""

    min_length: int = 0
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Number:
    """An integer or a fraction, not below `minimum`; booleans are no numbers."""

    minimum: float | None = None


@dataclass(frozen=True, slots=True)
class ArrayOf:
    """An array whose every item follows `item`."""

    item: Rule


@dataclass(frozen=True, slots=True)
class Record:
    """An object: a rule per key, the `required` keys, and whether other keys may stand beside them."""

    keys: dict[str, Rule] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    closed: bool = False


Rule = Text | Number | ArrayOf | Record


def _open(starred: dict[str, Rule] | None = None, /) -> Record:
    starred = starred or {}
    required = frozenset(key[:-1] for key in starred if key.endswith("*"))
    return Record({key.removesuffix("*"): rule for key, rule in starred.items()}, required)


def _closed(starred: dict[str, Rule], /) -> Record:
    return replace(_open(starred), closed=True)


def _extended(rule: Rule) -> Rule:
    """`rule` with every object in it open to more keys."""
    if isinstance(rule, ArrayOf):
        return ArrayOf(_extended(rule.item))
    if isinstance(rule, Record):
        return Record({key: _extended(inner) for key, inner in rule.keys.items()}, rule.required)
    return rule


TEXT = Text()
NAMED = Text(min_length=1)
NUMBER = Number()
MEASURE = Number(minimum=-1)
OBJECT = _open()
TEXTS = ArrayOf(TEXT)
OBJECTS = ArrayOf(OBJECT)

_ID_AND_TYPE = _open({"id": TEXT, "type": TEXT})
_TARGET = _closed({"id*": TEXT, "ver*": TEXT, "type*": TEXT, "parent": _ID_AND_TYPE})
_PLUGIN = _closed({"id*": TEXT, "ver*": TEXT, "category": TEXT})
_VISIT = _closed({"objid*": TEXT, "objtype*": TEXT, "objver": TEXT, "section": TEXT, "index": NUMBER})
_DEVICE = _open(
    {
        "os": TEXT,
        "make": TEXT,
        "id": TEXT,
        "mem": MEASURE,
        "idisk": MEASURE,
        "edisk": MEASURE,
        "scrn": MEASURE,
        "camera": TEXT,
        "cpu": TEXT,
        "sims": MEASURE,
        "cap": TEXTS,
    }
)
_USER_AGENT = _open({"agent": TEXT, "ver": TEXT, "system": TEXT, "platform": TEXT, "raw": TEXT})
_QUESTION = _closed(
    {
        "id*": TEXT,
        "maxscore": NUMBER,
        "exlength": NUMBER,
        "params": OBJECTS,
        "uri": TEXT,
        "desc": TEXT,
        "title": TEXT,
        "mmc": TEXTS,
        "mc": TEXTS,
        "type": TEXT,
    }
)
_FAULTY_OBJECT = _closed(
    {
        "id*": TEXT,
        "type*": TEXT,
        "ver*": TEXT,
        "subtype": TEXT,
        "name": TEXT,
        "code": TEXT,
        "parent": _ID_AND_TYPE,
    }
)
_SHARED_ITEM = _closed(
    {
        "id": TEXT,
        "type": TEXT,
        "ver": TEXT,
        "params": OBJECTS,
        "origin": _ID_AND_TYPE,
        "to": _ID_AND_TYPE,
    }
)

HEAD = _open(
    {
        "eid*": NAMED,
        "ets*": NUMBER,
        "ver*": Text(choices=("3.0", "3.1")),
        "mid*": NAMED,
        "actor*": _open({"id*": TEXT, "type*": TEXT}),
        "context*": _open(
            {
                "channel*": NAMED,
                "pdata*": _open({"id*": TEXT, "pid": TEXT, "ver": TEXT}),
                "env*": TEXT,
                "sid": TEXT,
                "did": TEXT,
                "cdata": ArrayOf(_closed({"type*": TEXT, "id*": TEXT})),
            }
        ),
        "object": _open(
            {
                "id": TEXT,
                "type": TEXT,
                "ver": TEXT,
                "rollup": _open({"l1": TEXT, "l2": TEXT, "l3": TEXT, "l4": TEXT}),
            }
        ),
        "tags": TEXTS,
        "edata*": OBJECT,
    }
)

# Not the official schemas: the least that identity and routing read.
ROUTING = _open(
    {
        "eid*": NAMED,
        "ets*": NUMBER,
        "mid*": NAMED,
        "actor": _open({"id": TEXT}),
        "context": _open(
            {"channel": TEXT, "pdata": _open({"id": TEXT}), "env": TEXT, "sid": TEXT, "did": TEXT}
        ),
    }
)

EDATA: dict[str, Rule] = {
    "START": _closed(
        {
            "type*": TEXT,
            "dspec": _DEVICE,
            "uaspec": _USER_AGENT,
            "loc": TEXT,
            "mode": TEXT,
            "duration": NUMBER,
            "pageid": TEXT,
        }
    ),
    "END": _closed({"type*": TEXT, "mode": TEXT, "duration": NUMBER, "pageid": TEXT, "summary": OBJECTS}),
    "IMPRESSION": _closed(
        {
            "type*": TEXT,
            "subtype": TEXT,
            "pageid*": TEXT,
            "duration": NUMBER,
            "uri*": TEXT,
            "visits": ArrayOf(_VISIT),
        }
    ),
    "INTERACT": _closed(
        {
            "type*": TEXT,
            "subtype": TEXT,
            "id*": TEXT,
            "pageid": TEXT,
            "target": _TARGET,
            "plugin": _PLUGIN,
            "extra": OBJECT,
            "duration": NUMBER,
        }
    ),
    "ASSESS": _closed(
        {
            "item*": _QUESTION,
            "index": NUMBER,
            "pass*": TEXT,
            "score*": NUMBER,
            "resvalues*": OBJECTS,
            "duration*": NUMBER,
        }
    ),
    "RESPONSE": _closed({"target*": _TARGET, "type*": TEXT, "values*": OBJECTS}),
    "INTERRUPT": _closed({"type*": TEXT, "pageid": TEXT}),
    "FEEDBACK": _closed({"rating": NUMBER, "comments": TEXT, "commentid": TEXT, "commenttxt": TEXT}),
    "SHARE": _closed({"dir": TEXT, "type": TEXT, "items*": ArrayOf(_SHARED_ITEM)}),
    "AUDIT": _closed({"type": TEXT, "props": TEXTS, "state": TEXT, "prevstate": TEXT, "duration": NUMBER}),
    "ERROR": _closed(
        {
            "err*": TEXT,
            "errtype*": TEXT,
            "stacktrace*": TEXT,
            "pageid": TEXT,
            "object": _FAULTY_OBJECT,
            "plugin": _PLUGIN,
        }
    ),
    "HEARTBEAT": OBJECT,
    "LOG": _closed({"type*": TEXT, "level*": TEXT, "message*": TEXT, "pageid": TEXT, "params": OBJECTS}),
    "SEARCH": _closed(
        {
            "type": TEXT,
            "query*": TEXT,
            "filters": OBJECT,
            "sort": OBJECT,
            "correlationid": TEXT,
            "size*": NUMBER,
            "topn*": OBJECTS,
        }
    ),
    "METRICS": _closed(
        {
            "system*": TEXT,
            "subsystem*": TEXT,
            "metrics": ArrayOf(_open({"metric": TEXT, "value": NUMBER})),
        }
    ),
    "SUMMARY": _closed(
        {
            "type*": TEXT,
            "mode": TEXT,
            "starttime*": NUMBER,
            "endtime*": NUMBER,
            "timespent*": NUMBER,
            "pageviews*": NUMBER,
            "interactions*": NUMBER,
            "extra": ArrayOf(_open({"id": TEXT, "value": TEXT})),
        }
    ),
    "EXDATA": _closed({"type": TEXT, "data": TEXT}),
}
EDATA_EXTENDED = {eid: _extended(rule) for eid, rule in EDATA.items()}
