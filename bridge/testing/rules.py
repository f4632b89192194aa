"""Which answer of HTTP may come to which verdict, and what to write where it does not."""

from __future__ import annotations

from typing import Final

from bridge.testing.destination import Fault

__all__ = [
    "ADVICE",
    "CLEAN",
    "FAULTS",
    "JUDGE",
    "PARTLY",
    "REDIRECTS",
    "STATUSES",
    "THROTTLED",
    "TRY_AGAIN",
]

TRY_AGAIN: Final = frozenset({"retry", "throttled"})
REDIRECTS: Final = (301, 302, 303, 307, 308)

_DATA = frozenset({"rejected"})
_SETUP = frozenset({"setup"})
_EITHER = _DATA | _SETUP

STATUSES: Final[dict[int, frozenset[str]]] = {
    400: _EITHER,
    401: _SETUP,
    403: _SETUP,
    404: _EITHER,
    408: TRY_AGAIN,
    409: TRY_AGAIN | _EITHER | {"duplicate"},
    410: _EITHER,
    413: _DATA,
    429: TRY_AGAIN,
    500: TRY_AGAIN,
    502: TRY_AGAIN,
    503: TRY_AGAIN,
    504: TRY_AGAIN,
}

JUDGE: Final = """\
answer = self._client.request("POST", url, content=body, headers=headers)
if answer.status in {400, 413, 422}:
    raise RejectedError(f"http_{answer.status}", f"HTTP {answer.status}")
raise_for_status(answer, time.time())   # from bridge.http: 401, 403, 408, 429, 5xx and redirects"""
THROTTLED: Final = """\
from bridge.http import raise_for_status
raise_for_status(answer, time.time())   # reads Retry-After and raises ThrottledError(reason, after)"""
PARTLY: Final = """\
outcomes = []
for item in answered_items:   # in the order of batch.payloads
    outcomes.append(DELIVERED if … else Retry("…") if … else Reject("code", "…"))
return outcomes
One answer for the whole batch is raised, or returned as batch.all(…)."""
CLEAN: Final = """\
def check(self):
    answer = self._client.request("GET", self.config.url)
    raise_for_status(answer, time.time())
    return f"{self.config.url}: HTTP {answer.status}"
bridge.http.HttpClient raises a DeliveryError for whatever goes wrong, ends every wait at its
deadline, and its connections end with close()."""

_AGAIN = f"it passes by itself, so the host sends the same bytes again:\n{JUDGE}"
_HOLD = f"every batch would meet the same answer, so the sink is held and nothing is dead-lettered:\n{JUDGE}"
_REFUSE = f"the host halves the batch until it has found the culprit:\n{JUDGE}"

ADVICE: Final[dict[int, str]] = {
    400: _REFUSE,
    401: _HOLD,
    403: _HOLD,
    404: _HOLD,
    408: _AGAIN,
    409: f"batch.all(DUPLICATE) if it means that the destination has it already; never DELIVERED\n{JUDGE}",
    410: _HOLD,
    413: _REFUSE,
    429: THROTTLED,
    500: _AGAIN,
    502: _AGAIN,
    503: _AGAIN,
    504: _AGAIN,
}

_CAUGHT = """\
bridge.http.HttpClient, which raises TransientError for it; with another client:
except SomeClientError as error:
    raise TransientError(type(error).__name__) from None"""

FAULTS: Final[dict[Fault, str]] = {
    Fault.HANG: f"a time-out, and impatient = {{…}} in the test class that shortens it\n{_CAUGHT}",
    Fault.CLOSE: _CAUGHT,
    Fault.RESET: _CAUGHT,
    Fault.HALF: f"an answer counts once it is complete\n{_CAUGHT}",
    Fault.DRIP: f"a deadline for the whole exchange, not for each read\n{_CAUGHT}",
}
