"""The sink: the only module of this plugin that talks to a server."""

from __future__ import annotations

from contextlib import contextmanager
from queue import Empty, LifoQueue
from typing import TYPE_CHECKING, Any, ClassVar, Self

from bridge import DELIVERED, DUPLICATE, BatchLimits, Sink
from bridge.errors import PluginError, SetupError
from bridge_postgresql.config import PostgresqlConfig
from bridge_postgresql.rows import COLUMNS, CREATE, IDENTITY, row
from bridge_postgresql.verdicts import verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bridge import Batch, Event, Outcome

__all__ = ["PostgresqlSink"]

ARRIVING = "bridge_arriving"
STAGE = f"CREATE TEMP TABLE IF NOT EXISTS {ARRIVING} (LIKE {{table}}) ON COMMIT DELETE ROWS"
COPY = f"COPY {ARRIVING} ({', '.join(COLUMNS)}) FROM STDIN"
# what a concurrent batch, or this very one, has twice is kept once
KEEP = f"""\
INSERT INTO {{table}} ({", ".join(COLUMNS)}) SELECT {", ".join(COLUMNS)} FROM {ARRIVING} ORDER BY id
ON CONFLICT (id) DO NOTHING RETURNING id"""  # noqa: S608 - the table is a name by the rules of its key
LOOK = "SELECT current_setting('server_version'), has_table_privilege(to_regclass(%s), 'INSERT')"


class PostgresqlSink(Sink[PostgresqlConfig, bytes]):
    """Copies a batch into a temporary table, then inserts what the table does not have yet."""

    name: ClassVar[str] = "postgresql"
    config_type = PostgresqlConfig
    limits = BatchLimits(max_events=2_000, max_bytes=8 * 1024 * 1024, max_age=1.0)
    max_in_flight = 4

    def __init__(self, config: PostgresqlConfig) -> None:
        super().__init__(config)
        self._driver: Any = None
        self._idle: LifoQueue[Any] = LifoQueue()

    def __enter__(self) -> Self:
        try:
            import psycopg  # noqa: PLC0415 - only a sink that is opened needs it
        except ImportError:
            raise PluginError("the sink type postgresql needs pip install 'psycopg[binary]'") from None
        self._driver = psycopg
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._driver = None
        while connection := self._unused():
            connection.close()

    def map(self, event: Event) -> bytes:
        """One line of COPY."""
        return row(event)

    def send(self, batch: Batch[bytes]) -> Sequence[Outcome]:
        """Insert a batch in one transaction; what the table has already is a duplicate."""
        with self._connection() as connection, connection.transaction(), connection.cursor() as cursor:
            cursor.execute(STAGE.format(table=self.config.table))
            with cursor.copy(COPY) as copy:
                copy.write(b"".join(batch.payloads))
            cursor.execute(KEEP.format(table=self.config.table))
            new = {found.hex for (found,) in cursor.fetchall()}
        return [_outcome(payload, new) for payload in batch.payloads]

    def check(self) -> str:
        """Say which server answers, and whether there is a table that takes rows from us."""
        with self._connection() as connection:
            version, permitted = connection.execute(LOOK, [self.config.table]).fetchone()
        if permitted is None:
            raise SetupError(f"there is no table {self.config.table}; bridge check --setup creates it")
        if not permitted:
            raise SetupError(f"the user may not insert into {self.config.table}; GRANT INSERT, SELECT")
        return f"PostgreSQL {version}, table {self.config.table}"

    def setup(self) -> str:
        """Create the table where it is missing; only ever called on request."""
        with self._connection() as connection:
            connection.execute(CREATE.format(table=self.config.table))
        return f"table {self.config.table} is there"

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        """A connection for one batch; it is used again if all went well, and closed otherwise."""
        driver = self._driver
        if driver is None:
            raise SetupError("the sink is not open")
        connection = None
        try:
            connection = self._unused() or self._connect(driver)
            yield connection
        except driver.Error as error:
            raise verdict(error.sqlstate, str(error)) from None
        else:
            self._idle.put(connection)
            connection = None
        finally:
            if connection is not None:
                connection.close()
            if self._driver is None:
                self.__exit__()

    def _connect(self, driver: Any) -> Any:
        milliseconds = int(self.config.deadline * 1000)
        limits = ("statement_timeout", "idle_in_transaction_session_timeout")
        return driver.connect(
            self.config.dsn.reveal(),
            autocommit=True,
            connect_timeout=self.config.connect_timeout,
            application_name="sunbird-bridge",
            tcp_user_timeout=milliseconds,
            options=" ".join(f"-c {limit}={milliseconds}" for limit in limits),
        )

    def _unused(self) -> Any:
        try:
            return self._idle.get_nowait()
        except Empty:
            return None


def _outcome(payload: bytes, new: set[str]) -> Outcome:
    """The first of several equal payloads is the one that was inserted."""
    identity = payload[IDENTITY].decode()
    if identity in new:
        new.discard(identity)
        return DELIVERED
    return DUPLICATE
