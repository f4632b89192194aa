"""What the intake answers: the bodies of Sunbird's telemetry service, as bytes on the wire. Pure.

    {"id":"api.telemetry","ver":"1.0","ets":1795248000000,"params":{},"responseCode":"SUCCESS"}

A refusal has the same shape: one sentence in `params.err`, and `CLIENT_ERROR` or `SERVER_ERROR`.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from math import ceil
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["HEALTH", "TELEMETRY", "Answer", "Refused", "done", "head", "refusal"]

TELEMETRY, HEALTH = "api.telemetry", "api.health"
Header = tuple[str, str]
NO_CONTENT, SERVER_ERRORS = 204, 500
ALWAYS = (
    "Content-Type: application/json; charset=utf-8\r\n"
    "Cache-Control: no-store\r\n"
    "X-Content-Type-Options: nosniff\r\n"
)


class Refused(Exception):  # noqa: N818 - it is an answer, not a fault of the program
    """A request that is not taken: the HTTP `status`, one sentence, seconds until another try."""

    def __init__(
        self, status: int, reason: str, *, after: float | None = None, headers: Iterable[Header] = ()
    ) -> None:
        self.status = status
        self.reason = reason
        self.after = after
        self.headers = tuple(headers)
        super().__init__(f"{status}: {reason}")


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a JSON body and the headers that are special about it."""

    status: int
    body: bytes
    headers: tuple[Header, ...] = ()


def done(kind: str, now_ms: int) -> Answer:
    """The answer to a batch that is durable (`api.telemetry`), or of a service in health (`api.health`)."""
    return Answer(200, _body(kind, now_ms, {}, "SUCCESS"))


def refusal(kind: str, now_ms: int, error: Refused) -> Answer:
    """The answer that a refused request gets."""
    code = "SERVER_ERROR" if error.status >= SERVER_ERRORS else "CLIENT_ERROR"
    headers = list(error.headers)
    if error.after is not None:
        headers.append(("Retry-After", str(max(1, ceil(error.after)))))
    return Answer(error.status, _body(kind, now_ms, {"err": error.reason}, code), tuple(headers))


def head(answer: Answer, more: Iterable[Header], now: float, *, close: bool) -> bytes:
    """The bytes in front of the body; `now` is Unix time, `close` announces the connection's end."""
    lines = [f"HTTP/1.1 {answer.status} {_phrase(answer.status)}\r\n", f"Date: {_date(int(now))}\r\n", ALWAYS]
    lines += [f"{name}: {value}\r\n" for name, value in (*answer.headers, *more)]
    if answer.status != NO_CONTENT:
        lines.append(f"Content-Length: {len(answer.body)}\r\n")
    lines.append("Connection: close\r\n\r\n" if close else "Connection: keep-alive\r\n\r\n")
    return "".join(lines).encode("latin-1")


def _body(kind: str, now_ms: int, params: dict[str, str], code: str) -> bytes:
    return msgspec.json.encode(
        {"id": kind, "ver": "1.0", "ets": now_ms, "params": params, "responseCode": code}
    )


@lru_cache(maxsize=64)
def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
