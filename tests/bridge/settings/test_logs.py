"""The log is one line a record, for people or machines, without secrets and without forged lines."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading

import pytest

from bridge import logs
from bridge.secrets import remember
from bridge.settings import LogSettings

SECRET = "lgs_5d2c8e7f90ab"


@pytest.fixture(autouse=True)
def _as_before():
    root = logging.getLogger()
    level, hooks = root.level, (sys.excepthook, threading.excepthook)
    remember(SECRET)
    yield
    for handler in [handler for handler in root.handlers if isinstance(handler, logs._Handler)]:
        root.removeHandler(handler)
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(capture=False)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def _written(
    form: str = "auto", level: str = "info", stream: io.StringIO | None = None
) -> tuple[io.StringIO, logging.Logger]:
    stream = stream or io.StringIO()
    logs.configure(LogSettings(format=form, level=level), stream)
    return stream, logging.getLogger("bridge.engine.pipeline")


def test_a_pipe_gets_one_json_object_a_line():
    stream, log = _written()
    log.info("batch %s", "sent", extra={"sink": "product", "events": 500})
    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "bridge.engine.pipeline",
        "message": "batch sent",
        "sink": "product",
        "events": 500,
    }


def test_a_terminal_gets_a_short_line_of_text(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    stream, log = _written(stream=Terminal())
    log.warning("batch held", extra={"sink": "product"})
    assert stream.getvalue()[8:] == " WARNING batch held  sink=product\n"


def test_a_warning_on_a_terminal_is_coloured_and_the_colour_ends(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream, log = _written(stream=Terminal())
    log.warning("held")
    assert stream.getvalue().startswith("\x1b[33m")
    assert stream.getvalue().endswith("\x1b[0m\n")


def test_text_in_a_file_has_the_date_and_the_logger():
    stream, log = _written("text")
    log.error("gone")
    assert stream.getvalue()[10] == "T"
    assert "Z ERROR   bridge.engine.pipeline: gone" in stream.getvalue()


def test_the_level_is_kept_and_the_latest_configuration_counts():
    first, log = _written("text", "error")
    log.warning("unheard")
    second, _ = _written("text", "debug")
    log.debug("heard")
    assert first.getvalue() == ""
    assert "heard" in second.getvalue()


def test_other_libraries_are_heard_from_warning_on():
    stream, _ = _written("text", "debug")
    logging.getLogger("urllib3").info("POST /?token=x")
    logging.getLogger("urllib3").warning("slow")
    assert "token" not in stream.getvalue()
    assert "slow" in stream.getvalue()


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_secret_is_taken_out_wherever_it_stands(form):
    stream, log = _written(form)
    log.info(SECRET)
    log.info("got %s", SECRET)
    log.info("facts", extra={"answer": f"<{SECRET}>", "nested": {"a": [SECRET]}, "thing": ValueError(SECRET)})
    try:
        int(SECRET)
    except ValueError:
        log.exception("failed", stack_info=True)
    assert SECRET not in stream.getvalue()
    assert stream.getvalue().count("[redacted]") >= 5


@pytest.mark.parametrize("form", ["text", "json"])
def test_nothing_forges_a_line_or_moves_the_cursor(form):
    stream, log = _written(form)
    log.info("a\n2024-01-01 ERROR forged\x1b[2J\u202e\u2028\ud800", extra={"answer": "b\nforged"})
    assert stream.getvalue().count("\n") == 1
    assert not {"\x1b", "\u202e", "\u2028", "\ud800"} & set(stream.getvalue())


def test_joiners_of_indic_scripts_stay_in_the_text():
    stream, log = _written("text")
    log.info("क्\u200dष")
    assert "क्\u200dष" in stream.getvalue()


def test_the_lines_of_a_traceback_are_indented_so_that_none_looks_like_a_record():
    stream, log = _written("text")
    log.error("failed", exc_info=ValueError("a\n2024-01-01T00:00:00.000Z ERROR forged"))
    first, *others = stream.getvalue().splitlines()
    assert first.endswith("failed")
    assert all(line.startswith("    ") for line in others)


def test_a_record_that_cannot_be_formatted_quotes_nothing():
    stream, _ = _written("text")
    (handler,) = (handler for handler in logging.getLogger().handlers if isinstance(handler, logs._Handler))
    handler.handle(logging.makeLogRecord({"name": "bridge", "levelno": 20, "msg": "%d", "args": (SECRET,)}))
    assert SECRET not in stream.getvalue()
    assert "could not be written" in stream.getvalue()
    stream.close()
    handler.handle(logging.makeLogRecord({"name": "bridge", "levelno": 20, "msg": "into a closed stream"}))


def test_what_nobody_caught_is_logged_without_secrets():
    stream, _ = _written("text")
    logs.catch_crashes()
    thread = threading.Thread(target=lambda: int(SECRET), name="sender")
    thread.start()
    thread.join()
    try:
        int(SECRET)
    except ValueError:
        sys.excepthook(*sys.exc_info())
    assert "this is a bug in thread sender" in stream.getvalue()
    assert stream.getvalue().count("this is a bug") == 2
    assert SECRET not in stream.getvalue()


def test_an_interrupt_is_no_crash(capsys):
    stream, _ = _written("text")
    logs.catch_crashes()
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert stream.getvalue() == ""
    assert "KeyboardInterrupt" in capsys.readouterr().err
