"""The content player, which the app and the portal share: slides, questions, the end page."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from .recorder import Json, Recorder, token

if TYPE_CHECKING:
    from .people import Learner, Lesson

MISTAKE_RATE = 0.3


def play(recorder: Recorder, learner: Learner, lesson: Lesson, pid: str) -> None:
    """Play one lesson from START to END, with what the learner does in between."""
    rng = recorder.rng
    cdata = [{"type": kind, "id": token(rng, 32)} for kind in ("ContentSession", "PlaySession")]
    recorder.enter("contentplayer", pid, [*cdata, {"type": "PlayerVersion", "id": "3.4"}])
    opened, first = recorder.clock, len(recorder.events)
    start = {"type": "content", "mode": "play", "pageid": "", "duration": round(rng.uniform(0.4, 5.0), 2)}
    recorder.record("START", start, lesson.ref, after=1.5)
    slides = rng.randrange(3, 9)
    for slide in range(1, slides + 1):
        _slide(recorder, lesson, slide)
    score = _quiz(recorder, lesson) if rng.random() < 0.7 else 0
    _finish(recorder, lesson, opened, score, recorder.events[first:])
    _rate(recorder, learner, lesson)


def _slide(recorder: Recorder, lesson: Lesson, slide: int) -> None:
    """Look at a slide, and touch, listen or leave the app for a moment."""
    rng = recorder.rng
    page = f"slide-{slide}"
    impression = {"type": "workflow", "subtype": "", "pageid": page, "uri": f"{lesson.ref['id']}/{page}"}
    recorder.record("IMPRESSION", impression, lesson.ref, after=9)
    luck = rng.random()
    if luck < 0.25:
        recorder.record("INTERACT", _listen(rng.choice(("PLAY", "PAUSE", "STOP")), page), lesson.ref)
    elif luck < 0.30:
        recorder.record("INTERRUPT", {"type": "background", "pageid": page}, lesson.ref, after=20)
        recorder.record("INTERRUPT", {"type": "resume", "pageid": page}, lesson.ref, after=60)
    recorder.record("INTERACT", _turn(recorder, lesson, page), lesson.ref, after=12)


def _listen(subtype: str, page: str) -> Json:
    return {"type": "LISTEN", "subtype": subtype, "id": "narration", "pageid": page, "extra": {"pos": []}}


def _turn(recorder: Recorder, lesson: Lesson, page: str) -> Json:
    """Touch the button that leads on."""
    place = {"x": round(320 * recorder.rng.random(), 1), "y": round(640 * recorder.rng.random(), 1)}
    return {
        "type": "TOUCH",
        "subtype": "next-clicked",
        "id": "btn-next",
        "pageid": page,
        "extra": {"pos": [place], "values": [{"title": lesson.title}]},
    }


def _quiz(recorder: Recorder, lesson: Lesson) -> int:
    """Answer the questions; returns how many were right."""
    attempt = {"type": "AttemptId", "id": token(recorder.rng, 32)}
    recorder.context = {**recorder.context, "cdata": [*recorder.context["cdata"], attempt]}
    questions = lesson.language.questions
    return sum(
        _answer(recorder, lesson, index, questions[index % len(questions)])
        for index in range(1, recorder.rng.randrange(3, 7))
    )


def _answer(recorder: Recorder, lesson: Lesson, index: int, question: tuple[str, tuple[str, ...]]) -> bool:
    """Choose an option (RESPONSE), which the player then evaluates (ASSESS)."""
    rng = recorder.rng
    title, options = question
    right = rng.random() >= MISTAKE_RATE
    chosen = 0 if right else rng.randrange(1, len(options))
    number = str(chosen + 1)
    item_id = f"{lesson.ref['id']}-q{index}"
    target = {"id": item_id, "ver": "1.0", "type": "AssessmentItem", "parent": _parent(lesson)}
    values = [{f"option{number}": options[chosen]}, {"state": "selected"}]
    recorder.record("RESPONSE", {"target": target, "type": "CHOOSE", "values": values}, lesson.ref, after=10)
    params = [{str(place): {"text": text}} for place, text in enumerate(options, 1)]
    item = {
        "id": item_id,
        "maxscore": 1,
        "exlength": 0,
        "params": [*params, {"answer": {"correct": ["1"]}}],
        "uri": "",
        "desc": "",
        "title": title,
        "mmc": [],
        "mc": [],
        "type": "mcq",
    }
    edata = {
        "item": item,
        "index": index,
        "pass": "Yes" if right else "No",
        "score": int(right),
        "resvalues": [{number: {"text": options[chosen]}}],
        "duration": round(rng.uniform(3, 40), 1),
    }
    recorder.record("ASSESS", edata, lesson.ref, after=0.2)
    return right


def _parent(lesson: Lesson) -> Json:
    return {"id": lesson.ref["id"], "type": "Content"}


def _finish(recorder: Recorder, lesson: Lesson, opened: int, score: int, played: list[Json]) -> None:
    """Close the player: its own summary of the events `played`, then END."""
    seen = Counter(event["eid"] for event in played)
    slides = seen["IMPRESSION"]
    spent = round((recorder.clock - opened) / 1000, 2)
    if recorder.rng.random() < 0.5:
        summary = {
            "type": "content",
            "mode": "play",
            "starttime": opened,
            "endtime": recorder.clock,
            "timespent": spent,
            "pageviews": slides,
            "interactions": seen["INTERACT"],
            "extra": [{"id": "progress", "value": "100"}, {"id": "score", "value": str(score)}],
        }
        recorder.record("SUMMARY", summary, lesson.ref, after=0.5)
    progress = [{"progress": 100}, {"totallength": slides}, {"visitedlength": slides}, {"score": score}]
    end = {"type": "content", "mode": "play", "duration": spent, "pageid": "end-page", "summary": progress}
    recorder.record("END", end, lesson.ref, after=2)


def _rate(recorder: Recorder, learner: Learner, lesson: Lesson) -> None:
    rng = recorder.rng
    if rng.random() < 0.3:
        edata = {"rating": rng.choice((3, 4, 4, 5, 5)), "comments": rng.choice(learner.language.comments)}
        recorder.record("FEEDBACK", edata, lesson.ref, after=8)
