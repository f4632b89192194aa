"""What the example events say: one rich `edata` per event type.

Shapes and required keys follow the official Sunbird v3 schemas; the values are invented.
Times are milliseconds since the epoch, durations seconds, disk sizes GB and memory MB.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from bridge.testing.sources import APP, CHANNEL, JOB, PHONE, PLAYER, PORTAL, SERVICE, Json, Source

__all__ = ["FIRST_ETS", "OFFICIAL", "UNKNOWN", "Sample"]

FIRST_ETS: Final = 1_767_605_400_000
"""Device clock of the first sample: 2026-01-05T09:30:00Z."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One event without its envelope: sender, `edata`, the object acted on, further top-level keys."""

    source: Source
    edata: Json
    object: Json | None = None
    more: Json = field(default_factory=dict)


_LESSON = {
    "id": "do_31375412960512",
    "type": "Content",
    "ver": "3",
    "rollup": {"l1": "do_31375410020864", "l2": "do_31375410029931"},
}
_QUESTION = {"id": "do_31375413017344", "ver": "1.0", "type": "AssessmentItem"}
_PARENT = {"id": "do_31375412960512", "type": "Content"}

OFFICIAL: Final[dict[str, Sample]] = {
    "START": Sample(
        APP,
        {
            "type": "app",
            "mode": "",
            "pageid": "splash",
            "duration": 2.4,
            "loc": "Nashik, Maharashtra",
            "dspec": {
                "os": "Android 14",
                "make": "Redmi Note 12",
                "id": PHONE,
                "mem": 3841.5,
                "idisk": 108.2,
                "edisk": -1,
                "scrn": 6.67,
                "camera": "48.0,13.0",
                "cpu": "arm64-v8a Snapdragon 685",
                "sims": 2,
                "cap": ["GPS", "BT"],
            },
            "uaspec": {
                "agent": "Chrome",
                "ver": "131.0",
                "system": "Android",
                "platform": "Webkit",
                "raw": "Mozilla/5.0 (Linux; Android 14) Chrome/131.0 Mobile",
            },
        },
    ),
    "IMPRESSION": Sample(
        PORTAL,
        {
            "type": "list",
            "subtype": "paginate",
            "pageid": "explore-course",
            "uri": "/explore-course?selectedTab=course",
            "duration": 0.84,
            "visits": [
                {
                    "objid": _LESSON["id"],
                    "objtype": "Content",
                    "objver": "3",
                    "section": "गणित",
                    "index": 0,
                },
                {"objid": "do_31375419004416", "objtype": "Course", "index": 1},
            ],
        },
    ),
    "INTERACT": Sample(
        PLAYER,
        {
            "type": "TOUCH",
            "subtype": "next-clicked",
            "id": "btn-next",
            "pageid": "slide-3",
            "target": {"id": "slide-4", "ver": "1.0", "type": "slide", "parent": _PARENT},
            "plugin": {"id": "org.ekstep.navigation", "ver": "1.0", "category": "core"},
            "extra": {"pos": [{"x": 312.5, "y": 88.0}], "values": [{"title": "भिन्नों का जोड़"}]},
            "duration": 1.2,
        },
        _LESSON,
    ),
    "ASSESS": Sample(
        PLAYER,
        {
            "item": {
                "id": _QUESTION["id"],
                "maxscore": 1,
                "exlength": 30,
                "params": [{"1": {"text": "½"}}, {"2": {"text": "¾"}}, {"answer": {"correct": ["2"]}}],
                "uri": "",
                "desc": "Fractions, grade 5",
                "title": "ਕਿਹੜੀ ਭਿੰਨ ਵੱਡੀ ਹੈ?",
                "mmc": ["M514"],
                "mc": ["C412"],
                "type": "mcq",
            },
            "index": 4,
            "pass": "Yes",
            "score": 1,
            "resvalues": [{"2": {"text": "¾"}}],
            "duration": 17.5,
        },
        _LESSON,
    ),
    "RESPONSE": Sample(
        PLAYER,
        {
            "target": {**_QUESTION, "parent": _PARENT},
            "type": "CHOOSE",
            "values": [{"option2": "தமிழ்நாடு"}, {"state": "selected"}],
        },
        _LESSON,
    ),
    "INTERRUPT": Sample(APP, {"type": "background", "pageid": "content-detail"}, _LESSON),
    "FEEDBACK": Sample(
        APP,
        {
            "rating": 4,
            "comments": "బాగుంది, కానీ శబ్దం తక్కువగా ఉంది",
            "commentid": "audio-low",
            "commenttxt": "Sound is too low",
        },
        _LESSON,
    ),
    "SHARE": Sample(
        APP,
        {
            "dir": "Out",
            "type": "Link",
            "items": [
                {
                    "id": _LESSON["id"],
                    "type": "Content",
                    "ver": "3",
                    "params": [{"transfers": 0, "size": 4_194_304}],
                    "origin": {"id": PHONE, "type": "Device"},
                    "to": {"id": "", "type": ""},
                }
            ],
        },
    ),
    "AUDIT": Sample(
        SERVICE,
        {
            "type": "content",
            "props": ["status", "lastPublishedOn"],
            "state": "Live",
            "prevstate": "Review",
            "duration": 5400,
        },
        {"id": _LESSON["id"], "type": "Content", "ver": "1767605399000"},
    ),
    "ERROR": Sample(
        APP,
        {
            "err": "DOWNLOAD_FAILED",
            "errtype": "MOBILEAPP",
            "stacktrace": "IOException: unexpected end of stream\n\tat app.Download.read(Download.kt:118)",
            "pageid": "content-detail",
            "object": {
                "id": _LESSON["id"],
                "type": "Content",
                "ver": "3",
                "subtype": "Resource",
                "name": "ಭಿನ್ನರಾಶಿಗಳು",
                "code": "PTH-5-MATH-07",
                "parent": _PARENT,
            },
            "plugin": {"id": "cordova-plugin-download", "ver": "2.1", "category": "cordova"},
        },
    ),
    "HEARTBEAT": Sample(SERVICE, {"status": "up", "uptime": 86_400, "queue": {"depth": 12, "oldest": 0.4}}),
    "LOG": Sample(
        SERVICE,
        {
            "type": "api_access",
            "level": "INFO",
            "message": "content read",
            "pageid": "content-read",
            "params": [
                {"url": "/content/v2/read/do_31375412960512"},
                {"method": "GET"},
                {"status": 200},
                {"duration": 43},
            ],
        },
    ),
    "SEARCH": Sample(
        PORTAL,
        {
            "type": "content",
            "query": "প্রকৃতি ও পরিবেশ",
            "filters": {"se_mediums": ["Bengali"], "se_gradeLevels": ["Class 4"], "status": ["Live"]},
            "sort": {"lastPublishedOn": "desc"},
            "correlationid": "6c1e8f20-90f1-4f8e-a3f6-2d7b5c4e1a09",
            "size": 37,
            "topn": [{"identifier": _LESSON["id"]}, {"identifier": "do_31375419004416"}],
        },
    ),
    "METRICS": Sample(
        SERVICE,
        {
            "system": "content-service",
            "subsystem": "publisher",
            "metrics": [
                {"metric": "requests", "value": 1842},
                {"metric": "p95_latency_ms", "value": 212.75},
            ],
        },
    ),
    "SUMMARY": Sample(
        PLAYER,
        {
            "type": "content",
            "mode": "play",
            "starttime": FIRST_ETS - 240_000,
            "endtime": FIRST_ETS,
            "timespent": 238.6,
            "pageviews": 9,
            "interactions": 31,
            "extra": [{"id": "progress", "value": "100"}, {"id": "score", "value": "7"}],
        },
        _LESSON,
    ),
    "EXDATA": Sample(APP, {"type": "partnerdata", "data": "eyJwYXJ0bmVyIjoicmFkaW8tbGVzc29ucyJ9"}),
    "END": Sample(
        PLAYER,
        {
            "type": "content",
            "mode": "play",
            "duration": 238.6,
            "pageid": "end-page",
            "summary": [{"progress": 100}, {"visitedlength": 9}, {"totallength": 9}, {"score": 7}],
        },
        _LESSON,
    ),
}
"""One sample per official event type, in the order of the specification's list."""


def _job(message: str, level: str = "INFO", **edata: Any) -> Sample:
    """Describe what an analytics job says of itself."""
    return Sample(JOB, {"class": "analytics.WorkflowSummary", "level": level, "message": message, **edata})


UNKNOWN: Final[dict[str, Sample]] = {
    "ACCESS": Sample(SERVICE, {"url": "/content/v2/read", "method": "GET", "status": 200, "duration": 43}),
    "APP_UPDATE": Sample(APP, {"from": "6.0.498", "to": "6.0.512", "source": "play-store"}),
    "PLUGIN_LIFECYCLE": Sample(PORTAL, {"pluginid": "org.ekstep.text", "pluginver": "1.2", "action": "add"}),
    "LEVEL_SET": Sample(PLAYER, {"category": "reading", "current": "2", "max": "5"}, _LESSON),
    "SCAN": Sample(APP, {"dialcode": "K7P4QX", "size": 1}, {"id": "K7P4QX", "type": "DialCode"}),
    "JOB_START": _job("Started workflow summary", data={"date": "2026-01-04", "parallelization": 8}),
    "JOB_LOG": _job("Reading unique events", data={"files": 24}),
    "JOB_END": _job("Completed", status="SUCCESS", data={"inputEvents": 63140, "timeTaken": 12.0}),
    "SHARE_ITEM": Sample(
        APP, {"dir": "Out", "type": "download", "size": 4_194_304}, {**_LESSON, "rollup": {"l1": PHONE}}
    ),
    "ME_WORKFLOW_SUMMARY": Sample(
        JOB,
        {"eks": {"start_time": FIRST_ETS - 240_000, "end_time": FIRST_ETS, "time_spent": 238.6}},
        _LESSON,
        {"dimensions": {"did": PHONE, "type": "content", "mode": "play", "channel": CHANNEL}},
    ),
}
"""Names that are in use but have no official schema; workflow pages and analytics jobs know them."""
