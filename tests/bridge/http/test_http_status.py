"""`Retry-After` in every form a server writes it, and the statuses that mean the same everywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import SetupError, ThrottledError, TransientError
from bridge.http import Answer, raise_for_status, retry_after

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3", 3.0),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("7200", 3600.0),
        ("1000000000000", 3600.0),
        ("9" * 500, 3600.0),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:13:50 -0000", 30.0),
        ("Tue, 14 Nov 2023 22:13:50", 30.0),
        ("Tue, 14 Nov 2023 23:13:50 +0100", 30.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("Fri, 14 Nov 2093 22:00:00 GMT", 3600.0),
        ("", None),
        ("-1", None),
        ("1e12", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("Tue, 99 Nov 2023 22:13:50 GMT", None),
    ],
)
def test_retry_after_is_read_and_clamped(text, seconds):
    assert retry_after({"retry-after": text}, NOW) == seconds


def test_an_absent_retry_after_is_none():
    assert retry_after({}, NOW) is None


@given(st.text(max_size=40))
def test_no_text_of_retry_after_breaks_anything(text):
    seconds = retry_after({"retry-after": text}, NOW)
    assert seconds is None or 0 <= seconds <= 3600


def raised(status, **headers):
    answer = Answer(status, headers, b"")
    try:
        raise_for_status(answer, NOW)
    except (SetupError, TransientError) as error:
        return error
    return None


@pytest.mark.parametrize("status", [200, 204, 299, 400, 404, 409, 410, 413, 422])
def test_statuses_about_the_data_are_left_to_the_sink(status):
    assert raised(status) is None


@pytest.mark.parametrize("status", [408, 425, 500, 502, 504, 507, 599])
def test_server_faults_are_transient(status):
    error = raised(status)
    assert type(error) is TransientError
    assert str(error) == f"HTTP {status}"


@pytest.mark.parametrize("status", [429, 503])
def test_too_much_is_throttled_even_without_a_time(status):
    error = raised(status)
    assert isinstance(error, ThrottledError)
    assert error.after is None


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_time_to_come_back_is_obeyed(status):
    error = raised(status, **{"retry-after": "7"})
    assert isinstance(error, ThrottledError)
    assert error.after == 7.0


@pytest.mark.parametrize("status", [300, 301, 302, 304, 307, 308, 401, 403, 407])
def test_what_somebody_has_to_set_up_holds_the_cursor(status):
    error = raised(status)
    assert isinstance(error, SetupError)
    assert str(error).startswith(f"HTTP {status}: ")
