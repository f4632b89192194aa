"""Fixtures for the whole suite."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest


def pytest_configure():
    """Shells start background jobs with SIGINT ignored, and what is ignored stays so in every child."""
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real samples beside the checkout; a fresh clone has none and skips."""
    place = Path(os.environ.get("SUNBIRD_SHARED", Path(__file__).parents[2] / "shared"))
    if not (place / "sunbird").is_dir():
        message = f"no Sunbird samples at {place} (set SUNBIRD_SHARED to their folder)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return place


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Reports travel between processes as UTF-8, and some tests log what is not."""
    report = yield
    report.sections = [
        (title, text.encode("utf-8", "backslashreplace").decode()) for title, text in report.sections
    ]
    return report


def pytest_make_parametrize_id(val, argname):
    """Binary values, such as gzip with its time, name no test: processes that share a run must agree."""
    return argname if isinstance(val, bytes) and not val.isascii() else None
