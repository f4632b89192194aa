"""Every row of the verdict table that concerns one item."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import SetupError
from bridge.sinks import DELIVERED, DUPLICATE, Delivered, Reject, Retry
from bridge_elasticsearch.verdicts import Item, error_text, judge


def verdict(status, kind="", reason="", *, attempt=1, failure_store="accept", **extra):
    error = {"type": kind, "reason": reason, **extra} if kind else None
    return judge(Item(status, error), attempt=attempt, failure_store=failure_store)


@pytest.mark.parametrize("status", [200, 201])
def test_a_created_document_is_delivered(status):
    assert verdict(status) is DELIVERED


def test_an_id_that_exists_is_a_duplicate():
    assert verdict(409, "version_conflict_engine_exception", "[x]: version conflict") is DUPLICATE


@pytest.mark.parametrize(
    ("mode", "used", "outcome"),
    [
        ("accept", "used", DELIVERED),
        ("reject", "used", Reject("es.failure_store", "the cluster put the document into its failure store")),
        ("reject", "not_applicable_or_unknown", DELIVERED),
        ("reject", None, DELIVERED),
    ],
)
def test_the_failure_store_counts_as_the_operator_says(mode, used, outcome):
    assert judge(Item(201, None, used), attempt=1, failure_store=mode) == outcome


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, "es_rejected_execution_exception"),
        (429, "rejected_execution_exception"),
        (429, "circuit_breaking_exception"),
        (429, "cluster_block_exception"),
        (503, "unavailable_shards_exception"),
        (503, "process_cluster_event_timeout_exception"),
        (503, "no_shard_available_action_exception"),
        (500, "i_o_exception"),
        (502, "whatever"),
        (504, "timeout_exception"),
    ],
)
@pytest.mark.parametrize("attempt", [1, 11, 1_000])
def test_what_passes_by_itself_is_retried_alone_for_ever(status, kind, attempt):
    assert isinstance(verdict(status, kind, "busy", attempt=attempt), Retry)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("document_parsing_exception", "[1:8] failed to parse field [eid]"),
        ("mapper_parsing_exception", "failed to parse"),
        (
            "strict_dynamic_mapping_exception",
            "mapping set to strict, dynamic introduction of [x] is not allowed",
        ),
        ("action_request_validation_exception", "Validation Failed: 1: …"),
        ("illegal_argument_exception", "mapper [edata.x] cannot be changed from type [long] to [text]"),
        ("illegal_argument_exception", "can't merge a non object mapping [a] with an object mapping"),
    ],
)
def test_a_document_that_does_not_fit_the_mapping_is_rejected(kind, reason):
    outcome = verdict(400, kind, reason)
    assert isinstance(outcome, Reject)
    assert outcome.code == "es.mapping"


def test_an_immense_term_is_rejected_without_its_bytes():
    reason = (
        'Document contains at least one immense term in field="eid" (whose UTF8 encoding is longer than '
        "the max length 32766), all of which were skipped. "
        "The prefix of the first immense term is: '[107, 107]...'"
    )
    outcome = verdict(400, "illegal_argument_exception", reason)
    assert outcome == Reject("es.immense_term", 'Document contains at least one immense term in field="eid"')


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (400, "illegal_argument_exception", "Limit of total fields [300] has been exceeded while adding [1]"),
        (400, "document_parsing_exception", "Limit of total fields [300] has been exceeded"),
        (400, "validation_exception", "this cluster currently has [2]/[1] maximum normal shards open;"),
        (400, "validation_exception", "this cluster currently has [2]/[1] maximum LOCAL_ONLY shards open;"),
        (400, "illegal_argument_exception", "no write index is defined for alias [x]"),
        (400, "illegal_argument_exception", "pipeline with id [p] does not exist"),
        (400, "invalid_index_name_exception", "Invalid index name [X], must be lowercase"),
        (400, "index_closed_exception", "closed"),
        (404, "index_not_found_exception", "no such index [x]"),
        (403, "cluster_block_exception", "index [x] blocked by: [FORBIDDEN/5/index read-only (api)];"),
        (403, "security_exception", "action is unauthorized"),
        (401, "security_exception", "missing authentication credentials"),
    ],
)
@pytest.mark.parametrize("attempt", [1, 99])
def test_what_every_document_would_meet_holds_the_stream(status, kind, reason, attempt):
    with pytest.raises(SetupError, match=kind):
        verdict(status, kind, reason, attempt=attempt)


def test_a_set_up_problem_may_be_wrapped_in_another():
    cause = {"type": "illegal_argument_exception", "reason": "Limit of total fields [300] has been exceeded"}
    with pytest.raises(SetupError):
        verdict(400, "mapper_parsing_exception", "failed to parse", caused_by=cause)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "illegal_argument_exception"),
        (418, "new_exception"),
        (404, "x"),
        (500, "null_pointer_exception"),
    ],
)
def test_what_no_rule_knows_is_retried_ten_times_then_rejected(status, kind):
    early = [verdict(status, kind, "odd", attempt=attempt) for attempt in range(1, 11)]
    late = verdict(status, kind, "odd", attempt=11)
    assert all(isinstance(outcome, Retry) for outcome in early)
    assert late == Reject("es.unknown", f"status {status}: {kind}: odd")


def test_a_conflict_of_another_kind_is_not_taken_for_a_duplicate():
    assert isinstance(verdict(409, "something_else", "x"), Retry)


def test_a_fault_of_the_server_s_program_does_not_stop_the_stream():
    assert isinstance(verdict(500, "string_index_out_of_bounds_exception", "0", attempt=11), Reject)


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        (
            "failed to parse field [e] of type [long] in document with id '1'. Preview of field's value: 'A'",
            "failed to parse field [e] of type [long]",
        ),
        (
            "failed to parse date field [Asha 98] with format [epoch_millis]",
            "failed to parse date field  with format",
        ),
        ('For input string: "Asha 98"', "For input string:"),
        ('Unexpected end-of-input\n at [Source: (byte[])"{"n":"Asha"; line: 1]', "Unexpected end-of-input"),
    ],
)
def test_values_of_the_event_stay_out_of_reasons(reason, kept):
    text = error_text({"type": "t", "reason": reason})
    assert not re.search(r"Asha|98|'A'", text)
    assert kept in text


def test_a_reason_names_its_causes_once_each():
    inner = {"type": "illegal_argument_exception", "reason": "field name cannot be an empty string"}
    error = {"type": "mapper_parsing_exception", "reason": "failed to parse", "caused_by": inner}
    assert (
        error_text(error) == "mapper_parsing_exception: failed to parse: field name cannot be an empty string"
    )


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda v: st.dictionaries(st.sampled_from(["type", "reason", "caused_by", "x"]), v),
    )
)
def test_an_error_of_any_shape_gives_a_short_printable_line(error):
    text = error_text(error)
    assert len(text) <= 200
    assert text.isprintable()


@given(
    status=st.integers(100, 599),
    kind=st.text(max_size=20),
    attempt=st.integers(1, 50),
)
def test_an_item_always_has_a_verdict(status, kind, attempt):
    try:
        outcome = judge(Item(status, {"type": kind, "reason": "r"}), attempt=attempt, failure_store="accept")
    except SetupError:
        return
    assert isinstance(outcome, Delivered | Retry | Reject)
    assert outcome is not DELIVERED
