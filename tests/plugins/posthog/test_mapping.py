"""What each Sunbird event becomes in PostHog."""

from __future__ import annotations

import json

import pytest

from bridge.errors import EventError
from bridge.testing import samples

HASH = 64


@pytest.mark.parametrize(
    ("eid", "changes", "name"),
    [
        ("IMPRESSION", {}, "$pageview"),
        ("IMPRESSION", {"context.pdata": {"id": "prod.x.app", "pid": "sunbird.app"}}, "$screen"),
        ("START", {"edata.type": "app"}, "Application Opened"),
        ("START", {"edata.type": "app", "context.pdata": {"id": "x.portal"}}, "app started"),
        ("START", {"edata.type": "session"}, "session started"),
        ("START", {"edata.type": "Editor"}, "editor started"),
        ("START", {"edata.type": "player"}, "content started"),
        ("START", {"edata.type": "content"}, "content started"),
        ("START", {"edata.type": "workflow"}, "workflow started"),
        ("START", {"edata.type": "assessment"}, "assessment started"),
        ("START", {"edata.type": "TextBookUnit"}, "activity started"),
        ("START", {"edata.type": ""}, "activity started"),
        ("END", {"edata.type": "app"}, "app ended"),
        ("END", {"edata.type": "player"}, "content ended"),
        ("END", {"edata.type": "qr"}, "activity ended"),
        ("INTERACT", {}, "element interacted"),
        ("ASSESS", {}, "question assessed"),
        ("RESPONSE", {}, "question answered"),
        ("INTERRUPT", {"edata.type": "BACKGROUND"}, "Application Backgrounded"),
        ("INTERRUPT", {"edata.type": "resume"}, "Application Opened"),
        ("INTERRUPT", {"edata.type": "OTHER"}, "session interrupted"),
        ("FEEDBACK", {}, "feedback submitted"),
        ("SHARE", {}, "content shared"),
        ("AUDIT", {}, "record updated"),
        ("ERROR", {}, "$exception"),
        ("HEARTBEAT", {}, "heartbeat received"),
        ("LOG", {}, "log recorded"),
        ("SEARCH", {}, "content searched"),
        ("METRICS", {}, "metrics reported"),
        ("SUMMARY", {}, "session summarized"),
        ("EXDATA", {}, "external data received"),
        ("JOB_START", {}, "job started"),
        ("JOB_LOG", {}, "job logged"),
        ("JOB_END", {}, "job ended"),
        ("XAPI_THING", {}, "sunbird xapi thing"),
    ],
)
@pytest.mark.parametrize("properties", ["flat", "raw"])
def test_every_type_of_event_has_one_name_in_both_modes(eid, changes, name, properties, event, posthog):
    assert posthog(event(eid, changes), properties=properties)["event"] == name


def test_every_official_type_is_named():
    from bridge_posthog.vocabulary import RULES

    assert set(samples()) <= set(RULES)


def test_a_page_view_carries_what_web_analytics_needs(event, posthog):
    found = posthog(event("IMPRESSION", {"edata.uri": "/play/content/do_1?contentType=Resource#top"}))
    properties = found["properties"]
    assert properties["$current_url"] == (
        "https://prod.pathshala.portal/play/content/do_1?contentType=Resource#top"
    )
    assert properties["$host"] == "prod.pathshala.portal"
    assert properties["$pathname"] == "/play/content/do_1"
    assert properties["page_id"] == "explore-course"
    assert properties["visit_count"] == 2
    assert properties["visits"][0]["objtype"] == "Content"


@pytest.mark.parametrize(
    ("uri", "url", "path"),
    [
        ("learn", "https://learn.example.org/app/learn", "/app/learn"),
        ("/", "https://learn.example.org/app/", "/app/"),
        ("https://other.example/x?y", "https://other.example/x?y", "/x"),
        ("http://other.example", "http://other.example", "/"),
    ],
)
def test_the_address_before_a_producers_pages_can_be_configured(uri, url, path, event, posthog):
    base = {"prod.pathshala.portal": "https://learn.example.org/app/"}
    properties = posthog(event("IMPRESSION", {"edata.uri": uri}), base_urls=base)["properties"]
    assert (properties["$current_url"], properties["$pathname"]) == (url, path)


def test_which_producers_are_apps_can_be_configured(event, posthog):
    view = event("IMPRESSION")
    assert posthog(view, app_producers="portal$")["event"] == "$screen"
    assert posthog(view, app_producers="portal$")["properties"]["$screen_name"] == "explore-course"


@pytest.mark.parametrize(
    ("producer", "app"),
    [
        ({"id": "prod.diksha.app"}, True),
        ({"id": "genie", "pid": "genieservice.android"}, True),
        ({"id": "x", "pid": "org.sunbird.mobile.player"}, True),
        ({"id": "prod.portal", "pid": "controllers.application"}, False),
        ({"id": "whatsapp.bot"}, False),
        ({"id": ""}, False),
    ],
)
def test_a_producer_is_an_app_if_a_part_of_its_name_says_so(producer, app, event, posthog):
    found = posthog(event("IMPRESSION", {"context.pdata": producer}))["event"]
    assert found == ("$screen" if app else "$pageview")


def test_a_start_says_what_it_runs_on(event, posthog):
    properties = posthog(event("START"))["properties"]
    assert properties["$os"] == "Android 14"
    assert properties["$device_manufacturer"] == "Redmi Note 12"
    assert properties["$browser"] == "Chrome"
    assert properties["$browser_version"] == "131.0"
    assert properties["$app_version"] == "6.0.512"
    assert properties["version"] == "6.0.512"
    assert properties["from_background"] is False
    assert properties["device_screen"] == 6.67
    assert "device_external_disk" not in properties  # -1 means unknown
    assert "mode" not in properties  # blank


def test_a_browsers_system_is_the_os_where_the_device_names_none(event, posthog):
    found = posthog(event("START", {"edata.dspec": {}, "edata.uaspec.system": "Windows"}))
    assert found["properties"]["$os"] == "Windows"


def test_a_time_of_day_in_place_of_a_starts_duration_is_left_out(event, posthog):
    properties = posthog(event("START", {"edata.duration": 1_795_241_008.8}))["properties"]
    assert not [name for name in properties if "duration" in name]


def test_an_end_tells_its_summary_in_columns(event, posthog):
    summary = [{"progress": 80}, {"totallength": 4, "endpageseen": True}]
    properties = posthog(event("END", {"edata.summary": summary}))["properties"]
    assert properties["summary_progress"] == 80
    assert properties["summary_totallength"] == 4
    assert properties["summary_endpageseen"] is True
    assert properties["activity_type"] == "content"


def test_an_assessed_question_is_easy_to_filter(event, posthog):
    properties = posthog(event("ASSESS"))["properties"]
    assert properties["question_id"] == "do_31375413017344"
    assert properties["passed"] is True
    assert (properties["score"], properties["max_score"]) == (1, 1)
    assert properties["response"] == {"2": {"text": "¾"}}
    assert properties["duration_seconds"] == 17.5


@pytest.mark.parametrize(("answer", "passed"), [("No", False), ("yes", True), ("NO", False)])
def test_whether_an_answer_passed_is_a_boolean(answer, passed, event, posthog):
    assert posthog(event("ASSESS", {"edata.pass": answer}))["properties"]["passed"] is passed


def test_an_unclear_pass_keeps_its_value_under_a_name_of_its_own(event, posthog):
    properties = posthog(event("ASSESS", {"edata.pass": "perhaps"}))["properties"]
    assert "passed" not in properties
    assert properties["edata_pass"] == "perhaps"


def test_keys_that_repeat_in_a_response_are_all_kept(event, posthog):
    values = [{"option": "4"}, {"option": "5"}, {"option": "6", "state": "on"}]
    response = posthog(event("RESPONSE", {"edata.values": values}))["properties"]["response"]
    assert response == {"option": "4", "option_2": "5", "option_3": "6", "state": "on"}


def test_an_error_becomes_an_issue_with_a_stable_fingerprint(event, posthog):
    first = posthog(event("ERROR"))["properties"]
    second = posthog(event("ERROR", {"edata.stacktrace": "at another line"}))["properties"]
    other = posthog(event("ERROR", {"edata.err": "OTHER"}))["properties"]
    assert first["$exception_list"] == [
        {
            "type": "DOWNLOAD_FAILED",
            "value": "IOException: unexpected end of stream",
            "mechanism": {"type": "sunbird", "synthetic": True, "exception_id": 0},
        }
    ]
    assert first["$exception_level"] == "error"
    assert len(first["$exception_fingerprint"]) == HASH
    assert first["$exception_fingerprint"] == second["$exception_fingerprint"]
    assert first["$exception_fingerprint"] != other["$exception_fingerprint"]
    assert first["error_code"] == "DOWNLOAD_FAILED"


def test_errors_can_stay_ordinary_events(event, posthog):
    found = posthog(event("ERROR"), errors="event")
    assert found["event"] == "error occurred"
    assert not [name for name in found["properties"] if name.startswith("$exception")]


def test_an_error_without_a_code_still_has_a_type(event, posthog):
    found = posthog(event("ERROR", {"edata.err": "", "edata.errtype": "", "edata.stacktrace": ""}))
    assert found["properties"]["$exception_list"][0]["type"] == "Error"


def test_feedback_answers_a_survey_if_one_is_configured(event, posthog):
    survey = {"id": "s-1", "rating_question": "q-1", "comment_question": "q-2"}
    found = posthog(event("FEEDBACK", {"edata.comments": "fine"}), survey=survey)
    assert found["event"] == "survey sent"
    assert found["properties"]["$survey_id"] == "s-1"
    assert found["properties"]["$survey_response_q-1"] == "4.0"
    assert found["properties"]["$survey_response_q-2"] == "fine"


def test_a_search_counts_its_results(event, posthog):
    properties = posthog(event("SEARCH", {"edata.size": 0, "edata.topn": []}))["properties"]
    assert properties["results_count"] == 0
    assert "top_results" not in properties
    assert properties["filters"]["status"] == ["Live"]


def test_metrics_become_a_property_each(event, posthog):
    properties = posthog(event("METRICS"))["properties"]
    assert properties["metric_requests"] == 1842
    assert properties["metric_p95_latency_ms"] == 212.75
    assert properties["metrics_system"] == "content-service"


def test_metrics_in_the_free_form_of_the_specification_are_kept(posthog, event):
    log = event("JOB_END", {"edata.metric1": 3, "edata.nested": {"metricTwo": 9}})
    properties = posthog(log)["properties"]
    assert (properties["edata_metric1"], properties["edata_nested_metric_two"]) == (3, 9)


def test_a_summary_has_times_and_counts(event, posthog):
    properties = posthog(event("SUMMARY"))["properties"]
    assert properties["started_at"] == "2026-01-05T09:26:00.000Z"
    assert properties["ended_at"] == "2026-01-05T09:30:00.000Z"
    assert properties["pageview_count"] == 9
    assert properties["extra_progress"] == "100"


def test_shared_items_are_listed(event, posthog):
    properties = posthog(event("SHARE"))["properties"]
    assert properties["item_count"] == 1
    assert properties["item_ids"] == ["do_31375412960512"]
    assert properties["item_types"] == ["Content"]


def test_unknown_keys_become_properties_to_a_depth_of_three(event, posthog):
    extra = {"pos": [{"x": 1}], "someKey": {"deepKey": {"deeper": {"deepest": 1}}}, "a.b": 1, "a_b": 2}
    properties = posthog(event("INTERACT", {"edata.extra": extra}))["properties"]
    assert properties["edata_extra_pos"] == [{"x": 1}]
    assert properties["edata_extra_some_key_deep_key"] == {"deeper": {"deepest": 1}}
    assert (properties["edata_extra_a_b"], properties["edata_extra_a_b_2"]) == (1, 2)


def test_keys_in_other_scripts_keep_their_letters(event, posthog):
    properties = posthog(event("INTERACT", {"edata.extra": {"விடை": "ஆம்", "!!!": 1}}))["properties"]
    assert [name for name in properties if name.startswith("edata_extra_வ")]
    assert properties["edata_extra_key"] == 1


def test_thousands_of_keys_are_kept_inside_one_property(event, posthog):
    extra = {f"key{n}": n for n in range(2_000)}
    properties = posthog(event("INTERACT", {"edata.extra": extra}))["properties"]
    assert len(properties) < 300
    assert len(properties["edata_more"]) == 1_750
    assert properties["edata_more"]["edata_extra_key1999"] == 1_999


def test_a_property_has_one_type_whatever_the_producer_sends(event, posthog):
    texts = posthog(event("INTERACT", {"edata.subtype": "4", "edata.duration": 3}))["properties"]
    assert (texts["interaction_subtype"], texts["duration_seconds"]) == ("4", 3.0)
    log = posthog(event("JOB_LOG", {"edata.level": "info", "edata.message": 5, "edata.status": True}))
    assert log["properties"]["message"] == "5"
    assert log["properties"]["job_status"] == "true"
    assert log["properties"]["log_level"] == "INFO"


def test_what_does_not_fit_its_property_is_kept_under_another_name(event, posthog):
    found = posthog(event("JOB_LOG", {"edata.message": {"text": "x"}}))["properties"]
    assert "message" not in found
    assert found["edata_message_text"] == "x"


def test_blank_values_are_left_out(event, posthog):
    blank = {"edata.subtype": "", "edata.pageid": "", "edata.extra": {"a": None, "b": "", "c": [], "d": {}}}
    properties = posthog(event("INTERACT", blank))["properties"]
    assert not {"interaction_subtype", "page_id"} & set(properties)
    assert not [name for name in properties if name.startswith("edata_extra")]


def test_the_envelope_is_told_in_plain_names(event, posthog):
    properties = posthog(event("INTERACT"))["properties"]
    expected = {
        "eid": "INTERACT",
        "telemetry_version": "3.0",
        "actor_type": "User",
        "channel": "0137541295034613760",
        "env": "contentplayer",
        "producer_id": "prod.pathshala.app",
        "producer_pid": "sunbird.app.contentplayer",
        "$app_version": "6.0.512",
        "object_id": "do_31375412960512",
        "object_type": "Content",
        "object_version": "3",
        "object_rollup_l1": "do_31375410020864",
        "context_rollup_l1": "0137541295034613760",
        "cdata_attempt_id": "4e0f9a37d1c24b58",
        "sunbird_session_id": "b0f6c1de-7c14-4a51-8a6b-0d9e3f2a1c77",
        "$device_id": "5f1c0b9ad8e74263b1a09c8d7e6f5a4b3c2d1e0f",
        "tags": ["0137541295034613760"],
    }
    assert {name: properties.get(name) for name in expected} == expected


def test_correlations_of_one_type_are_numbered(event, posthog):
    cdata = [
        {"type": "Subject", "id": "Maths"},
        {"type": "Subject", "id": "Science"},
        {"type": "", "id": "x"},
        {"type": "subject", "id": "Arts"},
    ]
    properties = posthog(event("INTERACT", {"context.cdata": cdata}))["properties"]
    assert properties["cdata_subject"] == "Maths"
    assert properties["cdata_subject_2"] == "Science"
    assert properties["cdata_subject_3"] == "Arts"


def test_neither_our_address_nor_our_host_becomes_the_users(event, posthog):
    properties = posthog(event())["properties"]
    assert properties["$geoip_disable"] is True
    assert properties["$ip"] is None
    assert "$os" not in properties


def test_raw_keeps_the_event_as_it_was_sent(event, posthog):
    sent = event("INTERACT")
    properties = posthog(sent, properties="raw")["properties"]
    assert properties["sunbird"] == json.loads(sent.raw)
    assert properties["channel"] == "0137541295034613760"
    assert "element_id" not in properties


def test_raw_still_serves_the_pages_that_posthog_has_for_views_and_errors(event, posthog):
    assert posthog(event("IMPRESSION"), properties="raw")["properties"]["$pathname"] == "/explore-course"
    assert posthog(event("ERROR"), properties="raw")["properties"]["$exception_list"]


def test_excluded_types_are_declined(event, make_sink):
    sink = make_sink(exclude_eids=["LOG", "MADE_UP"])
    assert sink.map(event("LOG")) is None
    assert sink.map(event("MADE_UP")) is None
    assert sink.map(event("INTERACT")) is not None


def test_the_place_of_a_device_comes_with_denormalised_events(event, posthog):
    found = event("INTERACT", {"devicedata": {"countrycode": "IN", "state": "Karnataka", "city": 7}})
    properties = posthog(found, denormalised=True)["properties"]
    assert properties["$geoip_country_code"] == "IN"
    assert properties["$geoip_subdivision_1_name"] == "Karnataka"
    assert "$geoip_city_name" not in properties
    assert "$geoip_country_code" not in posthog(found)["properties"]


def test_an_event_that_no_calendar_can_date_is_poison(event, make_sink):
    with pytest.raises(EventError) as caught:
        make_sink().map(event(ets=1e300))
    assert (caught.value.code, caught.value.path) == ("time", "$.ets")


def test_a_batch_maps_as_its_events_do(event, make_sink):
    sink = make_sink(exclude_eids=["LOG"])
    events = [event(eid) for eid in samples()]
    assert sink.map_batch(events) == [sink.map(one) for one in events]
