"""The sink contract for destinations that speak HTTP: exchanges, and what no client may do."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from bridge.errors import DeliveryError, SetupError
from bridge.testing.destination import Destination, Fault, Reply, Request
from bridge.testing.exchanges import ExchangeContract, require_word
from bridge.testing.fitting import secrets_in
from bridge.testing.lessons import Breach, check, require
from bridge.testing.rules import CLEAN, JUDGE, REDIRECTS, TRY_AGAIN
from bridge.testing.sending import Sending, still_there, threads_besides

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.sinks import Batch, Sink

__all__ = ["HttpSinkContract"]

HTML = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Welcome to our proxy</body></html>"
PAGE = {"content-type": "text/html; charset=utf-8"}
JSON_TYPES = frozenset({"application/json", "application/cloudevents+json"})
LONG = "no, \x1b[31mnever\n" * 500
LONGEST_TEXT = 300
LARGEST_ANSWER = 128 * 1024 * 1024


class HttpSinkContract(ExchangeContract):
    """What every sink that speaks HTTP keeps. Subclass it as `Test…`, set `sink_type` and `config`.

    `config` needs `{url}`, the address of the scripted destination. `impatient` are the keys that
    make the sink give up on a silent destination quickly, such as `{"deadline": 0.3}`.
    `any_2xx_is_a_yes` says that the protocol knows no answer but the status; otherwise a page of
    a proxy with status 200 must not count as delivery.

    Override `answer_ok` where the destination's protocol wants more than 200 and `{}`,
    `answer_refused` and `answer_saying` for its own words about bad data, `answer_partly` where it
    answers item by item, and `said` where a request tells the time of sending.
    """

    @check
    def test_an_endless_answer_is_not_read_to_its_end(self, tmp_path: Path, destination: Destination) -> None:
        """Answers are bounded: a destination cannot fill the bridge's memory."""
        self.met_with(tmp_path, destination, Fault.ENDLESS, **self.impatient)
        require(
            destination.sent <= LARGEST_ANSWER,
            f"{destination.sent:,} bytes of an answer were read",
            "HttpClient(max_answer=64 * 1024): more than that is a TransientError",
        )

    @check
    @pytest.mark.parametrize("status", [200, 502])
    def test_a_page_of_a_proxy_is_no_acknowledgement(
        self, tmp_path: Path, destination: Destination, status: int
    ) -> None:
        """A proxy's or portal's HTML page is not the destination speaking, whatever its status."""
        _, verdict = self.met_with(tmp_path, destination, Reply(status, HTML, PAGE))
        taken = verdict.word in {"delivered", "duplicate"}
        if self.any_2xx_is_a_yes and status < 300:  # noqa: PLR2004
            require(
                taken, f"any_2xx_is_a_yes, and HTTP {status} came to {verdict}", "any_2xx_is_a_yes = False"
            )
            return
        require(
            verdict.word in TRY_AGAIN | {"setup"},
            f"HTTP {status} with an HTML page came to {verdict}",
            "judge by the body where the protocol has one; if it has none, any_2xx_is_a_yes = True\n"
            "in the test class says so. A page is a SetupError (wrong address) or a TransientError",
        )

    @check
    @pytest.mark.parametrize("status", REDIRECTS)
    def test_a_redirect_is_never_followed(
        self, tmp_path: Path, destination: Destination, status: int
    ) -> None:
        """Nobody but the operator decides where telemetry goes: a redirect is a set-up problem."""
        target = "/somewhere-else"
        _, verdict = self.met_with(
            tmp_path, destination, Reply(status, b"", {"location": destination.url + target})
        )
        followed = [request for request in destination.requests if request.path == target]
        require(
            not followed,
            f"HTTP {status} was followed",
            "HttpClient, which never follows; or allow_redirects=False",
        )
        require_word(verdict, {"setup"}, f"HTTP {status}", 'raise SetupError("the destination redirects; …")')

    @check
    def test_a_retry_says_the_same(self, tmp_path: Path, destination: Destination) -> None:
        """What is sent again is the same, so that it collapses with what may have arrived before."""
        with self.opened(tmp_path, destination) as sink:
            first = self._said(sink, destination, self.batch(sink))
            again = self._said(sink, destination, self.batch(sink, attempt=2))
        require(
            first == again,
            "the second attempt sent something else",
            "the payloads as they are, ids made of event.identity. If the protocol wants the time of\n"
            "sending, override said(request) to leave it out",
        )

    @check
    def test_a_request_is_what_its_headers_say(self, tmp_path: Path, destination: Destination) -> None:
        """A body is encoded as Content-Encoding and Content-Type say."""
        with self.opened(tmp_path, destination) as sink:
            before = len(destination.requests)
            self.sent(sink, self.batch(sink))
        requests = destination.requests[before:]
        require(requests, "send made no request to {url}", 'config = {"url": "{url}", …} in the test class')
        for request in requests:
            self._require_honest(request)

    @check
    @pytest.mark.parametrize("status", [200, 400, 401, 404, 500])
    def test_what_is_told_is_short_and_in_one_line(
        self, tmp_path: Path, destination: Destination, status: int
    ) -> None:
        """Reasons end up in dead letters, logs and metrics: a sentence, not a page of the destination's."""
        for text in self._told(tmp_path, destination, status, LONG):
            require(
                len(text) <= LONGEST_TEXT and text.isprintable(),
                f"HTTP {status} came to a text of {len(text)} characters: {text[:120]!r}",
                'f"HTTP {answer.status}", or at most 200 printable characters of what it said',
            )

    @check
    @pytest.mark.parametrize("status", [200, 400, 401, 500])
    def test_what_is_told_holds_no_secret(
        self, tmp_path: Path, destination: Destination, status: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Destinations echo what they were sent; secrets must not come back that way."""
        sink = self.make(tmp_path, destination)
        for secret in secrets_in(sink.config):
            with caplog.at_level("DEBUG"):
                texts = self._told(tmp_path, destination, status, f"not known: {secret}")
            for text in texts:
                self._require_no_secret(sink, f"what send said of an HTTP {status}: {text[:80]!r}", text)
        self._require_no_secret(sink, "the log", caplog.text)

    @check
    def test_check_says_when_we_are_not_let_in(self, tmp_path: Path, destination: Destination) -> None:
        """`bridge check` of a destination that answers 401 says that the set-up is wrong."""
        with self.opened(tmp_path, destination) as sink:
            destination.answer = lambda _: Reply(401)
            try:
                found = sink.check()
            except SetupError:
                return
            except DeliveryError as error:
                found = f"{type(error).__name__}: {error}"
        raise Breach(f"check of a 401 came to {found!r}", CLEAN)

    @check
    def test_check_says_when_nobody_is_there(self, tmp_path: Path, destination: Destination) -> None:
        """`bridge check` of an address where nobody listens raises a DeliveryError."""
        with self.opened(tmp_path, destination) as sink:
            destination.close()
            try:
                found = sink.check()
            except DeliveryError:
                return
            except Exception as error:
                raise Breach(f"check raised {type(error).__name__}: {error}", CLEAN) from error
        raise Breach(f"check of a refused connection came to {found!r}", CLEAN)

    @check
    def test_a_send_that_is_cut_short_leaves_no_thread(
        self, tmp_path: Path, destination: Destination
    ) -> None:
        """A sink that is closed in the middle of a send lets that send end, and leaves no thread."""
        before = threads_besides(())
        with self.opened(tmp_path, destination, **self.impatient) as sink:
            seen = len(destination.requests)
            destination.answer = lambda _: Fault.HANG
            sending = Sending(sink, self.batch(sink))
            _until(lambda: len(destination.requests) > seen)
        destination.close()
        require(sending.ends_within(self.patience), "send waits on after the sink was closed", CLEAN)
        left = still_there(before)
        require(not left, f"still running: {', '.join(left)}", CLEAN)

    def _told(self, folder: Path, destination: Destination, status: int, text: str) -> tuple[str, ...]:
        """What send says of a destination that answers so and says this."""
        with self.opened(folder, destination) as sink:
            batch = self.batch(sink, 1)
            destination.answer = lambda request: self.answer_saying(request, status, text)
            verdict = self.sent(sink, batch)
            destination.answer = self.answer_ok
        return verdict.texts

    def _said(self, sink: Sink[Any, Any], destination: Destination, batch: Batch[Any]) -> list[object]:
        before = len(destination.requests)
        self.sent(sink, batch)
        return [self.said(request) for request in destination.requests[before:]]

    def _require_honest(self, request: Request) -> None:
        kind = request.headers.get("content-type", "")
        try:
            content = request.content
            if kind.partition(";")[0].strip() in JSON_TYPES:
                json.loads(content)
        except ValueError as error:
            raise Breach(f"{request.method} {request.path} with {kind!r}: {error}", JUDGE) from None


def _until(condition: Any, seconds: float = 10.0) -> None:
    ends = time.monotonic() + seconds
    while not condition() and time.monotonic() < ends:
        time.sleep(0.005)
