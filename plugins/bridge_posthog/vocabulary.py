"""The words: what each Sunbird event, and each key of its `edata`, is called in PostHog.

Event names are `[object] [verb]` in the past tense and few; detail is in properties. A
property has one name and one type wherever it occurs. What a table does not name becomes
`edata_<path>`. `naming` adds what depends on more than one key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge_posthog.converters import (
    Columns,
    Pairs,
    as_flag,
    as_items,
    as_lower,
    as_merged,
    as_time,
    as_upper,
    as_visits,
    is_duration,
    is_measured,
)
from bridge_posthog.rules import (
    Rule,
    chosen_rule,
    free_rule,
    list_rule,
    made_rule,
    nested_rule,
    number_rule,
    object_rule,
    pure_rule,
    text_rule,
    texts_rule,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NAMES", "RULES"]

_PAGE = text_rule("page_id")
_DURATION = number_rule("duration_seconds")


def _target(identifier: str) -> Rule:
    parent = {"id": text_rule("target_parent_id"), "type": text_rule("target_parent_type")}
    return nested_rule(
        "target",
        {
            "id": text_rule(identifier),
            "ver": text_rule("target_version"),
            "type": text_rule("target_type"),
            "parent": nested_rule("target_parent", parent),
        },
    )


_PLUGIN = nested_rule(
    "plugin",
    {
        "id": text_rule("plugin_id"),
        "ver": text_rule("plugin_version"),
        "category": text_rule("plugin_category"),
    },
)
_DEVICE = nested_rule(
    "dspec",
    {
        "os": text_rule("$os"),
        "make": text_rule("$device_manufacturer"),
        "id": text_rule("device_id"),
        "mem": chosen_rule("device_memory", is_measured),
        "idisk": chosen_rule("device_internal_disk", is_measured),
        "edisk": chosen_rule("device_external_disk", is_measured),
        "scrn": chosen_rule("device_screen", is_measured),
        "camera": text_rule("device_camera"),
        "cpu": text_rule("device_cpu"),
        "sims": chosen_rule("device_sims", is_measured),
        "cap": texts_rule("device_capabilities"),
    },
)
_BROWSER = nested_rule(
    "uaspec",
    {
        "agent": text_rule("$browser"),
        "ver": text_rule("$browser_version"),
        "system": text_rule("browser_system"),
        "platform": text_rule("browser_platform"),
        "raw": text_rule("$raw_user_agent"),
    },
)
_QUESTION = nested_rule(
    "item",
    {
        "id": text_rule("question_id"),
        "type": text_rule("question_type"),
        "title": text_rule("question_title"),
        "desc": text_rule("question_description"),
        "uri": text_rule("question_uri"),
        "maxscore": number_rule("max_score"),
        "exlength": number_rule("expected_seconds"),
        "params": list_rule("question_params"),
        "mc": texts_rule("question_concepts"),
        "mmc": texts_rule("question_misconceptions"),
    },
)
_ERROR_OBJECT = nested_rule(
    "object",
    {
        "id": text_rule("error_object_id"),
        "type": text_rule("error_object_type"),
        "ver": text_rule("error_object_version"),
        "subtype": text_rule("error_object_subtype"),
        "name": text_rule("error_object_name"),
        "code": text_rule("error_object_code"),
    },
)
_ACTIVITY = {"type": text_rule("activity_type"), "mode": text_rule("mode"), "pageid": _PAGE}
_JOB = {
    "level": pure_rule("log_level", as_upper, kept=True),
    "message": text_rule("message"),
    "status": text_rule("job_status"),
}

RULES: Mapping[str, Mapping[str, Rule]] = {
    "START": {
        **_ACTIVITY,
        "duration": chosen_rule("duration_seconds", is_duration),
        "loc": text_rule("location"),
        "dspec": _DEVICE,
        "uaspec": _BROWSER,
    },
    "END": {
        **_ACTIVITY,
        "duration": _DURATION,
        "summary": made_rule("summary", Columns("summary")),
        "summaryList": made_rule("summary", Columns("summary")),
    },
    "IMPRESSION": {
        "type": text_rule("page_type"),
        "subtype": text_rule("page_subtype"),
        "pageid": _PAGE,
        "uri": text_rule("uri"),
        "duration": _DURATION,
        "visits": pure_rule("visits", as_visits),
    },
    "INTERACT": {
        "type": pure_rule("interaction_type", as_upper, kept=True),
        "subtype": text_rule("interaction_subtype"),
        "id": text_rule("element_id"),
        "pageid": _PAGE,
        "duration": _DURATION,
        "target": _target("target_id"),
        "plugin": _PLUGIN,
        "extra": nested_rule(
            "extra",
            {"pos": free_rule("edata_extra_pos"), "values": free_rule("edata_extra_values")},
            depth=2,
        ),
    },
    "ASSESS": {
        "item": _QUESTION,
        "index": number_rule("question_index"),
        "pass": pure_rule("passed", as_flag, kept=True),
        "score": number_rule("score"),
        "resvalues": pure_rule("response", as_merged),
        "duration": _DURATION,
    },
    "RESPONSE": {
        "target": _target("question_id"),
        "type": text_rule("response_type"),
        "values": pure_rule("response", as_merged),
    },
    "INTERRUPT": {"type": pure_rule("interrupt_type", as_lower, kept=True), "pageid": _PAGE},
    "FEEDBACK": {
        "rating": number_rule("rating"),
        "comments": text_rule("comment"),
        "commentid": text_rule("comment_id"),
        "commenttxt": text_rule("comment_text"),
    },
    "SHARE": {
        "dir": text_rule("share_direction"),
        "type": text_rule("share_type"),
        "items": made_rule("items", as_items),
    },
    "AUDIT": {
        "type": text_rule("audit_type"),
        "props": texts_rule("changed_fields"),
        "state": text_rule("state"),
        "prevstate": text_rule("previous_state"),
        "duration": _DURATION,
    },
    "SEARCH": {
        "type": text_rule("search_type"),
        "query": text_rule("query"),
        "size": number_rule("results_count"),
        "filters": object_rule("filters"),
        "sort": object_rule("sort"),
        "topn": list_rule("top_results"),
        "correlationid": text_rule("correlation_id"),
    },
    "ERROR": {
        "err": text_rule("error_code"),
        "errtype": text_rule("error_type"),
        "stacktrace": text_rule("stacktrace"),
        "pageid": _PAGE,
        "object": _ERROR_OBJECT,
        "plugin": _PLUGIN,
    },
    "LOG": {
        "type": text_rule("log_type"),
        "level": pure_rule("log_level", as_upper, kept=True),
        "message": text_rule("message"),
        "pageid": _PAGE,
        "params": pure_rule("params", as_merged),
    },
    "METRICS": {
        "system": text_rule("metrics_system"),
        "subsystem": text_rule("metrics_subsystem"),
        "metrics": made_rule("metric", Pairs("metric", "metric", "value")),
    },
    "SUMMARY": {
        "type": text_rule("summary_type"),
        "mode": text_rule("mode"),
        "starttime": pure_rule("started_at", as_time),
        "endtime": pure_rule("ended_at", as_time),
        "timespent": _DURATION,
        "pageviews": number_rule("pageview_count"),
        "interactions": number_rule("interaction_count"),
        "extra": made_rule("extra", Pairs("extra", "id", "value")),
    },
    "JOB_START": _JOB,
    "JOB_LOG": _JOB,
    "JOB_END": _JOB,
    "HEARTBEAT": {},
    "EXDATA": {},
}

NAMES: Mapping[str, str] = {
    "INTERACT": "element interacted",
    "ASSESS": "question assessed",
    "RESPONSE": "question answered",
    "FEEDBACK": "feedback submitted",
    "SHARE": "content shared",
    "AUDIT": "record updated",
    "SEARCH": "content searched",
    "ERROR": "error occurred",
    "LOG": "log recorded",
    "HEARTBEAT": "heartbeat received",
    "METRICS": "metrics reported",
    "EXDATA": "external data received",
    "SUMMARY": "session summarized",
    "JOB_START": "job started",
    "JOB_LOG": "job logged",
    "JOB_END": "job ended",
}
