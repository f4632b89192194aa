"""Clients of librdkafka: their settings, their log, and what their errors mean to an operator."""

from __future__ import annotations

import base64
import json
import logging
import re
import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, libversion
from confluent_kafka.admin import AdminClient

from bridge.errors import BridgeError, PluginError
from bridge.journals import kafka_codes as codes
from bridge.secrets import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.journals.kafka_config import KafkaJournalConfig, KafkaSecurity

__all__ = ["Clients", "Troubles", "cause", "named", "sentence"]

log = logging.getLogger(__name__)

OLDEST = 0x020F0000  # librdkafka 2.15: fixes of commits during rebalances and of KIP-848 rejoining
REPEAT_AFTER = 60.0
TOKEN_SECONDS = 300.0
CONSUMER_ONLY = re.compile(
    r"(fetch|queued|session|heartbeat|max\.poll|max\.partition|coordinator\.query|check\.crcs|isolation"
    r"|group|allow\.auto|consume)\b.*"
)
MEMBER_ONLY = r"(session|heartbeat|max\.poll|coordinator\.query|group)\b.*"
PRODUCER_ONLY = re.compile(
    r"(queue\.buffering|linger|batch|compression|message\.send|retries|delivery|message\.timeout"
    r"|request\.timeout|sticky|partitioner|produce)\b.*"
)
CONSUMER = {
    "enable.auto.commit": "false",
    "enable.auto.offset.store": "false",
    "auto.offset.reset": "error",
    "enable.partition.eof": "true",
}
# Five groups in one process: 15 MiB for each of them instead of 43, and no slower (measured).
CONSUMER_SIZES = {
    "queued.max.messages.kbytes": "1024",
    "queued.min.messages": "1000",
    "fetch.queue.backoff.ms": "10",
    "fetch.max.bytes": "1048576",
    "fetch.message.max.bytes": "65536",
}
# One for the whole process, and what it fetches is shared. Fetches of 4 MiB were no faster, and with 48
# partitions took 45 MiB more: they are of compressed bytes.
FEED_SIZES = {
    **CONSUMER_SIZES,
    "queued.max.messages.kbytes": "4096",
    "queued.min.messages": "4000",
    "fetch.message.max.bytes": "131072",
}
PRODUCER = {"acks": "all", "enable.idempotence": "true"}
PRODUCER_SIZES = {
    "compression.type": "zstd",
    "linger.ms": "5",
    "message.timeout.ms": "30000",
    "message.max.bytes": "8388608",
    "queue.buffering.max.kbytes": "65536",
}
PROTOCOLS = {
    "classic": {"partition.assignment.strategy": "cooperative-sticky"},
    "consumer": {"group.protocol": "consumer"},
}
# Sorts the members of a group by their names, so that each process has the same partitions in all its groups.
ALIGNED = {"consumer": {"group.remote.assignor": "range"}, "classic": {}}
CONNECTIONS = {codes.ALL_BROKERS_DOWN, codes.TRANSPORT, codes.RESOLVE}
MEANINGS = {
    codes.ALL_BROKERS_DOWN: "no broker can be reached",
    codes.TRANSPORT: "a broker cannot be reached",
    codes.RESOLVE: "a broker's name cannot be resolved",
    codes.AUTHENTICATION: "the brokers refuse the credentials in journal.security",
    codes.SSL: "TLS with a broker failed",
    codes.MAX_POLL_EXCEEDED: "the pipeline was away for too long and joins the group anew",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "a topic may not be read with these credentials",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "the consumer group may not be used with these credentials",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "a topic does not exist",
    KafkaError.FENCED_INSTANCE_ID: "another process has the same static_id",
    KafkaError.UNRELEASED_INSTANCE_ID: "the last process with this static_id is still in the group",
}


def cause(error: KafkaException) -> KafkaError:
    """The error inside an exception of the client."""
    inner = error.args[0] if error.args else None
    return inner if isinstance(inner, KafkaError) else KafkaError(codes.FAIL, str(error))


def named(error: KafkaError) -> KafkaError:
    """A fatal error by its own code, which the client gives in words only."""
    for code in (KafkaError.FENCED_INSTANCE_ID, KafkaError.UNRELEASED_INSTANCE_ID):
        if error.code() == codes.FATAL and KafkaError(code).str() in error.str():
            return KafkaError(code)
    return error


def sentence(error: KafkaError) -> str:
    """What an error means, and what the client says about it, short and without secrets."""
    detail = redact(error.str() or error.name())[:200]
    meaning = MEANINGS.get(error.code())
    return f"{meaning} ({detail})" if meaning else detail


class Troubles:
    """What is wrong between one client and the cluster: said once, then once a minute, while it lasts."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._told: dict[int, float] = {}
        self._current = ""
        self._passing = False
        self._last = 0.0

    @property
    def current(self) -> str:
        """What is wrong now; a broken connection that is not heard of any more is there again."""
        return "" if self._passing and self._clock() - self._last > REPEAT_AFTER / 2 else self._current

    def tell(self, error: KafkaError) -> None:
        """Something failed that the client goes on trying."""
        now = self._last = self._clock()
        # Single connections come and go; the client says when none is left.
        if error.code() != codes.TRANSPORT or not self._current:
            self._current, self._passing = sentence(error), error.code() in CONNECTIONS
        if now - self._told.get(error.code(), -REPEAT_AFTER) >= REPEAT_AFTER:
            self._told[error.code()] = now
            log.warning("%s: %s", self._name, sentence(error))

    def over(self) -> None:
        """Something went through."""
        if self._current:
            self._current = ""
            self._told.clear()
            log.info("%s: Kafka answers again", self._name)


class ClientLog:
    """librdkafka's own log, thinned out: it repeats a broken connection many times a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}

    def log(self, level: int, message: str, *args: Any) -> None:
        """Called by the client on its user's thread, with the kind of message first in `args`."""
        kind, now = str(args[0]) if args else "", self._clock()
        repeated = now - self._last.get(kind, -REPEAT_AFTER) < REPEAT_AFTER
        if not repeated:
            self._last[kind] = now
        text = redact(message % args if args else message)
        log.log(logging.DEBUG if repeated else min(level, logging.WARNING), "librdkafka: %s", text)


class Clients:
    """Makes the clients of one bridge; every error in their settings is a `BridgeError`."""

    def __init__(self, config: KafkaJournalConfig, instance: str) -> None:
        if libversion()[1] < OLDEST:
            raise PluginError(
                f"librdkafka 2.15 or newer is needed, this is {libversion()[0]} (upgrade confluent-kafka)"
            )
        self._config = config
        self._instance = instance

    def group(self, pipeline: str) -> str:
        """The consumer group of a pipeline."""
        return f"{self._instance}.{pipeline}"

    @property
    def patience(self) -> float:
        """Seconds of silence after which a group gives a member up."""
        options = self._config.options
        limits = [options.get("max.poll.interval.ms", 300_000), options.get("session.timeout.ms", 45_000)]
        return min(map(float, limits)) / 1000

    def consumer(self, pipeline: str, **callbacks: Callable[..., None]) -> Consumer:
        """A consumer in the pipeline's group, not subscribed yet."""
        protocol, name = self._config.group_protocol, self._config.static_id
        static = {"group.instance.id": name, **ALIGNED[protocol]} if name else {}
        settings = {
            **CONSUMER_SIZES,
            **self._common(pipeline, PRODUCER_ONLY),
            **CONSUMER,
            **PROTOCOLS[protocol],
            **static,
            "group.id": self.group(pipeline),
            **callbacks,
        }
        made: Consumer = self._made(Consumer, settings)
        return made

    def clerk(self, pipeline: str) -> Consumer:
        """A consumer that looks at the group's offsets, or sets them while it has no members.

        The administrative calls for this take the whole process down when a coordinator has just
        moved (librdkafka 2.16).
        """
        return self._outsider(self.group(pipeline))

    def probe(self) -> Consumer:
        """A consumer for looking at single records, that commits nothing."""
        return self._outsider(f"{self._instance}.probe")

    def feed(self) -> Consumer:
        """A consumer that fetches for every pipeline, and commits nothing. Its troubles are theirs too."""
        return self._outsider(f"{self._instance}.feed", FEED_SIZES, "feed", error_cb=lambda _: None)

    def _outsider(
        self, group: str, sizes: Mapping[str, str] = CONSUMER_SIZES, name: str = "probe", **more: Any
    ) -> Consumer:
        foreign = re.compile(f"{MEMBER_ONLY}|{PRODUCER_ONLY.pattern}")
        settings = {**sizes, **self._common(name, foreign), **CONSUMER, **more}
        made: Consumer = self._made(Consumer, {**settings, "group.id": group})
        return made

    def producer(self, **more: Any) -> Producer:
        """An idempotent producer that waits for every in-sync replica; `more` are callbacks and options."""
        settings = {**PRODUCER_SIZES, **self._common("writer", CONSUMER_ONLY), **PRODUCER, **more}
        made: Producer = self._made(Producer, settings)
        return made

    def admin(self) -> AdminClient:
        """A client for questions about topics and groups."""
        both = re.compile(f"{CONSUMER_ONLY.pattern}|{PRODUCER_ONLY.pattern}")
        made: AdminClient = self._made(AdminClient, self._common("admin", both))
        return made

    def _common(self, name: str, foreign: re.Pattern[str]) -> dict[str, Any]:
        options = {
            option: str(value).lower() if isinstance(value, bool) else str(value)
            for option, value in self._config.options.items()
            if not foreign.fullmatch(option)
        }
        return {
            "client.id": f"{self._instance}.{name}",
            **options,
            "bootstrap.servers": ",".join(self._config.brokers),
            **_security(self._config.security),
        }

    def _made(self, kind: Any, settings: dict[str, Any]) -> Any:
        try:
            return kind(settings, logger=ClientLog())
        except (KafkaException, ValueError, TypeError) as error:
            text = cause(error).str() if isinstance(error, KafkaException) else str(error)
            raise BridgeError(f"journal.options or journal.security: {redact(text)[:200]}") from None


def _security(security: KafkaSecurity) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "security.protocol": f"{'SASL_' if security.sasl else ''}{'SSL' if security.tls else 'PLAINTEXT'}",
    }
    files = {
        "ssl.ca.location": security.ca_file,
        "ssl.certificate.location": security.cert_file,
        "ssl.key.location": security.key_file,
    }
    settings |= {option: str(path) for option, path in files.items() if path is not None}
    if security.key_password is not None:
        settings["ssl.key.password"] = security.key_password.reveal()
    if security.sasl is not None:
        settings |= {"sasl.mechanisms": security.sasl, **_sasl(security)}
    return settings


def _sasl(security: KafkaSecurity) -> dict[str, Any]:
    if security.username is not None and security.password is not None:
        return {"sasl.username": security.username, "sasl.password": security.password.reveal()}
    token, secret = security.token, security.client_secret
    if token is not None:
        return {"oauth_cb": lambda _: (text := token.reveal(), _expiry(text))}
    oidc = {
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": security.token_url,
        "sasl.oauthbearer.client.id": security.client_id,
        "sasl.oauthbearer.client.secret": secret.reveal() if secret else None,
        "sasl.oauthbearer.scope": security.scope,
    }
    return {option: value for option, value in oidc.items() if value is not None}


def _expiry(token: str) -> float:
    """When a JWT says that it ends (Unix seconds); a token that says nothing is read again after a while."""
    try:
        claims = token.split(".")[1]
        return float(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"])
    except (IndexError, KeyError, TypeError, ValueError):
        return time.time() + TOKEN_SECONDS
