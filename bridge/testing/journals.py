"""The journal contract: ordered, replayable, and every pipeline at its own cursor."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from bridge.errors import BridgeError, PluginError
from bridge.journals.base import JournalContext, JournalFullError, Lag
from bridge.registry import check_journal
from bridge.state import State
from bridge.testing.events import encode, make_event
from bridge.testing.fitting import filled, offered
from bridge.testing.lessons import Breach, check, require

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import ModuleType

    from bridge.journals.base import Journal, Page, Reader

__all__ = ["JournalContract"]

PIPELINES = ("rejects", "one", "two")
CURSORS = """\
from bridge.journals.cursors import Cursors
cursors = Cursors(self.context.state, pipeline)   # load(), commit({stream: position}), flush()
The cursor is the position after the last settled record: page.after(index), in the end page.end."""
POSITIONS = """\
return Page(stream, start, end, payloads, size, afters)
afters[i] is the position after record i; leave it out only if positions are byte offsets of lines"""


class JournalContract:
    """What every journal keeps. Subclass it as `Test…`, set `journal_type` and `config`.

    In `config`, `{folder}` is an empty folder of the test's own. Override `fill` where records do
    not get into the journal by `append`.
    """

    journal_type: ClassVar[type[Journal]]
    config: ClassVar[Mapping[str, Any]] = {}
    plugin: ClassVar[ModuleType | None] = None

    def fill(self, journal: Journal, folder: Path, records: Sequence[bytes]) -> None:  # noqa: ARG002 - for overriding
        """Put records into the journal, behind what is there."""
        journal.append(records, "contract")

    def records(self, first: int, count: int) -> list[bytes]:
        """Different events as JSON."""
        return [encode(make_event(mid=f"record-{n}")) for n in range(first, first + count)]

    @contextmanager
    def opened(self, folder: Path) -> Iterator[Journal]:
        """The journal as a new process finds it, with 5 records that were there before the first time."""
        values = filled(dict(self.config), {"{folder}": str(folder)})
        fresh = not (folder / "state").exists()
        with State(folder / "state" / "bridge.db") as state:
            config = self.journal_type.config_type.model_validate(values)
            if fresh:
                self.prepare(folder)
            with self.journal_type(config, JournalContext(state, "contract", PIPELINES)) as journal:
                if fresh:
                    self.fill(journal, folder, self.records(0, 5))
                yield journal

    def prepare(self, folder: Path) -> None:
        """Make what has to be there before the journal can be opened; nothing by default."""

    @check
    def test_the_host_accepts_the_class(self) -> None:
        """A journal has a name of a-z, 0-9, - and _, a config_type, a reader, and speaks this API version."""
        try:
            check_journal(self.journal_type, "this plugin")
        except PluginError as error:
            raise Breach(str(error), "the class attributes as docs/plugins/reference.md lists them") from None

    @check
    def test_the_plugin_offers_the_class(self) -> None:
        """The plugin's module has a function bridge_journals with @hookimpl that returns the class."""
        offered(self.journal_type, self.plugin, "bridge_journals")

    @check
    def test_every_key_has_a_description(self) -> None:
        """Each key has a description: `bridge schema` and editors show it."""
        fields = self.journal_type.config_type.model_fields
        bare = [name for name, field in fields.items() if not field.description]
        require(not bare, f"no description: {', '.join(bare)}", 'Field(description="…")')

    @check
    def test_records_come_back_in_order(self, tmp_path: Path) -> None:
        """A reader gives every record once, oldest first, with the bytes that were put in."""
        with self.opened(tmp_path) as journal, _reading(journal) as reader:
            found = [payload for page in _pages(reader) for payload in page.payloads]
            at_end = reader.at_end()
        require(found == self.records(0, 5), f"{len(found)} records, or in another order", POSITIONS)
        require(at_end, "at_end() is False after everything was read", "True once nothing more is there now")

    @check
    def test_positions_only_grow(self, tmp_path: Path) -> None:
        """Within a stream each record lies behind the one before it, and a page ends after its last."""
        with self.opened(tmp_path) as journal, _reading(journal) as reader:
            for page in _pages(reader):
                afters = [page.after(index) for index in range(len(page.payloads))]
                require(
                    afters == sorted(set(afters)) and page.start < afters[0] and afters[-1] <= page.end,
                    f"records end at {afters} in a page from {page.start} to {page.end}",
                    POSITIONS,
                )

    @check
    def test_a_reader_goes_on_at_its_cursor(self, tmp_path: Path) -> None:
        """After a restart a pipeline reads on behind the last record it committed."""
        with self.opened(tmp_path) as journal, _reading(journal) as reader:
            page = _first(reader)
            reader.commit({page.stream: page.after(1)})
        with self.opened(tmp_path) as journal, _reading(journal) as reader:
            found = [payload for page in _pages(reader) for payload in page.payloads]
        require(found == self.records(2, 3), f"{len(found)} records after 2 of 5 were committed", CURSORS)

    @check
    def test_what_was_not_committed_is_read_again(self, tmp_path: Path) -> None:
        """Reading settles nothing: without a commit the next process gets everything again."""
        for _ in range(2):
            with self.opened(tmp_path) as journal, _reading(journal) as reader:
                found = [payload for page in _pages(reader) for payload in page.payloads]
        require(found == self.records(0, 5), f"{len(found)} of 5 records came again", CURSORS)

    @check
    def test_pipelines_have_cursors_of_their_own(self, tmp_path: Path) -> None:
        """One pipeline's commit moves no other pipeline."""
        with self.opened(tmp_path) as journal:
            with _reading(journal, "one") as reader:
                for page in _pages(reader):
                    reader.commit({page.stream: page.end})
            with _reading(journal, "two") as reader:
                found = [payload for page in _pages(reader) for payload in page.payloads]
        require(found == self.records(0, 5), f"another pipeline got {len(found)} of 5 records", CURSORS)

    @check
    def test_a_reader_can_be_rewound(self, tmp_path: Path) -> None:
        """The host reads a range again where another owner has planned it: rewind goes back at once."""
        with self.opened(tmp_path) as journal, _reading(journal) as reader:
            page = _first(reader)
            reader.rewind({page.stream: page.after(0)})
            again = _first(reader)
        require(
            again.payloads[0] == self.records(1, 1)[0] and again.before(0) == page.after(0),
            "rewound to the second record, the reader gave another one",
            "self._position = cursors[stream]",
        )

    @check
    def test_a_late_pipeline_may_start_at_the_end(self, tmp_path: Path) -> None:
        """A pipeline that starts at `latest` gets only what comes after it was opened."""
        with self.opened(tmp_path) as journal, _reading(journal, "two", "latest") as reader:
            found = list(_pages(reader))
        require(
            not found,
            f"{len(found)} pages of old records",
            'if start == "latest": …the end… for a new cursor',
        )

    @check
    def test_lag_tells_how_far_behind_a_reader_is(self, tmp_path: Path) -> None:
        """Lag is what is not read yet: some at the beginning, less or nothing at the end."""
        with self.opened(tmp_path) as journal, _reading(journal) as reader:
            before: object = reader.lag()
            list(_pages(reader))
            after: object = reader.lag()
        require(
            isinstance(before, Lag) and isinstance(after, Lag) and _much(after) <= _much(before),
            f"{before} at the beginning, {after} at the end",
            "Lag(records=…), Lag(bytes=…) or, where nothing is known, Lag()",
        )

    @check
    def test_new_records_are_either_read_or_refused(self, tmp_path: Path) -> None:
        """Appending makes records durable and readable, or raises BridgeError where it cannot."""
        with self.opened(tmp_path) as journal:
            try:
                journal.append(self.records(9, 1), "contract")
            except (JournalFullError, BridgeError):
                return
            with _reading(journal) as reader:
                found = [payload for page in _pages(reader) for payload in page.payloads]
        require(
            self.records(9, 1)[0] in found, "an appended record was not read", "durable when append returns"
        )

    @check
    def test_trimming_takes_nothing_that_is_not_settled(self, tmp_path: Path) -> None:
        """Trimming drops only what every pipeline has settled."""
        with self.opened(tmp_path) as journal:
            with _reading(journal, "one") as reader:
                for page in _pages(reader):
                    reader.commit({page.stream: page.end})
            journal.trim()
            with _reading(journal, "two") as reader:
                found = [payload for page in _pages(reader) for payload in page.payloads]
        require(found == self.records(0, 5), f"{len(found)} of 5 records were left", "nothing, or less")

    @check
    def test_check_says_in_one_line_what_it_found(self, tmp_path: Path) -> None:
        """`bridge check` prints one line for a journal that can be read."""
        with self.opened(tmp_path) as journal:
            found = journal.check()
        require(found and "\n" not in found, f"check returned {found!r}", "one line")


@contextmanager
def _reading(journal: Journal, pipeline: str = "one", start: Any = "earliest") -> Iterator[Reader]:
    reader = journal.reader(pipeline, start, lambda: None)
    try:
        yield reader
    finally:
        reader.close()


def _pages(reader: Reader) -> Iterator[Page]:
    while (page := reader.read(0.0)) is not None:
        yield page


def _first(reader: Reader) -> Page:
    page = next((page for page in _pages(reader) if page.payloads), None)
    if page is None:
        raise Breach("the reader gave no page of the 5 records", POSITIONS)
    return page


def _much(lag: Lag) -> float:
    return float(lag.records or lag.bytes or lag.seconds or 0)
