from __future__ import annotations

import pytest
from pydantic import ValidationError

from bridge_s3 import S3Config, S3Sink
from bridge_s3.config import Place


def config(**settings):
    return S3Config.model_validate({"url": "s3://bucket/prefix", **settings})


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("s3://bucket", Place("s3", "bucket", "")),
        ("s3://bucket/a/b/", Place("s3", "bucket", "a/b")),
        ("gs://bucket/a", Place("gs", "bucket", "a")),
        ("az://container/a", Place("az", "container", "a")),
        ("file:///var/archive", Place("file", "", "/var/archive")),
        ("file:data/archive", Place("file", "", "data/archive")),
        ("memory:///name", Place("memory", "/name", "")),
    ],
)
def test_a_url_says_where_the_archive_lies(url, place):
    assert S3Config(url=url).place == place


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "write s3://"),
        ("https://bucket.example.org/a", "write s3://"),
        ("s3://", "the bucket is missing"),
        ("s3:///prefix", "the bucket is missing"),
        ("s3://bucket/a/../b", "must not hold"),
        ("s3://bucket/a//b", "must not hold"),
        ("s3://AKIA:hunter2@bucket/a", "credentials do not belong"),
        ("s3://bucket/a?versionId=1", "means nothing"),
        ("file://", "file:///absolute/folder"),
        ("file:///", "the folder is missing"),
        ("file://data/archive", "file:///absolute/folder"),
    ],
)
def test_a_url_that_means_nothing_is_refused(url, message):
    with pytest.raises(ValidationError, match=message) as caught:
        S3Config(url=url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"access_key": "a"}, "go together"),
        ({"secret_key": "a"}, "go together"),
        ({"session_token": "a"}, "needs access_key"),
        ({"kms_key_id": "k"}, "need sse"),
        ({"sse": "AES256", "bucket_key": True}, "need sse"),
        ({"endpoint": "s3.example.org"}, "http:// or https://"),
        ({"endpoint": "https://k:s@s3.example.org"}, "must not hold credentials"),
        ({"endpoint": "http://127.0.0.1:9000"}, "no TLS"),
        ({"url": "file:///x", "region": "eu-west-1"}, "only an s3:// url takes region"),
        ({"layout": "secor", "format": "parquet"}, "JSON Lines only"),
        ({"layout": "secor", "partition_by": "hour"}, "one object a day"),
        ({"buckett": "x"}, "Extra inputs"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        config(**settings)


def test_every_setting_says_what_it_is_for():
    assert all(field.description for field in S3Config.model_fields.values())


def test_what_is_unset_follows_from_format_and_layout():
    assert (config().codec, config().by) == ("gzip", "hour")
    assert config(format="parquet").codec == "zstd"
    assert config(layout="secor").by == "day"


def test_secor_keeps_objects_open_as_long_as_secor_does():
    limits = S3Sink(config(layout="secor")).limits
    assert (limits.max_bytes, limits.max_age) == (100_000_000, 14_400)
    assert S3Sink(config()).limits.max_age == 300


def test_the_generation_follows_what_decides_the_bytes_and_nothing_else():
    first = config().generation
    assert first == config(region="eu-west-1", storage_class="STANDARD_IA", timeout=5).generation
    changes = [
        {"compression": "zstd"},
        {"partition_by": "day"},
        {"partition_eid": True},
        {"partition_time": "ets"},
        {"format": "parquet"},
        {"layout": "secor"},
        {"min_object_bytes": 1},
    ]
    assert len({first, *(config(**change).generation for change in changes)}) == 8


def test_a_generation_is_the_same_on_every_machine_and_in_every_release():
    assert config().generation == "79dfb286"


def test_keys_are_not_shown_with_the_configuration():
    shown = config(access_key="AKIAEXAMPLE", secret_key="hunter2")
    assert "hunter2" not in f"{shown!r}{shown}{shown.model_dump()}{shown.model_dump_json()}"
