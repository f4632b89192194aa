"""Each check of the contract finds the fault it is there for, and its message says what to write."""

# ruff: noqa: RUF012 - what a contract reads of its subclass is never changed

from __future__ import annotations

import inspect
import json
import random
import threading
import time
import types

import pytest
from pydantic import ConfigDict, Field

from bridge import DELIVERED, BatchLimits, Reject, Retry, Secret, Sink, SinkConfig, hookimpl
from bridge.errors import DeliveryError, EventError, RejectedError, SetupError, ThrottledError, TransientError
from bridge.http import HttpClient, raise_for_status
from bridge.testing import Destination, HttpSinkContract

Failed = pytest.fail.Exception


class Keys(SinkConfig):
    url: str = Field(description="address")
    token: Secret = Field(description="token")
    deadline: float = Field(default=5.0, description="seconds")


class Good(Sink):
    """A sink without a fault; each faulty one below changes one thing of it."""

    name = "good"
    config_type = Keys

    def __init__(self, config):
        super().__init__(config)
        self.client = None

    def __enter__(self):
        self.client = HttpClient(deadline=self.config.deadline)
        return self

    def __exit__(self, *exc_info):
        if self.client:
            self.client.close()
            self.client = None

    def map(self, event):
        return json.dumps({"id": event.identity.hex(), "eid": event.eid}).encode()

    def send(self, batch):
        answer = self.ask("POST", b"[%b]" % b",".join(batch.payloads))
        if answer.status in {400, 413}:
            raise RejectedError(f"http_{answer.status}", f"HTTP {answer.status}")
        raise_for_status(answer, time.time())
        if answer.status >= 300 or "html" in answer.headers.get("content-type", ""):
            raise SetupError(f"HTTP {answer.status}")
        return batch.all(DELIVERED)

    def check(self):
        raise_for_status(self.ask("GET"), time.time())
        return "fine"

    def ask(self, method, body=b""):
        headers = {"content-type": "application/json", "x-token": self.config.token.reveal()}
        return self.client.request(method, self.config.url, content=body, headers=headers)


class Unnamed(Good):
    name = "No Name"


class OldApi(Good):
    api_version = 0


class Clash(Good):
    class Keys(Keys):
        retry: int = Field(default=1, description="clashes with the host's own")

    config_type = Keys


class Bare(Good):
    class Keys(Keys):
        size: int = 1

    config_type = Keys


class Lax(Good):
    class Keys(Keys):
        model_config = ConfigDict(extra="allow")

    config_type = Keys


class Thawed(Good):
    class Keys(Keys):
        model_config = ConfigDict(frozen=False)

    config_type = Keys


class PlainSecret(Good):
    class Keys(Keys):
        api_key: str = Field(default="", description="a key")

    config_type = Keys


class Talkative(Good):
    def explain(self, batch):
        return f"with {self.config.token.reveal()}"


class EagerSink(Good):
    def __init__(self, config):
        super().__init__(config)
        import socket

        socket.socket().close()


class Fragile(Good):
    def map(self, event):
        return event.edata["pageid"].encode()


class Picky(Good):
    def map(self, event):
        if event.eid == "ACCESS":
            raise EventError("no", "not known")
        return super().map(event)


class OddCode(Good):
    def map(self, event):
        if len(event.raw) > 5_000:
            raise EventError("No edata!", "nothing there")
        return super().map(event)


class Lottery(Good):
    def map(self, event):
        return super().map(event) + str(random.random()).encode()


class Hashing(Good):
    def map(self, event):
        return super().map(event) + str(sorted({"a", "b", "c", "d"}, key=hash)).encode()


class Clocked(Good):
    def map(self, event):
        return super().map(event) + (b"late" if time.time() > 1e11 else b"")


class Dated(Good):
    def map(self, event):
        return (
            super().map(event) + time.strftime("%Y").encode() + time.strftime("%Y", time.gmtime(0)).encode()
        )


class Reader(Good):
    def map(self, event):
        with open(__file__, "rb") as file:  # noqa: PTH123 - the fault
            return super().map(event) + file.read(1)


class Writer(Good):
    def map(self, event):
        event.edata["seen"] = True
        return super().map(event)


class WrongBatch(Good):
    def map_batch(self, events):
        return [self.map(event) for event in reversed(events)]


class Text(Good):
    def map(self, event):
        return super().map(event).decode()


class Tight(Good):
    limits = BatchLimits(max_payload_bytes=10)


class Anonymous(Good):
    def map(self, event):
        return event.eid.encode()


class Declining(Good):
    def map(self, event):
        return None


class Silent(Good):
    def explain(self, batch):
        return ""


class Short(Good):
    def send(self, batch):
        return super().send(batch)[1:]


class Nothing(Good):
    def send(self, batch):
        super().send(batch)


class Booleans(Good):
    def send(self, batch):
        return [True] * len(super().send(batch))


class Hesitant(Good):
    def send(self, batch):
        return batch.all(Retry("perhaps later"))


class Once(Good):
    def send(self, batch):
        if batch.attempt > 1:
            raise RejectedError("known", "sent before")
        return super().send(batch)


class Draining(Good):
    def send(self, batch):
        outcomes = super().send(batch)
        batch.payloads.append(batch.payloads.pop(0))
        return outcomes


class OneShot(Good):
    def __exit__(self, *exc_info):
        self.client.close()
        del self.client


class Threading(Good):
    def __enter__(self):
        self.done = threading.Event()
        threading.Thread(target=self.done.wait, args=(4,), name="left-behind", daemon=True).start()
        return super().__enter__()


class Verbose(Good):
    def check(self):
        return "one\ntwo"


class Logging(Good):
    def send(self, batch):
        import logging

        logging.getLogger("good").debug("using %s", self.config.token.reveal())
        return super().send(batch)


class Optimist(Good):
    """Everything that comes back counts."""

    def send(self, batch):
        self.ask("POST", b"[%b]" % b",".join(batch.payloads))
        return batch.all(DELIVERED)


class Foreign(Good):
    def send(self, batch):
        try:
            return super().send(batch)
        except DeliveryError as error:
            raise ConnectionError("anything") from error


class Vague(Good):
    def send(self, batch):
        try:
            return super().send(batch)
        except DeliveryError as error:
            raise DeliveryError("anything") from error


class Impatient(Good):
    """Does not read Retry-After."""

    def send(self, batch):
        try:
            return super().send(batch)
        except ThrottledError as error:
            raise TransientError(str(error)) from None


class Shouting(Good):
    def send(self, batch):
        try:
            return super().send(batch)
        except RejectedError as error:
            raise RejectedError("Bad Request!", str(error)) from None


class Stubborn(Good):
    """Gives up for good after a fault."""

    broken = False

    def send(self, batch):
        try:
            if self.broken:
                raise SetupError("broken before")
            return super().send(batch)
        except TransientError:
            self.broken = True
            raise


class Endless(Good):
    def __enter__(self):
        super().__enter__()
        self.client.close()
        self.client = HttpClient(deadline=30.0)
        return self


class Greedy(Good):
    def __enter__(self):
        self.client = HttpClient(deadline=30.0, max_answer=512 * 1024 * 1024)
        return self


class Follower(Good):
    def ask(self, method, body=b""):
        answer = super().ask(method, body)
        if answer.status in {301, 302, 303, 307, 308}:
            return self.client.request("GET", answer.headers["location"])
        return answer


class AllOrNone(Good):
    """Judges a batch sent one by one as if it were one."""

    def send(self, batch):
        for payload in batch.payloads:
            self.ask("POST", payload)
        return batch.all(Reject("some", "some item failed"))


class Changing(Good):
    def send(self, batch):
        batch.payloads[0] += str(batch.attempt).encode()
        return super().send(batch)


class NotJson(Good):
    def map(self, event):
        return event.identity.hex().encode()


class Quoting(Good):
    def send(self, batch):
        answer = self.ask("POST", b"[%b]" % b",".join(batch.payloads))
        if answer.status != 200:
            raise SetupError(answer.body.decode())
        return batch.all(DELIVERED)


class Unchecked(Good):
    def check(self):
        return "surely fine"


class UncheckedForeign(Good):
    def check(self):
        try:
            return super().check()
        except DeliveryError as error:
            raise ConnectionError from error


@hookimpl
def bridge_sinks():
    return [Good]


def contract(sink_type, **attributes):
    """A contract as a stranger writes it, for a sink that this module offers."""
    plugin = types.SimpleNamespace(__name__="plugin", bridge_sinks=hookimpl(lambda: [sink_type]))
    return type(
        "TestStranger",
        (HttpSinkContract,),
        {
            "sink_type": sink_type,
            "config": {"url": "{url}/in", "token": "token-0123456789"},
            "impatient": {"deadline": 0.1},
            "patience": 1.0,
            "plugin": plugin,
            **attributes,
        },
    )()


@pytest.fixture
def run(tmp_path, caplog):
    """Run one check of a contract as pytest would."""

    def call(contract, name, **given):
        method = getattr(contract, f"test_{name}")
        wanted = inspect.signature(method).parameters
        with Destination(contract.answer_ok) as destination:
            offers = {
                "tmp_path": lambda: tmp_path,
                "destination": lambda: destination,
                "caplog": lambda: caplog,
                "replays": lambda: contract._replay(tmp_path),
            }
            method(**given, **{name: make() for name, make in offers.items() if name in wanted})

    return call


CASES = [
    (Unnamed, "the_host_accepts_the_class", {}, "a class attribute such as name"),
    (OldApi, "the_host_accepts_the_class", {}, "was written for plugin API 0"),
    (Clash, "the_host_accepts_the_class", {}, "has the key retry"),
    (Bare, "every_key_has_a_description", {}, "no description: size"),
    (Lax, "an_unknown_key_is_refused_with_a_suggestion", {}, "was accepted"),
    (Thawed, "the_configuration_is_frozen", {}, "can be set"),
    (PlainSecret, "what_sounds_secret_is_a_secret", {}, "not a Secret: api_key"),
    (Talkative, "nothing_shows_a_secret", {}, "sink.explain(batch)"),
    (EagerSink, "making_a_sink_opens_nothing", {}, "socket."),
    (Fragile, "every_event_is_mapped_or_declined", {}, "map raised KeyError"),
    (Picky, "an_event_of_an_unknown_type_is_mapped_or_declined", {}, "refused an ordinary ACCESS"),
    (OddCode, "an_odd_event_is_mapped_or_refused", {}, "EventError with code 'No edata!'"),
    (Fragile, "an_odd_event_is_mapped_or_refused", {}, "map raised"),
    (Lottery, "the_same_event_gives_the_same_payload", {}, "another payload the second time"),
    (Hashing, "another_process_gives_the_same_payload", {}, "PYTHONHASHSEED="),
    (Clocked, "mapping_reads_no_clock_and_draws_no_lots", {}, "map used time.time"),
    (Dated, "mapping_reads_no_clock_and_draws_no_lots", {}, "map used time.strftime"),
    (Lottery, "mapping_reads_no_clock_and_draws_no_lots", {}, "map used random (Random.random)"),
    (Reader, "mapping_touches_no_file_and_no_network", {}, "map caused open"),
    (Writer, "mapping_changes_no_event", {}, "map changed the"),
    (WrongBatch, "many_at_once_are_mapped_as_one_by_one", {}, "other ones for"),
    (Text, "a_payload_has_a_size", {}, "event"),
    (Tight, "ordinary_payloads_are_within_the_limits", {}, "the limits permit 10"),
    (Anonymous, "an_event_keeps_its_identity", {}, "cannot be told apart"),
    (Declining, "a_payload_has_a_size", {}, "no payload for any official event"),
    (Silent, "explain_is_text_and_needs_no_network", {}, "explain returned ''"),
    (Short, "every_payload_gets_an_outcome", {}, "send returned 3 outcomes for 4 payloads"),
    (Nothing, "every_payload_gets_an_outcome", {}, "send returned NoneType"),
    (Booleans, "every_payload_gets_an_outcome", {}, "send returned bool"),
    (Hesitant, "a_batch_of_one_is_delivered", {}, 'came to: retry ("perhaps later")'),
    (Once, "a_batch_may_come_again", {}, 'rejected ("sent before")'),
    (Draining, "sending_changes_no_batch", {}, "send changed its batch"),
    (OneShot, "a_sink_opens_and_closes_more_than_once", {}, "AttributeError"),
    (OneShot, "a_sink_that_was_never_opened_can_be_closed", {}, "AttributeError"),
    (Threading, "no_thread_outlives_the_sink", {}, "left-behind"),
    (Verbose, "check_says_in_one_line_what_it_found", {}, "check returned 'one\\ntwo'"),
    (Logging, "delivery_logs_no_secret", {}, "readable in the log"),
    (Optimist, "a_status_gets_its_verdict", {"status": 500}, "HTTP 500 came to delivered, not to retry or"),
    (Optimist, "refused_data_is_rejected", {}, "came to delivered, not to rejected"),
    (Shouting, "refused_data_is_rejected", {}, "the code 'Bad Request!'"),
    (Foreign, "a_status_gets_its_verdict", {"status": 401}, "send raised builtins.ConnectionError: anything"),
    (Vague, "a_status_gets_its_verdict", {"status": 401}, "send raised DeliveryError itself"),
    (Impatient, "retry_after_in_seconds_is_obeyed", {"status": 429}, "after None s"),
    (Impatient, "retry_after_as_a_date_is_obeyed", {}, "ten minutes ahead came to retry"),
    (Optimist, "a_senseless_retry_after_does_no_harm", {"text": "soon"}, "came to delivered"),
    (Foreign, "a_destination_that_is_gone_is_tried_again", {}, "ConnectionError"),
    (Stubborn, "after_a_fault_the_same_sink_delivers", {}, 'setup ("broken before")'),
    (AllOrNone, "a_partial_failure_names_the_right_ones", {}, "rejected, rejected, rejected, rejected"),
    (Greedy, "an_endless_answer_is_not_read_to_its_end", {}, "bytes of an answer were read"),
    (Optimist, "a_page_of_a_proxy_is_no_acknowledgement", {"status": 200}, "HTML page came to delivered"),
    (Follower, "a_redirect_is_never_followed", {"status": 302}, "HTTP 302 was followed"),
    (Optimist, "a_redirect_is_never_followed", {"status": 307}, "came to delivered, not to setup"),
    (Changing, "a_retry_says_the_same", {}, "the second attempt sent something else"),
    (NotJson, "a_request_is_what_its_headers_say", {}, "with 'application/json'"),
    (Quoting, "what_is_told_is_short_and_in_one_line", {"status": 500}, "a text of"),
    (Quoting, "what_is_told_holds_no_secret", {"status": 401}, "a secret is readable in what send said"),
    (Unchecked, "check_says_when_we_are_not_let_in", {}, "'surely fine'"),
    (Unchecked, "check_says_when_nobody_is_there", {}, "'surely fine'"),
    (UncheckedForeign, "check_says_when_nobody_is_there", {}, "check raised ConnectionError"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("faulty", "name", "given", "seen"), CASES, ids=[f"{case[0].__name__}-{case[1]}" for case in CASES]
)
def test_a_fault_is_found_and_explained(faulty, name, given, seen, run, monkeypatch):
    if faulty is not Hashing:
        monkeypatch.setattr("bridge.testing.mapping.HASH_SEEDS", (4_242,))  # one process is quicker than two
    attributes = {}
    if name == "an_endless_answer_is_not_read_to_its_end":
        attributes = {"impatient": {}, "patience": 30.0}
    with pytest.raises(Failed) as failure:
        run(contract(faulty, **attributes), name, **given)
    message = str(failure.value)
    assert seen in " ".join(message.split()) or seen in message
    assert message.startswith("The contract: ")
    assert "\nWrite: " in message


@pytest.mark.parametrize("name", ["HANG", "DRIP"])
def test_a_send_without_a_deadline_is_found(name, run):
    from bridge.testing import Fault

    with pytest.raises(Failed, match=r"send was not over after 0.2 s"):
        run(contract(Endless, patience=0.2), "a_broken_exchange_is_tried_again", fault=Fault[name])


@pytest.mark.parametrize("name", ["HALF", "RESET", "CLOSE"])
def test_a_broken_exchange_that_counts_as_delivery_is_found(name, run):
    from bridge.testing import Fault

    with pytest.raises(Failed, match=r"send raised builtins\.ConnectionError"):
        run(contract(Foreign), "a_broken_exchange_is_tried_again", fault=Fault[name])


def test_a_plugin_that_offers_something_else_is_found(run):
    @hookimpl
    def nothing():
        return []

    empty = types.SimpleNamespace(__name__="plugin", bridge_sinks=nothing)
    with pytest.raises(Failed, match=r"offer nothing, not \w*Good"):
        run(contract(Good, plugin=empty), "the_plugin_offers_the_class")


def test_a_plugin_without_hooks_is_told_which_one_is_missing(run):
    homeless = type("Homeless", (Good,), {"__module__": "json.decoder"})
    with pytest.raises(Failed, match=r"has a function with @hookimpl"):
        run(contract(homeless, plugin=None), "the_plugin_offers_the_class")


def test_a_configuration_that_operators_cannot_write_is_told(run):
    with pytest.raises(Failed, match="is required: address"):
        run(contract(Good, config={"token": "token-0123456789"}), "the_configuration_is_accepted")


def test_an_id_that_changes_is_found(run):
    fickle = contract(Good, identity_of=lambda self, payload: id(payload))
    with pytest.raises(Failed, match="with its keys in another order"):
        run(fickle, "an_event_keeps_its_identity")


class TestGood(HttpSinkContract):
    """The sink without a fault passes every check."""

    sink_type = Good
    config = {"url": "{url}/in", "token": "token-0123456789"}
    impatient = {"deadline": 0.1}

    def identity_of(self, payload):
        return json.loads(payload)["id"]


def test_every_check_is_proven_to_find_a_fault():
    checks = {name for name in dir(HttpSinkContract) if name.startswith("test_")}
    proven = {f"test_{name}" for _, name, _, _ in CASES}
    elsewhere = {
        "test_a_broken_exchange_is_tried_again",
        "test_the_plugin_offers_the_class",
        "test_the_configuration_is_accepted",
        # variations on checks that are proven above
        "test_a_batch_may_come_again_after_a_restart",
        "test_batches_follow_each_other",
        "test_sends_may_run_side_by_side",
        "test_a_send_that_is_cut_short_leaves_no_thread",
        "test_packing_keeps_every_event",
    }
    assert checks == proven | elsewhere
    assert len(checks) >= 25
