"""The part of the HTTP sink contract about one exchange: every status and fault, and what it means."""

from __future__ import annotations

import email.utils
import json
import re
import time
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from bridge.testing.destination import Destination, Fault, Reply, Request
from bridge.testing.lessons import check, require
from bridge.testing.rules import ADVICE, FAULTS, JUDGE, PARTLY, STATUSES, THROTTLED, TRY_AGAIN
from bridge.testing.sending import SinkContract

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from bridge.sinks import Sink
    from bridge.testing.destination import Behaviour
    from bridge.testing.verdicts import Verdict

__all__ = ["ExchangeContract", "require_word"]

PATIENCE_SECONDS = 7
REFUSED_INDEX, LATER_INDEX, PARTS = 1, 2, 4


class ExchangeContract(SinkContract):
    """Every status and fault of an HTTP exchange, and what it has to come to."""

    impatient: ClassVar[Mapping[str, Any]] = {}
    any_2xx_is_a_yes: ClassVar[bool] = False

    def answer_ok(self, request: Request) -> Behaviour:  # noqa: ARG002 - a subclass looks at it
        """What the destination answers when all is well; it is asked for every request, probes too."""
        return Reply(200, b"{}", {"content-type": "application/json"})

    def answer_refused(self, request: Request) -> Behaviour:  # noqa: ARG002 - a subclass looks at it
        """What it answers to data that it will never take."""
        return Reply(400, b'{"error": "the data is bad"}', {"content-type": "application/json"})

    def answer_partly(self, request: Request, number: int, refused: int, later: int) -> Behaviour:
        """What it answers when, of four items, item `refused` is bad and item `later` has to come again.

        `number` counts the requests of this batch from 0; by default a request is an item.
        """
        return {refused: self.answer_refused(request), later: Reply(503)}.get(number, self.answer_ok(request))

    def answer_saying(self, request: Request, status: int, text: str) -> Behaviour:  # noqa: ARG002 - for overriding
        """What it answers with this status when it says `text`, in the form of its refusals."""
        return Reply(status, json.dumps({"error": text}).encode(), {"content-type": "application/json"})

    def said(self, request: Request) -> object:
        """What a request says, without the time of sending; it is the same in every attempt."""
        return request.method, request.path, request.content

    @pytest.fixture
    def destination(self) -> Iterator[Destination]:
        """The scripted destination, which answers as `answer_ok` says until told otherwise."""
        with Destination(self.answer_ok) as destination:
            yield destination

    def met_with(
        self, folder: Path, destination: Destination, behaviour: Behaviour, count: int = 4, **changes: Any
    ) -> tuple[Sink[Any, Any], Verdict]:
        """A sink that was opened while all was well, and what its send came to after that."""
        with self.opened(folder, destination, **changes) as sink:
            batch = self.batch(sink, count)
            destination.answer = lambda _: behaviour
            verdict = self.sent(sink, batch)
            destination.answer = self.answer_ok
            return sink, verdict

    @check
    @pytest.mark.parametrize("status", list(STATUSES))
    def test_a_status_gets_its_verdict(self, tmp_path: Path, destination: Destination, status: int) -> None:
        """A status says whose fault it is: nobody's (send again), the data's, or the set-up's."""
        reply = Reply(status, b'{"error": "scripted"}', {"content-type": "application/json"})
        _, verdict = self.met_with(tmp_path, destination, reply)
        require_word(verdict, STATUSES[status], f"HTTP {status}", ADVICE[status])

    @check
    def test_refused_data_is_rejected(self, tmp_path: Path, destination: Destination) -> None:
        """Data that the destination will never take is rejected, under a short stable code."""
        with self.opened(tmp_path, destination) as sink:
            batch = self.batch(sink, 1)
            destination.answer = self.answer_refused
            verdict = self.sent(sink, batch)
        require_word(verdict, {"rejected"}, "the destination's own refusal", JUDGE)
        require(
            all(re.fullmatch(r"[a-z0-9_.-]{1,64}", code) for code in verdict.codes),
            f"the code {verdict.codes[0]!r}",
            'a word of a-z, 0-9, _ . and -, such as "http_400": it is a label in dead letters',
        )

    @check
    @pytest.mark.parametrize("status", [429, 503])
    def test_retry_after_in_seconds_is_obeyed(
        self, tmp_path: Path, destination: Destination, status: int
    ) -> None:
        """Retry-After: 7 means that nothing is sent for seven seconds."""
        after = {"retry-after": str(PATIENCE_SECONDS)}
        _, verdict = self.met_with(tmp_path, destination, Reply(status, b"", after))
        require(
            verdict.word == "throttled" and verdict.after == PATIENCE_SECONDS,
            f"HTTP {status} with Retry-After: {PATIENCE_SECONDS} came to {verdict}, after {verdict.after} s",
            THROTTLED,
        )

    @check
    def test_retry_after_as_a_date_is_obeyed(self, tmp_path: Path, destination: Destination) -> None:
        """Retry-After may be a moment instead of a number of seconds."""
        moment = email.utils.formatdate(time.time() + 600, usegmt=True)
        _, verdict = self.met_with(tmp_path, destination, Reply(429, b"", {"retry-after": moment}))
        require(
            verdict.word == "throttled" and 400 < (verdict.after or 0) < 800,  # noqa: PLR2004 - of 600
            f"HTTP 429 with a Retry-After ten minutes ahead came to {verdict}, after {verdict.after} s",
            THROTTLED,
        )

    @check
    @pytest.mark.parametrize("text", ["", "soon", "-5", "1e9", "Thu, 99 Foo 2026 25:61:61 GMT"])
    def test_a_senseless_retry_after_does_no_harm(
        self, tmp_path: Path, destination: Destination, text: str
    ) -> None:
        """A Retry-After that cannot be read leaves the wait to the host; it is no reason to fail."""
        _, verdict = self.met_with(tmp_path, destination, Reply(429, b"", {"retry-after": text}))
        require(
            verdict.word in TRY_AGAIN and (verdict.after is None or 0 <= verdict.after <= 3_600),  # noqa: PLR2004
            f"Retry-After: {text!r} came to {verdict}, after {verdict.after} s",
            THROTTLED,
        )

    @check
    @pytest.mark.parametrize("fault", list(FAULTS), ids=lambda fault: fault.name.lower())
    def test_a_broken_exchange_is_tried_again(
        self, tmp_path: Path, destination: Destination, fault: Fault
    ) -> None:
        """Whatever breaks between question and answer, the same bytes are sent again later."""
        _, verdict = self.met_with(tmp_path, destination, fault, **self.impatient)
        require_word(verdict, TRY_AGAIN, f"a destination that {fault.value}", FAULTS[fault])

    @check
    def test_a_destination_that_is_gone_is_tried_again(
        self, tmp_path: Path, destination: Destination
    ) -> None:
        """A refused connection is the network's fault: the batch is sent again, for as long as it takes."""
        with self.opened(tmp_path, destination) as sink:
            batch = self.batch(sink)
            destination.close()
            verdict = self.sent(sink, batch)
        require_word(verdict, TRY_AGAIN, "a refused connection", FAULTS[Fault.CLOSE])

    @check
    def test_after_a_fault_the_same_sink_delivers(self, tmp_path: Path, destination: Destination) -> None:
        """A sink stays usable whatever the destination did: it is neither made nor opened anew."""
        with self.opened(tmp_path, destination) as sink:
            for fault in (Fault.RESET, Fault.HALF, Fault.CLOSE):
                destination.queue(fault)
                self.sent(sink, self.batch(sink))
                self._require_taken(self.sent(sink, self.batch(sink, attempt=2)))

    @check
    def test_a_partial_failure_names_the_right_ones(self, tmp_path: Path, destination: Destination) -> None:
        """Of a batch taken in part each payload has its own outcome, in the order of the payloads."""
        with self.opened(tmp_path, destination) as sink:
            batch, before = self.batch(sink, PARTS), len(destination.requests)
            destination.answer = lambda request: self.answer_partly(
                request, len(destination.requests) - before - 1, REFUSED_INDEX, LATER_INDEX
            )
            verdict = self.sent(sink, batch)
        self._require_parts(verdict, len(batch), len(destination.requests) - before)

    def _require_parts(self, verdict: Verdict, payloads: int, requests: int) -> None:
        overridden = type(self).answer_partly is not ExchangeContract.answer_partly
        if payloads == 1 or (requests == 1 and not overridden):  # one answer covers them all
            require(verdict.word != "mixed", f"one answer to the whole batch came to {verdict}", PARTLY)
            return
        words = verdict.words
        expected = ({"delivered", "duplicate"}, {"rejected"}, TRY_AGAIN, {"delivered", "duplicate"})
        allowed = list(expected)
        if not overridden and requests < PARTS:  # it stopped at the fault; what was not sent comes again
            allowed[-1] = set(TRY_AGAIN)
        require(
            len(words) == PARTS and all(word in may for word, may in zip(words, allowed, strict=True)),
            f"item {REFUSED_INDEX} was refused, item {LATER_INDEX} put off: {', '.join(words)}",
            PARTLY,
        )


def require_word(verdict: Verdict, words: set[str] | frozenset[str], what: str, write: str) -> None:
    """Raise a `Breach` unless all payloads share one of these words."""
    require(verdict.word in words, f"{what} came to {verdict}, not to {' or '.join(sorted(words))}", write)
