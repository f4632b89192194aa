"""A learner's session in the mobile app, nested as the specification's workflow has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .player import play
from .recorder import Json, Recorder, token, uuid4

if TYPE_CHECKING:
    from random import Random

    from .people import Learner, Lesson


def mobile_session(rng: Random, clock: int, learner: Learner) -> list[Json]:
    """App > session > find a lesson > play it … until the app is closed, or killed without an END."""
    recorder = learner.on_phone(rng, clock)
    cdata = recorder.base["cdata"]
    _open(recorder, learner)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        lesson = rng.choice(learner.lessons)
        recorder.enter("home", "sunbird.app", cdata)
        _find(recorder, learner, lesson)
        _fetch(recorder, lesson)
        play(recorder, learner, lesson, "sunbird.app.contentplayer")
        recorder.enter("home", "sunbird.app", cdata)
        _pass_on(recorder, learner, lesson)
    if rng.random() < 0.9:
        _close(recorder, clock)
    return recorder.events


def _open(recorder: Recorder, learner: Learner) -> None:
    rng = recorder.rng
    loading = round(rng.uniform(0.8, 6.0), 2)
    app = {"type": "app", "mode": "", "pageid": "splash", "duration": loading}
    recorder.record("START", {**app, "loc": learner.district, "dspec": learner.phone}, after=0.1)
    recorder.record("START", {"type": "session", "mode": "", "pageid": "home", "duration": 0.4}, after=1)
    if rng.random() < 0.15:
        partner = {"type": "partnerdata", "data": token(rng, 320)}
        recorder.record("EXDATA", partner, after=0.5)
    recorder.record("IMPRESSION", _shelf(learner), after=2)
    if rng.random() < 0.1:
        _trouble(recorder, rng.choice(learner.lessons))


def _shelf(learner: Learner) -> Json:
    """Show the home page with the first lessons of the learner's medium."""
    visits = [
        {"objid": lesson.ref["id"], "objtype": "Content", "section": lesson.subject, "index": index}
        for index, lesson in enumerate(learner.lessons[:3])
    ]
    return {"type": "view", "subtype": "init", "pageid": "home", "uri": "home", "visits": visits}


def _trouble(recorder: Recorder, lesson: Lesson) -> None:
    stack = "IOException: unexpected end of stream on connection\n" + "".join(
        f"\tat org.app.download.{name}\n" for name in ("Chunk.read(Chunk.kt:88)", "Task.run(Task.kt:41)")
    )
    parent = {"id": lesson.textbook["id"], "type": "TextBook"}
    culprit = {"id": lesson.ref["id"], "type": "Content", "ver": lesson.ref["ver"], "name": lesson.title}
    edata = {
        "err": "DOWNLOAD_FAILED",
        "errtype": "MOBILEAPP",
        "stacktrace": stack,
        "pageid": "home",
        "object": {**culprit, "parent": parent},
    }
    recorder.record("ERROR", edata, lesson.ref)


def _find(recorder: Recorder, learner: Learner, lesson: Lesson) -> None:
    """Look for a lesson: by the code printed in a textbook, by typing, or by its tile."""
    way = recorder.rng.random()
    if way < 0.3:
        _scan(recorder, lesson)
    elif way < 0.75:
        _search(recorder, learner)
    recorder.record("INTERACT", _tap("content-clicked", "home", lesson), lesson.ref)
    detail = {"type": "detail", "subtype": "", "pageid": "content-detail", "uri": "content-detail"}
    recorder.record("IMPRESSION", detail, lesson.ref, after=1)


def _tap(subtype: str, page: str, lesson: Lesson) -> Json:
    values = [{"title": lesson.title, "section": lesson.subject}]
    return {
        "type": "TOUCH",
        "subtype": subtype,
        "id": subtype.removesuffix("-clicked"),
        "pageid": page,
        "extra": {"pos": [], "values": values},
    }


def _scan(recorder: Recorder, lesson: Lesson) -> None:
    rng = recorder.rng
    code = "".join(rng.choices("BCDFGHJKLMNPQRSTVWXYZ23456789", k=6))
    item = {"id": code, "type": "DialCode"}
    recorder.record("START", {"type": "qr", "mode": "", "pageid": "qr-code-scanner"}, item)
    # One scan in ten finds nothing: the textbook is printed before its lessons are linked.
    found = rng.random() < 0.9
    edata = {
        "type": "dialcode",
        "query": "",
        "filters": {"dialcodes": code},
        "sort": {},
        "correlationid": uuid4(rng),
        "size": int(found),
        "topn": [{"identifier": lesson.ref["id"]}] if found else [],
    }
    recorder.record("SEARCH", edata, item, after=2)
    recorder.record("END", {"type": "qr", "mode": "", "pageid": "qr-code-scanner", "duration": 3.1}, item)


def _search(recorder: Recorder, learner: Learner) -> None:
    rng = recorder.rng
    query = rng.choice(learner.language.searches)
    top = [{"identifier": lesson.ref["id"]} for lesson in learner.lessons[:3]]
    filters = {"se_mediums": [learner.language.name], "se_gradeLevels": [f"Class {learner.grade}"]}
    edata = {
        "type": "content",
        "query": query,
        "filters": filters,
        "sort": {"lastPublishedOn": "desc"},
        "correlationid": uuid4(rng),
        "size": rng.randrange(240),
        "topn": top,
    }
    recorder.record("SEARCH", edata, after=6)
    recorder.record("IMPRESSION", {"type": "search", "pageid": "search", "uri": "search"}, after=0.5)


def _fetch(recorder: Recorder, lesson: Lesson) -> None:
    """Download the lesson, which most already have."""
    if recorder.rng.random() < 0.35:
        for subtype in ("ContentDownload-Initiate", "ContentDownload-Success"):
            edata = {**_tap(subtype, "content-detail", lesson), "type": "OTHER", "id": "content-detail"}
            recorder.record("INTERACT", edata, lesson.ref, after=6)


def _pass_on(recorder: Recorder, learner: Learner, lesson: Lesson) -> None:
    """Hand the lesson to somebody else, by file or by link."""
    rng = recorder.rng
    if rng.random() < 0.12:
        item = {
            "id": lesson.ref["id"],
            "type": "Content",
            "ver": lesson.ref["ver"],
            "params": [{"transfers": rng.randrange(3), "size": rng.randrange(10**5, 10**7)}],
            "origin": {"id": learner.phone["id"], "type": "Device"},
            "to": {"id": "", "type": ""},
        }
        edata = {"dir": rng.choice(("In", "Out")), "type": rng.choice(("File", "Link")), "items": [item]}
        recorder.record("SHARE", edata, lesson.ref, after=5)


def _close(recorder: Recorder, opened: int) -> None:
    for kind in ("session", "app"):
        spent = round((recorder.clock - opened) / 1000, 2)
        recorder.record("END", {"type": kind, "mode": "", "pageid": "home", "duration": spent}, after=0.5)
