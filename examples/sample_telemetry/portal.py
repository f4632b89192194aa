"""Sessions in a browser: a learner in the portal, and a teacher in the content editor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .player import play
from .recorder import Json, Recorder, token, uuid4

if TYPE_CHECKING:
    from random import Random

    from .people import Learner, Lesson

PAGES = (
    ("list", "explore-course", "/explore-course?selectedTab=course"),
    ("view", "explore", "/explore?board=state&selectedTab=textbook"),
    ("detail", "collection-player", "/play/collection?contentType=TextBook"),
    ("view", "profile", "/profile"),
    ("list", "my-groups", "/groups"),
)
PLUGINS = ("org.ekstep.text", "org.ekstep.image", "org.ekstep.questionset", "org.ekstep.audio")


def portal_session(rng: Random, clock: int, learner: Learner) -> list[Json]:
    """Session > pages > perhaps a lesson. People close the tab, so there is seldom an END."""
    recorder = learner.in_browser(rng, clock)
    start = {"type": "session", "mode": "", "pageid": "explore", "duration": round(rng.uniform(0.5, 4), 2)}
    recorder.record("START", {**start, "uaspec": learner.browser["uaspec"]}, after=0.2)
    for page in rng.choices(PAGES, k=rng.randrange(2, 6)):
        _visit(recorder, learner, page)
    if rng.random() < 0.4:
        _search(recorder, learner)
    if rng.random() < 0.25:
        _break(recorder)
    if rng.random() < 0.4:
        lesson = rng.choice(learner.lessons)
        play(recorder, learner, lesson, "sunbird-portal.contentplayer")
        _share(recorder, lesson)
    return recorder.events


def _visit(recorder: Recorder, learner: Learner, page: tuple[str, str, str]) -> None:
    """Look at a page and click something on it."""
    kind, name, uri = page
    rng = recorder.rng
    lessons = rng.choices(learner.lessons, k=2)
    visits = [
        {"objid": lesson.ref["id"], "objtype": "Content", "objver": lesson.ref["ver"], "index": index}
        for index, lesson in enumerate(lessons)
    ]
    impression = {"type": kind, "subtype": rng.choice(("init", "paginate", "pageexit")), "pageid": name}
    seconds = round(rng.uniform(0.2, 3), 3)
    recorder.record("IMPRESSION", {**impression, "uri": uri, "duration": seconds, "visits": visits}, after=8)
    lesson = lessons[0]
    click = {"type": "CLICK", "subtype": "card-clicked", "id": "content-card", "pageid": name}
    values = [{"title": lesson.title, "subject": lesson.subject}]
    recorder.record("INTERACT", {**click, "extra": {"values": values}}, lesson.ref, after=12)


def _search(recorder: Recorder, learner: Learner) -> None:
    rng = recorder.rng
    edata = {
        "type": "all",
        "query": rng.choice(learner.language.searches),
        "filters": {"channel": learner.tenant.channel, "se_mediums": [learner.language.name]},
        "sort": {},
        "correlationid": uuid4(rng),
        "size": rng.randrange(300),
        "topn": [{"identifier": lesson.ref["id"]} for lesson in learner.lessons[:3]],
    }
    recorder.record("SEARCH", edata, after=6)


def _break(recorder: Recorder) -> None:
    """Let the page's script fail."""
    chunk = token(recorder.rng, 12)
    stack = "TypeError: Cannot read properties of undefined (reading 'identifier')\n" + "".join(
        f"    at {place} (main.{chunk}.js:1:{recorder.rng.randrange(10**5)})\n"
        for place in ("e.onCardClick", "Object.handleEvent", "t.invokeTask")
    )
    edata = {"err": "TypeError", "errtype": "SYSTEM", "stacktrace": stack, "pageid": "explore"}
    recorder.record("ERROR", edata)


def _share(recorder: Recorder, lesson: Lesson) -> None:
    if recorder.rng.random() < 0.2:
        item = {"id": lesson.ref["id"], "type": "Content", "ver": lesson.ref["ver"]}
        recorder.record("SHARE", {"dir": "Out", "type": "Link", "items": [item]}, lesson.ref)


def editor_session(rng: Random, clock: int, learner: Learner) -> list[Json]:
    """Session > editor > build and save a lesson > send it to review."""
    recorder = learner.in_browser(rng, clock)
    lesson = rng.choice(learner.lessons)
    draft = {"id": lesson.ref["id"], "type": "Content", "ver": "0"}
    session = {"type": "session", "mode": "", "pageid": "workspace", "duration": 1.4}
    recorder.record("START", {**session, "uaspec": learner.browser["uaspec"]}, after=0.2)
    recorder.enter("contenteditor", "contenteditor", [{"type": "EditorSession", "id": token(rng, 32)}])
    opened = recorder.clock
    start = {"type": "editor", "mode": "content", "pageid": "ecml-editor", "duration": 3.2}
    recorder.record("START", {**start, "uaspec": learner.browser["uaspec"]}, draft)
    recorder.record("IMPRESSION", {"type": "edit", "pageid": "ecml-editor", "uri": "/workspace/edit"}, draft)
    for _ in range(rng.randrange(6, 20)):
        recorder.record("INTERACT", _build(recorder, lesson), draft, after=15)
    _search(recorder, learner)
    _save(recorder, draft)
    spent = round((recorder.clock - opened) / 1000, 2)
    recorder.record("END", {"type": "editor", "mode": "content", "pageid": "", "duration": spent}, draft)
    return recorder.events


def _build(recorder: Recorder, lesson: Lesson) -> Json:
    """Put something on the stage."""
    rng = recorder.rng
    plugin = rng.choice(PLUGINS)
    stage = {"id": token(rng), "type": "stage"}
    return {
        "type": rng.choice(("CLICK", "DRAG", "select")),
        "subtype": rng.choice(("create", "modify", "delete")),
        "id": "stage-canvas",
        "pageid": "ecml-editor",
        "target": {"id": token(rng), "ver": "1.0", "type": "plugin", "parent": stage},
        "plugin": {"id": plugin, "ver": "1.2", "category": "core"},
        "extra": {"values": [{"title": lesson.title}]},
    }


def _save(recorder: Recorder, draft: Json) -> None:
    params = [{"url": f"/content/v4/update/{draft['id']}"}, {"method": "PATCH"}, {"status": 200}]
    saved = {"type": "api_call", "level": "INFO", "message": "content saved", "pageid": "ecml-editor"}
    recorder.record("LOG", {**saved, "params": params}, draft)
    audit = {"type": "content", "props": ["status"], "state": "Review", "prevstate": "Draft"}
    recorder.record("AUDIT", audit, draft, after=1)
