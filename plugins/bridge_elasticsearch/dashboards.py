"""The usual questions about telemetry, as saved objects of Kibana and OpenSearch Dashboards.

    python -m bridge_elasticsearch.dashboards --index 'telemetryindex-v1*' > sunbird.ndjson

Both products import the format of 7.10, from before they parted. The files in
`assets/dashboards` are what this module writes for the default index and either shape.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["PANELS", "Metric", "Panel", "saved_objects"]

PATTERN_ID = "sunbird-telemetry"
VERSIONS = {"index-pattern": "7.6.0", "visualization": "7.10.0", "search": "7.9.3", "dashboard": "7.9.3"}
META_REF = "kibanaSavedObjectMeta.searchSourceJSON.index"
ROW, GRID = 12, 48
COLUMNS = [
    "eid",
    "actor.id",
    "context.channel",
    "context.pdata.id",
    "object.id",
    "edata.type",
    "edata.pageid",
]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Metric:
    """What is counted or averaged; without a field: documents."""

    label: str
    kind: Literal["count", "cardinality", "avg", "median"] = "count"
    field: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One question: what is counted, split by which fields or over time, among which events."""

    id: str
    title: str
    metrics: tuple[Metric, ...]
    split: tuple[str, ...] = ()
    query: str = ""
    over_time: bool = False
    width: int = 24

    @property
    def kind(self) -> str:
        """The type of visualisation: bars over time, a table, or plain numbers."""
        if self.over_time:
            return "histogram" if self.split else "line"
        return "table" if self.split else "metric"


EVENTS = Metric("Events")
PEOPLE = Metric("People", "cardinality", "actor.id")
DEVICES = Metric("Devices", "cardinality", "context.did")

PANELS = (
    Panel("totals", "How much, by how many", (EVENTS, PEOPLE, DEVICES), width=48),
    Panel("events", "Events by type over time", (EVENTS,), ("eid",), over_time=True),
    Panel("people", "People and devices over time", (PEOPLE, DEVICES), over_time=True),
    Panel("pages", "Most visited pages", (EVENTS, PEOPLE), ("edata.pageid",), "eid:IMPRESSION"),
    Panel("controls", "Most used controls", (EVENTS, PEOPLE), ("edata.id", "edata.type"), "eid:INTERACT"),
    Panel("content", "Most opened content", (EVENTS, PEOPLE), ("object.id", "object.type"), "eid:START"),
    Panel(
        "time",
        "Time spent, seconds",
        (
            Metric("Sessions"),
            Metric("Mean", "avg", "edata.duration"),
            Metric("Median", "median", "edata.duration"),
        ),
        ("edata.type",),
        "eid:END",
    ),
    Panel("errors", "Errors", (EVENTS, DEVICES), ("edata.err", "edata.errtype"), "eid:ERROR"),
    Panel(
        "errors-time",
        "Errors by application version",
        (EVENTS,),
        ("context.pdata.ver",),
        "eid:ERROR",
        over_time=True,
    ),
    Panel("searches", "Most frequent searches", (EVENTS, PEOPLE), ("edata.query",), "eid:SEARCH"),
    Panel(
        "misses", "Searches that found nothing", (EVENTS,), ("edata.query",), "eid:SEARCH and edata.size:0"
    ),
    Panel(
        "assessment",
        "Questions: attempts, mean score",
        (Metric("Attempts"), Metric("Mean score", "avg", "edata.score")),
        ("edata.item.id", "edata.pass"),
        "eid:ASSESS",
    ),
    Panel(
        "producers", "Applications and versions", (EVENTS, DEVICES), ("context.pdata.id", "context.pdata.ver")
    ),
    Panel("channels", "Channels", (EVENTS, PEOPLE), ("context.channel",)),
)


def saved_objects(shape: Literal["sunbird", "ecs"], index: str) -> list[Json]:
    """Build the index pattern, a search, every panel and the dashboard for an index pattern.

    Times are `ets` of the events in the shape `sunbird`, for these need not hold `@timestamp`.
    """
    prefix, clock = ("sunbird.", "@timestamp") if shape == "ecs" else ("", "ets")
    pattern = _object("index-pattern", "", {"title": index, "timeFieldName": clock}, [])
    return [
        pattern,
        _latest(prefix, clock),
        *(_visualization(panel, prefix, clock) for panel in PANELS),
        _dashboard(),
    ]


def _latest(prefix: str, clock: str) -> Json:
    attributes = {
        "title": "Sunbird: latest events",
        "columns": [prefix + name for name in COLUMNS],
        "sort": [[clock, "desc"]],
        "kibanaSavedObjectMeta": {"searchSourceJSON": _source("")},
    }
    return _object("search", "latest", attributes, [_reference(META_REF, "index-pattern", "")])


def _visualization(panel: Panel, prefix: str, clock: str) -> Json:
    state = {
        "title": f"Sunbird: {panel.title}",
        "type": panel.kind,
        "aggs": _aggregations(panel, prefix, clock),
        "params": _parameters(panel),
    }
    attributes = {
        "title": f"Sunbird: {panel.title}",
        "description": "",
        "version": 1,
        "uiStateJSON": "{}",
        "visState": _text(state),
        "kibanaSavedObjectMeta": {"searchSourceJSON": _source(_prefixed(panel.query, prefix))},
    }
    return _object("visualization", panel.id, attributes, [_reference(META_REF, "index-pattern", "")])


def _aggregations(panel: Panel, prefix: str, clock: str) -> list[Json]:
    found: list[Json] = []
    for metric in panel.metrics:
        params: Json = {
            "customLabel": metric.label,
            **({"field": prefix + metric.field} if metric.field else {}),
        }
        found.append(_aggregation(found, metric.kind, "metric", params))
    if panel.over_time:
        params = {"field": clock, "interval": "auto", "min_doc_count": 1, "drop_partials": False}
        found.append(_aggregation(found, "date_histogram", "segment", {**params, "extended_bounds": {}}))
    for field in panel.split:
        params = {"field": prefix + field, "size": 10, "order": "desc", "orderBy": "1"}
        found.append(_aggregation(found, "terms", "group" if panel.over_time else "bucket", params))
    return found


def _aggregation(before: list[Json], kind: str, schema: str, params: Json) -> Json:
    return {"id": str(len(before) + 1), "enabled": True, "type": kind, "schema": schema, "params": params}


def _parameters(panel: Panel) -> Json:
    if panel.over_time:
        return _axes(panel)
    if panel.split:
        return {"perPage": 10, "showPartialRows": False, "showTotal": False, "totalFunc": "sum"}
    font = {"bgFill": "#000", "bgColor": False, "labelColor": False, "subText": "", "fontSize": 40}
    colors = {
        "colorSchema": "Green to Red",
        "colorsRange": [{"from": 0, "to": 10_000}],
        "invertColors": False,
    }
    labels = {
        "labels": {"show": True},
        "metricColorMode": "None",
        "useRanges": False,
        "percentageMode": False,
    }
    return {"type": "metric", "addTooltip": True, "metric": {**labels, **colors, "style": font}}


def _axes(panel: Panel) -> Json:
    labels = {"show": True, "filter": True, "truncate": 100}
    axis = {"show": True, "style": {}, "labels": labels, "title": {}}
    series = {"show": True, "mode": "stacked" if panel.split else "normal", "valueAxis": "ValueAxis-1"}
    lines = {"type": panel.kind, "drawLinesBetweenPoints": True, "lineWidth": 2, "showCircles": True}
    return {
        "type": panel.kind,
        "addTooltip": True,
        "addLegend": True,
        "legendPosition": "right",
        "times": [],
        "addTimeMarker": False,
        "grid": {"categoryLines": False},
        "categoryAxes": [
            {
                **axis,
                "id": "CategoryAxis-1",
                "type": "category",
                "position": "bottom",
                "scale": {"type": "linear"},
            }
        ],
        "valueAxes": [
            {
                **axis,
                "id": "ValueAxis-1",
                "name": "LeftAxis-1",
                "type": "value",
                "position": "left",
                "scale": {"type": "linear", "mode": "normal"},
            }
        ],
        "seriesParams": [
            {**series, **lines, "data": {"id": str(number), "label": metric.label}}
            for number, metric in enumerate(panel.metrics, 1)
        ],
    }


def _dashboard() -> Json:
    panels, references, x, y = [], [], 0, 0
    kinds = [*((panel.id, "visualization", panel.width) for panel in PANELS), ("latest", "search", GRID)]
    for number, (name, kind, width) in enumerate(kinds):
        x, y = (0, y + ROW) if x + width > GRID else (x, y)
        place = {"x": x, "y": y, "w": width, "h": ROW, "i": str(number)}
        panel = {"version": "7.10.0", "gridData": place, "panelIndex": str(number), "embeddableConfig": {}}
        panels.append({**panel, "panelRefName": f"panel_{number}"})
        references.append(_reference(f"panel_{number}", kind, name))
        x += width
    attributes = {
        "title": "Sunbird telemetry",
        "description": "Who uses what, for how long, and what fails",
        "hits": 0,
        "version": 1,
        "panelsJSON": _text(panels),
        "optionsJSON": _text({"useMargins": True, "hidePanelTitles": False}),
        "timeRestore": True,
        "timeFrom": "now-7d",
        "timeTo": "now",
        "kibanaSavedObjectMeta": {
            "searchSourceJSON": _text({"query": {"query": "", "language": "kuery"}, "filter": []})
        },
    }
    return _object("dashboard", "dashboard", attributes, references)


def _object(kind: str, name: str, attributes: Json, references: list[Json]) -> Json:
    identifier = f"{PATTERN_ID}-{name}" if name else PATTERN_ID
    version = {"migrationVersion": {kind: VERSIONS[kind]}}
    return {"id": identifier, "type": kind, "attributes": attributes, "references": references, **version}


def _reference(role: str, kind: str, name: str) -> Json:
    return {"name": role, "type": kind, "id": f"{PATTERN_ID}-{name}" if name else PATTERN_ID}


def _source(query: str) -> str:
    return _text({"query": {"query": query, "language": "kuery"}, "filter": [], "indexRefName": META_REF})


def _prefixed(query: str, prefix: str) -> str:
    return " ".join(prefix + word if ":" in word else word for word in query.split())


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def main() -> None:
    """Write saved objects to standard output, one a line."""
    parser = argparse.ArgumentParser(description="Saved objects for Kibana and OpenSearch Dashboards")
    parser.add_argument("--shape", choices=("sunbird", "ecs"), default="sunbird", help="as in the sink")
    parser.add_argument("--index", default="sunbird-telemetry-*", help="index pattern to look at")
    arguments = parser.parse_args()
    for line in saved_objects(arguments.shape, arguments.index):
        sys.stdout.write(_text(line) + "\n")


if __name__ == "__main__":
    main()
