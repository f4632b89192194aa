"""The log: text on a terminal, JSON lines elsewhere, one line a record, and no secret in either.

The last step before a line is written takes out every remembered secret and escapes control
characters, so that neither a destination's answer nor a traceback can leak a key or forge a line.
Facts are given as `extra`: `log.info("batch sent", extra={"sink": "product", "events": 500})`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, TextIO

from bridge.secrets import redact
from bridge.text import printable

if TYPE_CHECKING:
    from types import TracebackType

    from bridge.configuration.models import LogSettings

__all__ = ["JsonFormatter", "TextFormatter", "catch_crashes", "configure"]

OWN = "bridge"
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
COLOURS = {logging.WARNING: "\x1b[33m", logging.ERROR: "\x1b[31m", logging.CRITICAL: "\x1b[1;31m"}
PLAIN = "\x1b[0m"


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Send the log of this process to `stream` (standard error) as the `[log]` table says.

    May be called again; the latest call counts. Other libraries are heard from `warning` on,
    because at lower levels they tell whole requests.
    """
    stream = stream or sys.stderr
    terminal = stream.isatty()
    handler = _Handler(stream)
    handler.addFilter(_ours_or_serious)
    if settings.format == "json" or (settings.format == "auto" and not terminal):
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(
            TextFormatter(short=terminal, colour=terminal and not os.environ.get("NO_COLOR"))
        )
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.level.upper())
    logging.captureWarnings(capture=True)


def catch_crashes() -> None:
    """Log what nobody caught, in any thread, instead of printing it past the redaction."""
    sys.excepthook = _crashed
    threading.excepthook = lambda crash: _crashed(
        crash.exc_type, crash.exc_value or crash.exc_type(), crash.exc_traceback, crash.thread
    )


class TextFormatter(logging.Formatter):
    """`07:24:01 INFO product: batch sent  events=500`; a traceback follows, indented."""

    def __init__(self, *, short: bool = True, colour: bool = False) -> None:
        """`short` leaves the date and the logger out, for a person at a terminal."""
        super().__init__()
        self._short = short
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, and one more for each line of its traceback."""
        facts = "".join(f"  {name}={_clean(str(value))}" for name, value in _facts(record).items())
        line = f"{self._head(record)} {_clean(record.getMessage())}{facts}"
        if self._colour and record.levelno in COLOURS:
            line = f"{COLOURS[record.levelno]}{line}{PLAIN}"
        return "\n    ".join([line, *map(_clean, self._traceback(record).splitlines())])

    def _head(self, record: logging.LogRecord) -> str:
        if self._short:
            return f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {record.levelname:<7}"
        return f"{_utc(record)} {record.levelname:<7} {record.name}:"

    def _traceback(self, record: logging.LogRecord) -> str:
        # redacted before it is cut into lines, so that a secret of several lines is found
        text = self.formatException(record.exc_info) if record.exc_info else ""
        return redact("\n".join(filter(None, (text, record.stack_info))))


class JsonFormatter(logging.Formatter):
    """`{"time": "…Z", "level": "info", "logger": "bridge.…", "message": "…", …facts, "traceback"?}`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of ASCII JSON."""
        line = {
            "time": _utc(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        line |= {name: _redacted(value) for name, value in _facts(record).items() if name not in line}
        if record.exc_info:
            line["traceback"] = redact(self.formatException(record.exc_info))
        return json.dumps(line, default=lambda value: redact(str(value)))


class _Handler(logging.StreamHandler[TextIO]):
    """A stream handler whose own failures quote nothing: the usual one prints the record's arguments."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say where the record came from, if the stream still takes anything."""
        try:
            self.stream.write(f"a log record from {record.pathname}:{record.lineno} could not be written\n")
        except (OSError, ValueError):  # the stream is closed or full, so there is nobody to tell
            return


def _ours_or_serious(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or record.name.startswith(OWN)


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in STANDARD}


def _redacted(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _redacted(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(inner) for inner in value]
    return redact(value) if isinstance(value, str) else value


def _clean(text: str) -> str:
    return printable(redact(text))


def _utc(record: logging.LogRecord) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"


def _crashed(
    exc_type: type[BaseException],
    exc: BaseException,
    traceback: TracebackType | None,
    thread: threading.Thread | None = None,
) -> None:
    if issubclass(exc_type, KeyboardInterrupt):
        sys.__excepthook__(exc_type, exc, traceback)
        return
    where = f" in thread {thread.name}" if thread else ""
    logging.getLogger(OWN).critical("this is a bug%s", where, exc_info=(exc_type, exc, traceback))
