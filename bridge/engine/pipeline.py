"""One sink's pipeline: read at its own cursor, send, settle, commit. Shares nothing with the others."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from bridge.engine.burying import DeadLetterDesk
from bridge.engine.handover import hand_over
from bridge.engine.heap import keep_small
from bridge.engine.meter import Status, Tally
from bridge.engine.outbox import Outbox
from bridge.engine.senders import Landed, Senders
from bridge.engine.settling import Options, Settler
from bridge.engine.streams import Streams
from bridge.errors import BridgeError
from bridge.reports import Counts, Snapshot
from bridge.secrets import redact
from bridge.sinks import ObjectSink

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from bridge.deadletters import DeadLetters
    from bridge.engine.inflow import Inflow
    from bridge.engine.loads import Load
    from bridge.engine.mapping import Doomed
    from bridge.engine.progress import Progress
    from bridge.engine.retry import RejectLimiter
    from bridge.journals.base import Page, Reader
    from bridge.sinks import Sink

__all__ = ["Pipeline", "ReaderOf"]

Wake = Callable[[], None]
ReaderOf = Callable[[Wake], "Reader"]

log = logging.getLogger(__name__)

COMMIT_EVERY = 1.0
LONGEST_SLEEP = 0.2
SHORT_SLEEP = 0.05  # a journal that nobody wakes us for is looked at more often
IDLE_EVERY = 1.0
READY = 2  # batches that wait for a free sender; more would only be memory


class Pipeline:
    """The loop of one sink (or of the rejects, without a sink).

    `run` belongs to one thread; `stop`, `wake` and `snapshot` may be used from any.
    """

    def __init__(
        self,
        options: Options,
        reader_of: ReaderOf,
        inflow: Inflow,
        progress: Progress,
        sink: Sink[Any, Any] | None,
        dead_letters: DeadLetters,
        limiter: RejectLimiter,
        notify: Callable[..., None],
        chance: Callable[[], float],
    ) -> None:
        keep_small()  # here, because the reader below is what may start the first threads
        self.options = options
        self._inflow = inflow
        self._progress = progress
        self._sink = sink
        self._desk = DeadLetterDesk(options.name, options.plugin, dead_letters, notify, self._wait_blocked)
        self._outbox = Outbox(options.max_in_flight, options.probe)
        self._landed: SimpleQueue[Landed | None] = SimpleQueue()
        self._senders: Senders | None = None
        self._stopping = threading.Event()
        self._finishing = threading.Event()
        if options.until_idle:
            self._finishing.set()
        self._tally = Tally()
        self._status = Status()
        self._settler = Settler(
            options,
            self._outbox,
            progress,
            self._desk,
            limiter,
            self._tally,
            self._status,
            notify,
            chance,
            self._recut,
        )
        self._sends = self._retries = 0
        self._committed_at = 0.0
        self._ends = math.inf
        self.failure: BaseException | None = None
        self.snapshot = Snapshot(options.name, options.type, "starting", "", Counts())
        self._reader = reader_of(self.wake)
        inflow.attend(self._reader)
        self._streams = Streams(options.name, self._reader, inflow, self._outbox, progress, self._tally)
        self._reader.on_lost = self._lost
        self._reader.on_revoke = self._hand_over

    @property
    def where(self) -> str:
        """The address of the destination, "" if there is none to show."""
        return redact(self._sink.where()) if self._sink is not None else ""

    def stop(self) -> None:
        """Stop reading, drain what is in flight within the grace period, commit, end."""
        self._stopping.set()
        self.wake()

    def finish(self) -> None:
        """End once everything that is in the journal is settled, as if `until_idle` had been set."""
        self._finishing.set()
        self.wake()

    def wake(self) -> None:
        """There is something to do: new events in the journal, or a stop."""
        self._landed.put(None)

    def run(self) -> None:
        """Run until stopped, or until idle once told to `finish`; `failure` says why it broke."""
        try:
            if self._enter():
                self._loop()
                self._drain()
            self._status.end("stopped")
        except BaseException as error:
            log.exception("pipeline %s failed", self.options.name)
            self.failure = error
            self._status.end("failed", f"{type(error).__name__}: {error}")
        finally:
            self._finish()

    def _enter(self) -> bool:
        """Open the sink, trying again for as long as its set-up is wrong; False when stopped before."""
        attempt = 0
        while self._sink is not None and not self._stopping.is_set():
            try:
                self._sink.__enter__()
            except Exception as error:  # noqa: BLE001 - boundary: one sick sink never ends the others
                attempt += 1
                self._status.pin("setup", _sentence(error))
                log.error("sink %s cannot be opened: %s", self.options.name, _sentence(error))  # noqa: TRY400
                self._show()
                self._wait(self.options.probe.ceiling(attempt))
            else:
                self._status.unpin()
                self._senders = Senders(
                    self._sink, self.options.name, self.options.max_in_flight, self._landed.put
                )
                return True
        return self._sink is None

    def _loop(self) -> None:
        while not self._stopping.is_set():
            now = time.monotonic()
            self._collect()
            self._offer(self._inflow.due(now))
            self._dispatch(now)
            self._commit(now)
            if self._full():
                self._make_room(now)
                continue
            patience = self._patience(now)
            page = self._reader.read(patience)
            if page is not None:
                self._take(page, time.monotonic())
            elif self._at_rest():
                return
            elif patience:
                self._show()
            else:
                self._sleep(now)

    def _take(self, page: Page, now: float) -> None:
        harvest = self._inflow.take(page, now)
        page.release()
        self._tally.add(
            read=harvest.read,
            filtered=harvest.filtered,
            invalid=harvest.invalid,
            duplicate=harvest.duplicate,
            derived=harvest.derived,
        )
        if not self._bury_doomed(harvest.doomed, page.stream):
            return
        if harvest.ticket is not None:
            self._progress.seal(harvest.ticket)
        self._offer(harvest.loads)
        self._dispatch(now)

    def _offer(self, loads: Sequence[Load]) -> None:
        for load in loads:
            self._outbox.offer(load)

    def _dispatch(self, now: float) -> None:
        while self._senders is not None and (load := self._outbox.take(now)) is not None:
            if load.attempt == 1:
                load.first_ms = load.first_ms or int(time.time() * 1000)
            else:
                self._retries += 1
            self._sends += 1
            self._senders.send(load)

    def _full(self) -> bool:
        return (self._sink is not None and self._held() >= self._allowance()) or self._outbox.backlog > READY

    def _allowance(self) -> int:
        """Bytes that may be held: a part of the buffer while the destination takes nothing."""
        taking = self._settler.rate.value(time.monotonic()) > 0
        return self.options.max_held_bytes if taking else self.options.max_idle_bytes

    def _held(self) -> int:
        return self._inflow.size + self._outbox.size

    def _make_room(self, now: float) -> None:
        """Too much is held to read on; if nothing is on its way, the open batch has to go as it is."""
        if not len(self._outbox):
            self._offer(self._inflow.flush())
            return
        self._reader.idle()
        self._inflow.rest()
        self._sleep(now)

    def _at_rest(self) -> bool:
        if not self._finishing.is_set() or not self._reader.at_end():
            return False
        self._offer(self._inflow.flush())
        return not len(self._outbox)

    def _sleep(self, now: float) -> None:
        """Wait for an answer, new events, a retry or a batch's age; never longer than a moment."""
        self._show()
        self._collect(self._moment(now, SHORT_SLEEP if self._reader.waits else LONGEST_SLEEP))

    def _patience(self, now: float) -> float:
        """How long the journal may wait for new events: not at all while answers are to come."""
        if not self._reader.waits or self._outbox.flying:
            return 0.0
        return self._moment(now, LONGEST_SLEEP)

    def _moment(self, now: float, longest: float) -> float:
        """Seconds until a retry or a batch's age is due, `longest` at most."""
        due = [moment for moment in (self._inflow.closes_at, self._outbox.wakes_at()) if moment is not None]
        return max(0.0, min([longest, *(moment - now for moment in due)]))

    def _wait(self, seconds: float) -> bool:
        """Wait, without leaving the journal alone; True when stopped meanwhile."""
        ends = time.monotonic() + seconds
        while not self._stopping.is_set() and (left := ends - time.monotonic()) > 0:
            self._reader.idle()
            self._show()
            self._stopping.wait(min(left, IDLE_EVERY))
        return self._stopping.is_set()

    def _collect(self, timeout: float = 0.0) -> None:
        """Handle every answer that has come in, waiting `timeout` seconds for the first."""
        try:
            landed = self._landed.get(timeout=timeout) if timeout > 0 else self._landed.get_nowait()
            while True:
                if landed is not None:
                    self._settler.answered(*landed)
                landed = self._landed.get_nowait()
        except Empty:
            return

    def _recut(self, load: Load, end: int) -> None:
        self._streams.recut(load, end)

    def _hand_over(self, seconds: float) -> None:
        """Streams are about to go to another process, which would repeat what is not settled."""
        seconds = min(seconds, self._ends - time.monotonic())
        if self.failure is not None or seconds <= 0:
            return
        if not isinstance(self._sink, ObjectSink):  # the next owner continues an object that is open
            self._offer(self._inflow.flush())
        settle = lambda landed: self._settler.answered(*landed)  # noqa: E731 - it is passed on
        hand_over(self._outbox, self._landed, settle, self._dispatch, seconds)

    def _lost(self, streams: Collection[str]) -> None:
        self._streams.lost(streams, commit=self.failure is None)

    def _bury_doomed(self, doomed: Sequence[Doomed], stream: str) -> bool:
        if not doomed:
            return True
        self._tally.limbo = len(doomed)
        done = self._desk.bury([self._desk.letter(one, stream) for one in doomed])
        self._tally.limbo = 0
        self._tally.add(**{"dead_lettered" if done else "returned": len(doomed)})
        return done

    def _wait_blocked(self, reason: str, attempt: int) -> bool:
        """Dead letters cannot be written: nothing moves until they can. False when stopped meanwhile."""
        self._status.pin("blocked", reason)
        self._show()
        stopped = self._wait(self.options.backoff.ceiling(attempt))
        self._status.unpin()
        return not stopped

    def _commit(self, now: float) -> None:
        if now - self._committed_at < COMMIT_EVERY:
            return
        self._committed_at = now
        cursors = self._progress.take()
        if cursors:
            self._reader.commit(cursors)
        self._show()

    def _drain(self) -> None:
        """Send what is in memory, within the grace period; what is not answered is read again later."""
        self._status.pin("draining")
        self._offer(self._inflow.flush())
        self._ends = time.monotonic() + self.options.grace
        while len(self._outbox) and self._outbox.held is None and (now := time.monotonic()) < self._ends:
            self._dispatch(now)
            if not self._outbox.flying:
                break  # only retries are left: their destination is not well, and they are read again
            self._reader.idle()
            self._show()
            self._collect(LONGEST_SLEEP)

    def _finish(self) -> None:
        try:
            self._leave()
            if self.failure is None:
                self._reader.commit(self._progress.take())
            self._reader.close()
        except BridgeError as error:
            self.failure = self.failure or error
        self._show()

    def _leave(self) -> None:
        if self._senders is None or self._sink is None:
            return
        if self._senders.close(1.0):
            self._sink.__exit__(None, None, None)
        else:
            log.warning("sink %s still waits for its destination; left as it is", self.options.name)

    def _show(self) -> None:
        """Publish a consistent picture of this pipeline."""
        busy = bool(len(self._outbox) or self._inflow.size)
        self._status.refresh(self._outbox.held, busy=busy, waiting=self._outbox.wakes_at() is not None)
        counts = self._tally.counts(self._progress.outstanding)
        lag, reason = self._reader.lag(), self._status.reason or self._reader.trouble
        self.snapshot = Snapshot(
            self.options.name, self.options.type, self._status.state, reason, counts, self._sends,
            self._retries, self._settler.bytes, self._held(), self._outbox.flying,
            self._settler.rate.value(time.monotonic()), lag.records, lag.bytes, lag.seconds,
            lag.of_retention, self._reader.missed,
        )  # fmt: skip


def _sentence(error: Exception) -> str:
    """Our own errors speak for themselves; a stranger's text may quote anything, so its kind is shown."""
    return str(error) if isinstance(error, BridgeError) else f"the plugin failed with {type(error).__name__}"
