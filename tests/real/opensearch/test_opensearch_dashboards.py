"""Every panel's question, put to a real server as the dashboard would put it."""

from __future__ import annotations

import json

import pytest

from bridge.testing import samples
from bridge_elasticsearch.dashboards import saved_objects

pytestmark = pytest.mark.real

INTERVALS = {"auto": "1d"}


def as_query(text):
    """The few words of Kibana's query language that the panels use."""
    terms = [part.split(":") for part in text.split(" and ") if part]
    return {"bool": {"filter": [{"term": {field: value}} for field, value in terms]}}


def as_aggregations(state):
    """Nest the buckets of a panel in order, its metrics innermost."""
    metrics, buckets = {}, []
    for one in state["aggs"]:
        params = dict(one["params"])
        if one["schema"] == "metric":
            if one["type"] != "count":
                kind = {"median": "percentiles"}.get(one["type"], one["type"])
                metrics[one["id"]] = {kind: {"field": params["field"]}}
        elif one["type"] == "date_histogram":
            body = {
                "field": params["field"],
                "fixed_interval": INTERVALS[params["interval"]],
                "min_doc_count": 1,
            }
            buckets.append({"date_histogram": body})
        else:
            buckets.append({"terms": {"field": params["field"], "size": params["size"]}})
    found = metrics
    for number, bucket in enumerate(reversed(buckets)):
        found = {f"b{number}": {**bucket, **({"aggs": found} if found else {})}}
    return found


@pytest.mark.parametrize("shape", ["sunbird", "ecs"])
def test_every_panel_has_an_answer(server, name, ready_sink, event, deliver, refresh, shape):
    sink = ready_sink(shape=shape)
    events = [event(eid, {"object": {"id": "do_1", "type": "Content"}}, mid=f"m-{eid}") for eid in samples()]
    events.append(event("SEARCH", {"edata.size": 0}, mid="m-nothing-found"))
    deliver(sink, events)
    refresh()
    for line in saved_objects(shape, f"{name}-*"):
        if line["type"] != "visualization":
            continue
        state = json.loads(line["attributes"]["visState"])
        source = json.loads(line["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])
        body = {"size": 0, "query": as_query(source["query"]["query"]), "aggs": as_aggregations(state)}
        answer = server.ok("POST", f"/{name}*/_search", body)
        assert answer["hits"]["total"]["value"] > 0, line["id"]
        outer = [found for key, found in answer.get("aggregations", {}).items() if key.startswith("b")]
        assert all(found["buckets"] for found in outer), line["id"]
