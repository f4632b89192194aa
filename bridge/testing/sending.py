"""The part of the sink contract about opening, sending and closing, for any destination."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from bridge.errors import DeliveryError
from bridge.testing.destination import Destination
from bridge.testing.fitting import batch_of, secrets_in
from bridge.testing.lessons import Breach, check, require
from bridge.testing.mapping import MappingContract
from bridge.testing.replay import fingerprint
from bridge.testing.verdicts import Verdict, send

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bridge.sinks import Batch, Sink

__all__ = ["ENDLESS", "Sending", "SinkContract", "still_there", "threads_besides"]

CLOSE = """\
def __exit__(self, exc_type, exc, traceback):
    if self._client is not None:
        self._client.close()
        self._client = None"""
TAKEN = frozenset({"delivered", "duplicate"})
LINGER = 2.0
ENDLESS = (
    "an end to every wait: HttpClient(deadline=…) covers an exchange from connecting to the last byte;\n"
    "other clients need each of their time-outs set"
)


class Sending:
    """One call of `send` in a thread of its own, as the host makes it."""

    def __init__(self, sink: Sink[Any, Any], batch: Batch[Any]) -> None:
        self._verdict: Verdict | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(
            target=self._run, args=(sink, batch), name="contract-send", daemon=True
        )
        self._thread.start()

    def ends_within(self, seconds: float) -> bool:
        """Wait for the end; False if there is none in so many seconds."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def verdict(self) -> Verdict:
        """What it came to; raises what `bridge.testing.verdicts.send` raised."""
        if self._error is not None or self._verdict is None:
            raise self._error or RuntimeError("the send is not over")
        return self._verdict

    def _run(self, sink: Sink[Any, Any], batch: Batch[Any]) -> None:
        try:
            self._verdict = send(sink, batch)
        except Exception as error:  # noqa: BLE001 - it is raised again where the test waits for it
            self._error = error


class SinkContract(MappingContract):
    """What every sink keeps towards a destination that works. Subclass it as `Test…`.

    Set `sink_type` and `config`, so that `send` reaches something: a folder (`{folder}`), a
    server of yours, or the scripted destination (`{url}`), which answers 200 to everything.
    `patience` is how long, in seconds, a `send` may take here.
    """

    patience: ClassVar[float] = 20.0

    @pytest.fixture
    def destination(self) -> Iterator[Destination]:
        """The scripted destination of one test; a subclass may make another one."""
        with Destination() as destination:
            yield destination

    @contextmanager
    def opened(
        self, folder: Path, destination: Destination | None = None, **changes: Any
    ) -> Iterator[Sink[Any, Any]]:
        """A sink that is entered, and left afterwards."""
        with self.make(folder, destination, **changes) as sink:
            yield sink

    def batch(self, sink: Sink[Any, Any], count: int = 4, attempt: int = 1, start: int = 0) -> Batch[Any]:
        """`count` different events as the host would hand them to this sink."""
        return batch_of(sink, self.events(start + count)[start:], attempt, start)

    def sent(self, sink: Sink[Any, Any], batch: Batch[Any]) -> Verdict:
        """Send in a thread, as the host does; a `Breach` if that takes longer than `patience`."""
        sending = Sending(sink, batch)
        if not sending.ends_within(self.patience):
            raise Breach(f"send was not over after {self.patience:g} s", ENDLESS)
        return sending.verdict()

    @check
    def test_every_payload_gets_an_outcome(self, tmp_path: Path, destination: Destination) -> None:
        """A destination that works has every event of a batch afterwards, and send says so for each."""
        with self.opened(tmp_path, destination) as sink:
            self._require_taken(self.sent(sink, self.batch(sink)))

    @check
    def test_a_batch_of_one_is_delivered(self, tmp_path: Path, destination: Destination) -> None:
        """Bisecting a refused batch ends with single events; they are sent like any other batch."""
        with self.opened(tmp_path, destination) as sink:
            self._require_taken(self.sent(sink, self.batch(sink, 1)))

    @check
    def test_a_batch_may_come_again(self, tmp_path: Path, destination: Destination) -> None:
        """An answer may be lost on the way: the same batch is sent once more, and is delivered or known."""
        with self.opened(tmp_path, destination) as sink:
            self._require_taken(self.sent(sink, self.batch(sink)))
            self._require_taken(self.sent(sink, self.batch(sink, attempt=2)))

    @check
    def test_a_batch_may_come_again_after_a_restart(self, tmp_path: Path, destination: Destination) -> None:
        """After a crash a new process sends what the old one has sent, and is not refused."""
        for _ in range(2):
            with self.opened(tmp_path, destination) as sink:
                self._require_taken(self.sent(sink, self.batch(sink)))

    @check
    def test_batches_follow_each_other(self, tmp_path: Path, destination: Destination) -> None:
        """One open sink sends one batch after the other."""
        with self.opened(tmp_path, destination) as sink:
            for start in (0, 3, 6):
                self._require_taken(self.sent(sink, self.batch(sink, 3, start=start)))

    @check
    def test_sends_may_run_side_by_side(self, tmp_path: Path, destination: Destination) -> None:
        """The host calls send in up to max_in_flight threads at once, of one and the same sink."""
        with self.opened(tmp_path, destination) as sink:
            lanes = min(sink.max_in_flight, 4)
            batches = [self.batch(sink, 2, start=2 * lane) for lane in range(lanes)]
            with ThreadPoolExecutor(lanes) as pool:
                for verdict in pool.map(lambda batch: send(sink, batch), batches, timeout=self.patience):
                    self._require_taken(verdict)

    @check
    def test_sending_changes_no_batch(self, tmp_path: Path, destination: Destination) -> None:
        """A retry sends the same bytes: send leaves payloads and events as they are."""
        with self.opened(tmp_path, destination) as sink:
            batch = self.batch(sink)
            before = [fingerprint(payload) for payload in batch.payloads], [e.raw for e in batch.events]
            self.sent(sink, batch)
            after = [fingerprint(payload) for payload in batch.payloads], [e.raw for e in batch.events]
            require(before == after, "send changed its batch", "a copy of whatever has to be changed")

    @check
    def test_a_sink_opens_and_closes_more_than_once(self, tmp_path: Path, destination: Destination) -> None:
        """Closing twice is harmless, and a sink that was closed can be opened again."""
        sink = self.make(tmp_path, destination)
        for _ in range(2):
            try:
                entered = sink.__enter__()
                sink.__exit__(None, None, None)
                sink.__exit__(None, None, None)
            except Exception as error:
                raise Breach(f"{type(error).__name__}: {error}", CLOSE) from error
            require(entered is sink, f"__enter__ returned {type(entered).__name__}", "return self")

    @check
    def test_a_sink_that_was_never_opened_can_be_closed(self, tmp_path: Path) -> None:
        """The host closes what it could not open."""
        try:
            self.make(tmp_path).__exit__(None, None, None)
        except Exception as error:
            raise Breach(f"{type(error).__name__}: {error}", CLOSE) from error

    @check
    def test_no_thread_outlives_the_sink(self, tmp_path: Path, destination: Destination) -> None:
        """A closed sink leaves no thread behind."""
        before = threads_besides(())
        with self.opened(tmp_path, destination) as sink:
            self.sent(sink, self.batch(sink))
        left = still_there(before)
        require(not left, f"still running: {', '.join(left)}", f"join or close it:\n{CLOSE}")

    @check
    def test_check_says_in_one_line_what_it_found(self, tmp_path: Path, destination: Destination) -> None:
        """`bridge check` prints one line for a sink whose destination can be used."""
        with self.opened(tmp_path, destination) as sink:
            try:
                found: object = sink.check()
            except DeliveryError as error:
                raise Breach(
                    f"check raised {type(error).__name__}: {error}",
                    "a check that passes where send delivers, or none at all: the base class has one",
                ) from error
            require(
                isinstance(found, str) and found and "\n" not in found,
                f"check returned {found!r}",
                'return f"{self.config.url}: HTTP {answer.status}"',
            )

    @check
    def test_delivery_logs_no_secret(
        self, tmp_path: Path, destination: Destination, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Nothing that is logged on the way holds the text of a secret, at any level."""
        with caplog.at_level("DEBUG"), self.opened(tmp_path, destination) as sink:
            self.sent(sink, self.batch(sink))
        self._require_no_secret(sink, "the log", caplog.text)

    def _require_taken(self, verdict: Verdict) -> None:
        require(
            set(verdict.words) <= TAKEN,
            f"the destination works, and send came to: {verdict}",
            "return batch.all(DELIVERED), or DUPLICATE for what was there already. If the answer of the\n"
            "scripted destination is not what yours would say, override answer_ok of HttpSinkContract",
        )

    def _require_no_secret(self, sink: Sink[Any, Any], where: str, text: str) -> None:
        for secret in secrets_in(sink.config):
            require(
                secret not in text,
                f"a secret is readable in {where}",
                "from bridge.secrets import redact\nredact(text)   # where you quote the destination\n"
                "and no headers, addresses or configuration in what you log",
            )


def threads_besides(known: tuple[threading.Thread, ...]) -> tuple[threading.Thread, ...]:
    """The threads that run now, without `known` ones and without the scripted destination's."""
    return tuple(
        thread
        for thread in threading.enumerate()
        if thread not in known and not thread.name.startswith(("scripted-destination", "contract-send"))
    )


def still_there(known: tuple[threading.Thread, ...]) -> list[str]:
    """The names of new threads that do not end within a moment."""
    ends = time.monotonic() + LINGER
    while (left := threads_besides(known)) and time.monotonic() < ends:
        time.sleep(0.01)
    return [thread.name for thread in left]
