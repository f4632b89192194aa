"""What runs behind the app: services that answer requests, and the analytics jobs of the night."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .recorder import Json, Recorder, token, uuid4

if TYPE_CHECKING:
    from random import Random

    from .people import Learner

# (component, environment, product line, version)
COMPONENTS = (
    ("content-service", "content", "learning.service", "5.1.2"),
    ("learner-service", "user", "learning.service", "5.4.0"),
    ("search-service", "search", "learning.platform", "1.0"),
    ("lms-service", "course", "learning.service", "5.2.1"),
)
CALLS = (
    ("content read", "GET", "/content/v2/read"),
    ("user read", "GET", "/user/v5/read"),
    ("course enrol", "POST", "/course/v1/enrol"),
    ("form read", "POST", "/data/v1/form/read"),
)
CHANGES = (
    ("Content", ["status", "lastPublishedOn"], "Live", "Review"),
    ("User", ["email", "profileLocation"], "Update", "Active"),
    ("CourseBatch", ["enrolments"], "Updated", "Created"),
)
JOBS = ("WorkflowSummaryModel", "DeviceSummaryModel", "ContentRatingUpdater", "AssessmentAggregator")


def requests(rng: Random, clock: int, learner: Learner) -> list[Json]:
    """Answer a few requests of one service: LOG each, with what it looks up, changes or breaks."""
    component, env, line, version = rng.choice(COMPONENTS)
    pdata = {"id": f"{learner.tenant.product}.{line}", "pid": component, "ver": version}
    context = {
        "channel": learner.tenant.channel,
        "pdata": pdata,
        "env": env,
        "did": f"{component}-{token(rng, 9)}-{token(rng, 5)}",
        "cdata": [],
        "rollup": {"l1": learner.tenant.channel},
    }
    recorder = Recorder(rng, clock, {"id": "internal", "type": "Consumer"}, context, mid="LP.{ms}.{uuid}")
    for _ in range(rng.randrange(3, 9)):
        _answer(recorder, learner, component)
    _report(recorder, component)
    return recorder.events


def _answer(recorder: Recorder, learner: Learner, component: str) -> None:
    """Log one request under the id that all its events share."""
    rng = recorder.rng
    rid = uuid4(rng)
    recorder.context = {**recorder.base, "cdata": [{"type": "Request", "id": rid}]}
    title, method, url = rng.choice(CALLS)
    failed = rng.random() < 0.06
    params: list[Json] = [
        {"rid": rid},
        {"title": title},
        {"url": f"{url}/{token(rng)}"},
        {"method": method},
        {"status": 500 if failed else 200},
        {"duration": int(rng.expovariate(1 / 80))},
        {"protocol": "https"},
        {"size": rng.randrange(200, 60_000)},
    ]
    log = {"type": "api_access", "level": "ERROR" if failed else "INFO", "message": title, "params": params}
    recorder.record("LOG", log, after=2)
    if failed:
        _fail(recorder, url)
    elif component == "search-service":
        _look_up(recorder, learner)
    elif rng.random() < 0.3:
        _change(recorder)


def _fail(recorder: Recorder, url: str) -> None:
    frames = "".join(
        f"\tat org.sunbird.{name}\n" for name in ("Actor.ask(Actor.java:77)", "Api.run(Api.java:51)")
    )
    stack = f"java.util.concurrent.TimeoutException: no answer from {url} after 30000 ms\n{frames}"
    edata = {"err": "SERVER_ERROR", "errtype": "SYSTEM", "stacktrace": stack}
    recorder.record("ERROR", edata, after=0.1)


def _look_up(recorder: Recorder, learner: Learner) -> None:
    """Search for somebody else: this service writes nulls for what it was not told."""
    top = [{"identifier": lesson.ref["id"]} for lesson in learner.lessons[:4]]
    edata = {
        "type": None,
        "query": recorder.rng.choice(learner.language.searches),
        "filters": {"objectType": ["Content"], "status": ["Live"], "se_mediums": [learner.language.name]},
        "sort": {},
        "correlationid": None,
        "size": recorder.rng.randrange(5000),
        "topn": top,
    }
    recorder.record("SEARCH", edata, after=0.1)


def _change(recorder: Recorder) -> None:
    kind, props, state, before = recorder.rng.choice(CHANGES)
    item = {"id": uuid4(recorder.rng), "type": kind, "ver": str(recorder.clock)}
    edata = {"type": kind.lower(), "props": props, "state": state, "prevstate": before, "duration": 4}
    recorder.record("AUDIT", edata, item, after=0.2)


def _report(recorder: Recorder, component: str) -> None:
    """Say how the service is doing."""
    rng = recorder.rng
    recorder.context = recorder.base
    median = rng.uniform(8, 120)
    figures = {
        "requests": rng.randrange(200, 5000),
        "errors": rng.randrange(12),
        "p50_latency_ms": round(median, 2),
        "p95_latency_ms": round(median * rng.uniform(2, 9), 2),
        "heap_used_mb": round(rng.uniform(300, 900), 1),
        "db_pool_active": rng.randrange(20),
    }
    metrics = [{"metric": name, "value": value} for name, value in figures.items()]
    recorder.record("METRICS", {"system": component, "subsystem": "http", "metrics": metrics}, after=10)
    if rng.random() < 0.5:
        depth = {"depth": rng.randrange(40), "oldest": round(rng.random(), 3)}
        edata = {"status": "up", "uptime": rng.randrange(10**6), "queue": depth}
        recorder.record("HEARTBEAT", edata, after=10)


def job_run(rng: Random, clock: int, learner: Learner) -> list[Json]:
    """Run one analytics job: JOB_START, JOB_LOG …, JOB_END, which no official schema knows."""
    model = rng.choice(JOBS)
    pdata = {"id": "AnalyticsDataPipeline", "pid": model, "ver": "1.0"}
    context = {"channel": learner.tenant.channel, "pdata": pdata, "env": "analytics"}
    recorder = Recorder(rng, clock, {"id": "", "type": "System"}, context, mid="{hex}")
    day = time.strftime("%Y-%m-%d", time.gmtime(clock / 1000 - 86_400))
    events = rng.randrange(10**4, 10**6)
    query = {"bucket": "telemetry-data-store", "prefix": "unique/", "endDate": day, "delta": 0}
    config = {"search": {"type": "s3", "queries": [query]}, "model": model, "parallelization": 8}
    _say(recorder, "JOB_START", f"Started processing of {model}", {"config": config, "date": day})
    for step in range(1, rng.randrange(2, 5)):
        data = {"step": step, "files": rng.randrange(1, 90), "events": events // step}
        _say(recorder, "JOB_LOG", f"Step {step} done", data)
    result = {"date": day, "inputEvents": events, "outputEvents": events // 170, "timeTaken": 12.0}
    _say(recorder, "JOB_END", f"{model} processing complete", {"status": "SUCCESS", **result})
    return recorder.events


def _say(recorder: Recorder, eid: str, message: str, data: Json) -> None:
    origin = f"analytics.jobs.{recorder.base['pdata']['pid']}"
    recorder.record(eid, {"class": origin, "level": "INFO", "message": message, "data": data}, after=30)
