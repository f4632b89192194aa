"""Who takes part: learners with a phone and a browser, and the lessons of their medium."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .content import BROWSERS, PHONES, TENANTS, Language, Tenant
from .recorder import Json, Recorder, token, uuid4

if TYPE_CHECKING:
    from random import Random

APP_VERSIONS = ("6.0.498", "6.0.512", "6.0.512", "7.0.3")
PORTAL_VERSIONS = ("5.2.0", "5.3.0", "5.3.0")


@dataclass(frozen=True, slots=True)
class Lesson:
    """One piece of content in a textbook; `ref` is how events name it."""

    title: str
    subject: str
    language: Language
    ref: Json
    textbook: Json


@dataclass(frozen=True, slots=True)
class Learner:
    """One person; the devices are those of a household and keep their ids."""

    user: Json
    tenant: Tenant
    language: Language
    grade: int
    district: str
    phone: Json
    app_version: str
    browser: Json
    portal_version: str
    lessons: tuple[Lesson, ...]

    def on_phone(self, rng: Random, clock: int) -> Recorder:
        """Open the mobile app; who has not signed in is known by the device."""
        actor = self.user if rng.random() < 0.85 else {"id": self.phone["id"], "type": "User"}
        pdata = {"id": f"{self.tenant.product}.app", "pid": "sunbird.app", "ver": self.app_version}
        platform, _, _ = self.phone["os"].partition(" ")
        context = self._context(rng, "home", {**pdata, "platform": platform}, self.phone["id"])
        return Recorder(rng, clock, actor, context)

    def in_browser(self, rng: Random, clock: int) -> Recorder:
        """Open the portal."""
        pdata = {"id": f"{self.tenant.product}.portal", "pid": "sunbird-portal", "ver": self.portal_version}
        context = self._context(rng, "explore", pdata, self.browser["did"])
        return Recorder(rng, clock, self.user, context, mid="{eid}:{hex}")

    def _context(self, rng: Random, env: str, pdata: Json, did: str) -> Json:
        channel = self.tenant.channel
        session = {"type": "UserSession", "id": token(rng, 32)}
        return {
            "channel": channel,
            "pdata": pdata,
            "env": env,
            "sid": uuid4(rng),
            "did": did,
            "cdata": [session, {"type": "Medium", "id": self.language.name}],
            "rollup": {"l1": channel},
        }


def populate(rng: Random, learners: int = 400) -> list[Learner]:
    """Invent the learners, each with a tenant, a medium, devices and lessons."""
    shelves = {
        tenant.channel: {lang.name: _shelf(rng, lang) for lang in tenant.languages} for tenant in TENANTS
    }
    return [_learner(rng, number, shelves) for number in range(learners)]


def _content_id(rng: Random) -> str:
    return f"do_31{rng.randrange(10**17, 10**18)}"


def _shelf(rng: Random, language: Language) -> tuple[Lesson, ...]:
    """Put the lessons of one medium into a textbook each."""
    lessons = []
    for title, subject in language.lessons:
        book, unit = _content_id(rng), _content_id(rng)
        version = str(rng.randrange(1, 9))
        ref = {"id": _content_id(rng), "type": "Content", "ver": version, "rollup": {"l1": book, "l2": unit}}
        textbook = {"id": book, "type": "TextBook", "ver": "2", "rollup": {"l1": book}}
        lessons.append(Lesson(title, subject, language, ref, textbook))
    return tuple(lessons)


def _learner(rng: Random, number: int, shelves: dict[str, dict[str, tuple[Lesson, ...]]]) -> Learner:
    tenant = rng.choice(TENANTS)
    language = rng.choice(tenant.languages)
    # One in five signs in through a state's own system, which gives federated ids.
    user = uuid4(rng) if rng.random() < 0.8 else f"f:{uuid4(rng)}:{1000 + number}"
    return Learner(
        user={"id": user, "type": "User"},
        tenant=tenant,
        language=language,
        grade=rng.randrange(3, 11),
        district=rng.choice(tenant.districts),
        phone=_phone(rng),
        app_version=rng.choice(APP_VERSIONS),
        browser=_browser(rng),
        portal_version=rng.choice(PORTAL_VERSIONS),
        lessons=shelves[tenant.channel][language.name],
    )


def _phone(rng: Random) -> Json:
    """Describe a phone as START events do (`dspec`)."""
    make, system, cpu, memory, disk = rng.choice(PHONES)
    return {
        "id": token(rng, 40),
        "os": system,
        "make": make,
        "mem": memory,
        "idisk": disk,
        "edisk": rng.choice((-1, 14.8, 29.6)),
        "scrn": rng.choice((5.5, 6.1, 6.67)),
        "camera": "48.0,13.0",
        "cpu": cpu,
        "sims": rng.choice((1, 2)),
        "cap": [],
    }


def _browser(rng: Random) -> Json:
    """Describe a browser as START events do (`uaspec`), with the device id its SDK computes."""
    agent, version, system, engine = rng.choice(BROWSERS)
    raw = f"Mozilla/5.0 ({system}) {agent}/{version}"
    uaspec = {"agent": agent, "ver": version, "system": system, "platform": engine, "raw": raw}
    return {"did": token(rng, 32), "uaspec": uaspec}
