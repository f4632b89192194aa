from __future__ import annotations

import base64

import pytest
from pydantic import ValidationError

from bridge_elasticsearch.config import ElasticsearchConfig


def refusal(config, **fields):
    with pytest.raises(ValidationError) as caught:
        config(**fields)
    return str(caught.value)


def test_an_address_is_all_it_takes(config):
    settings = config(url="https://search.example.org:9200/")
    assert settings.urls == ("https://search.example.org:9200",)
    assert settings.index == "sunbird-telemetry-v1-{yyyy.MM.dd}"
    assert (settings.id, settings.shape, settings.compression) == ("identity", "sunbird", "gzip")


def test_several_nodes_may_be_named(config):
    assert config(url=["http://one:9200", "http://two:9200/es/"]).urls == (
        "http://one:9200",
        "http://two:9200/es",
    )


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("search:9200", "write the address as https"),
        ("ftp://search", "write the address as https"),
        ("https://", "write the address as https"),
        ("https://user:hunter2@search", "keep credentials out"),
        ("https://search/?x=1", "without ? or #"),
    ],
)
def test_an_address_that_cannot_work_is_refused_without_being_shown(config, url, reason):
    text = refusal(config, url=url)
    assert reason in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    "key",
    ["abc:def", base64.b64encode(b"abc:def").decode(), "essu_VGhpcyBpcyBhIGtleQ=="],
)
def test_every_form_of_an_api_key_is_accepted(config, key):
    assert config(api_key=key).api_key.reveal() == key


@pytest.mark.parametrize("key", ["abc", "hunter2!", ":secret", "id:"])
def test_another_api_key_is_refused_without_being_shown(config, key):
    text = refusal(config, api_key=key)
    assert "id:key" in text
    assert key not in text.replace("id:key", "")


@pytest.mark.parametrize(
    "ways",
    [
        {"api_key": "a:b", "bearer_token": "t"},
        {"username": "u", "password": "p", "api_key": "a:b"},
        {"bearer_token": "t", "sigv4": {"region": "r", "access_key_id": "a", "secret_access_key": "s"}},
    ],
)
def test_two_ways_to_authenticate_are_one_too_many(config, ways):
    assert "use one of" in refusal(config, **ways)


@pytest.mark.parametrize("half", [{"username": "u"}, {"password": "p"}])
def test_a_user_name_needs_its_password(config, half):
    assert "go together" in refusal(config, **half)


def test_a_data_stream_has_no_date_in_its_name(config):
    assert "take the date out" in refusal(config, data_stream=True)
    assert config(data_stream=True, index="sunbird-telemetry").pattern.wildcard == "sunbird-telemetry"


def test_routes_may_be_a_table_or_a_list(config):
    table = config(index="sunbird-{route}-{yyyy}", routes={"AUDIT": "audit-log"})
    listed = config(index="sunbird-{route}-{yyyy}", routes=["AUDIT", "Org/1"])
    assert table.buckets == {"AUDIT": "audit-log"}
    assert listed.buckets == {"AUDIT": "audit", "Org/1": "org-1"}


def test_values_that_would_share_a_bucket_must_be_named_apart(config):
    assert "share a bucket" in refusal(config, index="sunbird-{route}", routes=["a b", "a/b"])


@pytest.mark.parametrize("bucket", ["Audit", "a.b", "../x", "", "a" * 41])
def test_a_bucket_that_is_no_part_of_a_name_is_refused(config, bucket):
    assert "a bucket has" in refusal(config, index="sunbird-{route}", routes={"AUDIT": bucket})
    assert "a bucket has" in refusal(config, default_route=bucket)


@pytest.mark.parametrize("fields", [{"routes": {"AUDIT": "audit"}}, {"index": "sunbird-{route}"}])
def test_routes_and_their_place_go_together(config, fields):
    assert "go together" in refusal(config, **fields)


def test_an_index_that_cannot_be_is_refused(config):
    assert "is not a date" in refusal(config, index="sunbird-{dd/MM}")


def test_unknown_keys_are_refused(config):
    assert "Extra inputs" in refusal(config, verify=False)


def test_sigv4_reads_the_usual_variables(config, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    assert "AWS_ACCESS_KEY_ID is not set" in refusal(config, sigv4={"region": "ap-south-1"})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SK")
    assert config(sigv4={"region": "ap-south-1"}).sigv4.access_key_id.reveal() == "AKID"


def test_every_field_is_described():
    fields = ElasticsearchConfig.model_fields
    assert [name for name, field in fields.items() if not field.description] == []


def test_secrets_are_never_shown(config):
    shown = repr(config(username="u", password="hunter2")) + str(config(api_key="id:hunter2").model_dump())
    assert "hunter2" not in shown
