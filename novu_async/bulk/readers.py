"""Readers: a file, a query or any iterable as a source of rows, read as a stream.

What is wrong with the whole source (missing, empty, no header, not UTF-8) is an InvalidRequestError
before any row is given; what is wrong with one line is one `Invalid` and nothing else is lost.
"""

import inspect
import os
import re
from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import IO, Any, Literal

from novu_async._secrets import name_type
from novu_async._shielding import is_callers_own
from novu_async.bulk import _duckdb
from novu_async.bulk.delimited import read_delimited, read_header
from novu_async.bulk.files import Stream, open_stream, readable
from novu_async.bulk.jsonlines import read_json_lines
from novu_async.bulk.lines import Lines
from novu_async.bulk.records import (
    FIELDS,
    Columns,
    DeviceToken,
    Invalid,
    Operation,
    Row,
    WebhookUrl,
    convert,
    make_row,
    values_of,
)
from novu_async.errors import InvalidRequestError

Format = Literal["csv", "jsonl"]
Item = tuple[int, Mapping[str, Any]] | Invalid
Origin = str | os.PathLike[str] | IO[Any]

_FETCHED_ROWS = 1000
_MAX_NAME, _MAX_PATH = 255, 4096  # of Linux
_CONTENT = re.compile(r"""\s*[{\[]\s*["{] | .* [\n\r\0]""", re.VERBOSE | re.DOTALL)
_COLUMN_NAME = re.compile(r"[A-Za-z_][A-Za-z_ .-]{0,30}")


class Source:
    """Where the rows of a job come from; made by the `read_...` functions, read once.

    - `name`: for messages.
    - `format`, `delimiter`, `header`: the shape of a failures file that fits this source.
      A file's are known once its reading has begun.
    """

    def __init__(self, name: str, columns: Columns, *, only_retryable: bool = False) -> None:
        self.name = name
        self.columns = columns
        self.format: Format = "jsonl"
        self.delimiter = ","
        self.header: tuple[str, ...] = ()
        self._only_retryable = only_retryable

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def check_header(self, header: Iterable[str], operation: Operation) -> None:
        """Keep the names of the columns; raise InvalidRequestError where one is missing."""
        self.header = tuple(header)
        missing = _missing_columns(self.columns, self.header, operation)
        twice = {n for n in self.header if self.columns.has(n) and self.header.count(n) > 1}
        if missing:
            raise InvalidRequestError(self._explain_missing(missing), "records")
        if twice:
            raise InvalidRequestError(f"{self.name} has {min(twice)!r} in two columns", "records")

    def _explain_missing(self, missing: list[str]) -> str:
        # without a header the first line is a row, whose token belongs in no message
        looks_like_names = all(map(_COLUMN_NAME.fullmatch, self.header))
        shown = f" (there are {', '.join(self.header)})" if looks_like_names else ""
        return (
            f"{self.name} has no column {missing[0]!r}{shown}: its first line must name the "
            "columns subscriber_id, provider_id and token, unless they are mapped or constant"
        )

    def wants(self, values: Mapping[str, Any]) -> bool:
        """Tell whether a row is read: `only_retryable` passes over what cannot succeed."""
        return not (self._only_retryable and str(values.get("retryable", "")).lower() == "false")


def _missing_columns(columns: Columns, header: tuple[str, ...], operation: Operation) -> list[str]:
    def lacks(name: str) -> bool:
        column = columns.column_of(name)
        return column is not None and column not in header

    missing = [name for name in ("subscriber_id", "provider_id") if lacks(name)]
    if operation != "delete" and lacks("token") and lacks("webhook_url"):
        missing.append("token")
    missing = [columns.column_of(name) or name for name in missing]
    return missing + [name for name in columns.names.values() if name not in (*header, *missing)]


class FileSource(Source):
    """A file, a path or a query: read in a thread, so that the event loop is never blocked."""

    def __init__(
        self,
        origin: Origin,
        columns: Columns,
        *,
        file_format: Format | None = None,
        delimiter: str | None = None,
        only_retryable: bool = False,
        name: str | None = None,
    ) -> None:
        name = _name_of(origin) if name is None else name
        if inspect.iscoroutinefunction(getattr(origin, "read", None)):
            raise InvalidRequestError(
                f"{name} must be awaited to be read: give its path, the plain file below it (as "
                "UploadFile.file), or what was read in an io.BytesIO",
                "records",
            )
        super().__init__(name, columns, only_retryable=only_retryable)
        self._origin = origin
        self._format = file_format
        self._delimiter = delimiter

    @property
    def is_live(self) -> bool:
        """Whether the next row may have to be waited for, as of a pipe with or without a path."""
        if self._origin == "-" or not isinstance(self._origin, str | os.PathLike):
            return True
        return os.path.exists(self._origin) and not os.path.isfile(self._origin)

    @property
    def path(self) -> Path | None:
        """The file that is read, where it has a name."""
        origin: Any = self._origin
        if not isinstance(origin, str | os.PathLike):
            origin = getattr(origin, "name", None)
        is_path = isinstance(origin, str | os.PathLike) and origin != "-"
        return Path(origin) if is_path else None

    def rows(self, operation: Operation) -> Generator[Row | Invalid, None, None]:
        """Read the rows, one at a time."""
        with readable(self.name), open_stream(self._origin, self.name) as stream:
            if stream.kind == "parquet":
                sql = _duckdb.select_all(self._origin, self.name)
                yield from self._query(sql, operation, file=self.name)
                return
            self.format = self._format or stream.kind
            yield from self._convert(self._items(stream, operation), operation)

    def _items(self, stream: Stream, operation: Operation) -> Iterator[Item]:
        lines = Lines(stream.read)
        if self.format == "jsonl":
            return read_json_lines(lines)
        header = read_header(lines, self.name, self._delimiter)
        self.delimiter = header.delimiter
        self.check_header(header.names, operation)
        return read_delimited(lines, header, self.columns.has)

    def _convert(self, items: Iterable[Item], operation: Operation) -> Iterator[Row | Invalid]:
        for item in items:
            if isinstance(item, Invalid):
                yield item
            elif self.wants(item[1]):
                yield make_row(*item, self.columns, operation)

    def _query(self, sql: str, operation: Operation, file: str = "") -> Iterator[Row | Invalid]:
        self.format = "csv"
        names, rows = _duckdb.select(sql, file)
        self.check_header(names, operation)
        items = ((number, dict(zip(names, row, strict=True))) for number, row in enumerate(rows, 1))
        yield from self._convert(items, operation)


class QuerySource(FileSource):
    """Any SQL that DuckDB can run over files."""

    @property
    def path(self) -> None:
        """None: which files a query reads is not known."""

    def rows(self, operation: Operation) -> Generator[Row | Invalid, None, None]:
        """Run the query and read its rows, one at a time."""
        with readable("the query"):
            yield from self._query(str(self._origin), operation)


class IterableSource(Source):
    """An iterable or async iterable of records, or the rows of a database cursor."""

    def __init__(self, items: Iterable[Any] | AsyncIterable[Any], columns: Columns) -> None:
        super().__init__("records", columns)
        self.items = items
        self.header = tuple(
            column for name in FIELDS[:4] if (column := columns.column_of(name)) is not None
        )
        self._cursor = items
        self._names = _cursor_columns(items)

    def prepare(self, operation: Operation) -> None:
        """Check the columns of a cursor, as soon as it knows them."""
        if self._names:
            self.check_header(self._names, operation)

    def keep(self, item: Any) -> Any:
        """Return what an item says now, where it may be refilled before it is converted."""
        if isinstance(item, tuple | DeviceToken | WebhookUrl):
            return item
        item = self._named(item)
        values = values_of(item, self.columns)
        return item if values is None else dict(values)

    def _named(self, item: Any) -> Any:
        if self._names is None:  # those of psycopg2 on the server know their columns only now
            self._names = _cursor_columns(self._cursor) or ()
        if self._names and _has_no_names(item):
            return dict(zip(self._names, item, strict=False))
        return item

    @property
    def is_async(self) -> bool:
        """Whether the next item may have to be waited for."""
        return isinstance(self.items, AsyncIterable)

    async def batches(
        self, operation: Operation, size: int
    ) -> AsyncGenerator[list[Row | Invalid], None]:
        """Yield the rows in lists; also those before an error of the iterable.

        Each item is converted before the next is asked for: some iterables refill one object.
        """
        batch: list[Row | Invalid] = []
        line = 0
        try:
            async with aclosing(_each(self.items)) as items:
                async for item in items:
                    line += 1
                    named = self._named(item)
                    if line == 1:
                        self.prepare(operation)
                    batch.append(convert(line, named, self.columns, operation))
                    if len(batch) >= size:
                        full, batch = batch, []
                        yield full
        except BaseException:
            if batch and not is_callers_own():  # it is empty where this generator is closed
                yield batch
            raise
        yield batch


async def _each(items: Any) -> AsyncGenerator[Any, None]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
        return
    for item in items if isinstance(items, Iterable) else fetch_all(items):
        yield item


def _cursor_columns(items: object) -> tuple[str, ...] | None:
    """Return the names of a cursor's columns; None where it does not know them yet."""
    description = getattr(items, "description", ())
    if description is None:
        return None
    is_cursor = isinstance(description, Iterable) and not isinstance(description, str)
    return tuple(str(column[0]) for column in description) if is_cursor else ()


def _has_no_names(item: object) -> bool:
    """Tell whether a row of a cursor is a plain sequence, as drivers make them of many types."""
    if isinstance(item, tuple):
        return True
    is_named = hasattr(item, "keys") or hasattr(item, "_mapping")
    return isinstance(item, Iterable) and not isinstance(item, str | bytes) and not is_named


def fetch_all(cursor: Any, at_once: int = _FETCHED_ROWS) -> Iterator[Any]:
    """Yield the rows of a DB-API cursor, which ends with any sequence that is empty."""
    while rows := cursor.fetchmany(at_once):
        yield from rows


def _name_of(origin: Origin) -> str:
    if isinstance(origin, str | os.PathLike):
        path = os.fsdecode(origin)
        if _looks_like_content(path):  # which holds tokens: no message may quote it
            raise InvalidRequestError(
                "records must be a path or an open file, not the text of one: wrap that in "
                "io.StringIO",
                "records",
            )
        return "standard input" if path == "-" else path
    name = getattr(origin, "name", None)
    return name if isinstance(name, str) else "the file"


def _looks_like_content(path: str) -> bool:
    """Tell CSV and JSON from a path: by what no path has, unless there is such a file."""
    is_long = max(map(len, path.split(os.sep))) > _MAX_NAME or len(path) > _MAX_PATH
    return (is_long or _CONTENT.match(path) is not None) and not os.path.exists(path)


def as_source(records: Any) -> Source:
    """Return a source for whatever a user gives as records."""
    if isinstance(records, Source):
        return records
    if isinstance(records, str | os.PathLike) or hasattr(records, "read"):
        return FileSource(records, Columns())
    return read_rows(records)


def read_file(
    path: Origin,
    *,
    columns: Mapping[str, str] | None = None,
    constants: Mapping[str, Any] | None = None,
    delimiter: str | None = None,
    only_retryable: bool = False,
) -> FileSource:
    """Read CSV, JSON Lines, gzip of both, or Parquet: the content decides, not the name.

    - `path`: a path, `"-"` for standard input, or an open file.
    - `columns`: our field to the name of its column, such as
      `{"subscriber_id": "external_user_id"}`.
    - `constants`: fields that have one value in all rows, such as `{"provider_id": "fcm"}`.
    - `delimiter`: of CSV; without it the header decides between comma, semicolon, tab and bar.
    - `only_retryable`: of a failures file, pass over the rows that cannot succeed as they are.

    Raises InvalidRequestError, when the reading begins, for a source that is no use as a whole.
    """
    return FileSource(
        path, _columns(columns, constants), delimiter=delimiter, only_retryable=only_retryable
    )


def read_csv(
    path: Origin,
    *,
    columns: Mapping[str, str] | None = None,
    constants: Mapping[str, Any] | None = None,
    delimiter: str | None = None,
    only_retryable: bool = False,
) -> FileSource:
    """Read CSV with a header, or gzip of it; the arguments are those of `read_file`.

    A row that says what the header says is left out and counted nowhere: it comes of files that
    were put together.
    """
    return FileSource(
        path,
        _columns(columns, constants),
        file_format="csv",
        delimiter=delimiter,
        only_retryable=only_retryable,
    )


def read_jsonl(
    path: Origin,
    *,
    columns: Mapping[str, str] | None = None,
    constants: Mapping[str, Any] | None = None,
    only_retryable: bool = False,
) -> FileSource:
    """Read one JSON object per line, or gzip of it; the arguments are those of `read_file`."""
    return FileSource(
        path, _columns(columns, constants), file_format="jsonl", only_retryable=only_retryable
    )


def read_select(
    sql: str,
    *,
    columns: Mapping[str, str] | None = None,
    constants: Mapping[str, Any] | None = None,
    only_retryable: bool = False,
) -> FileSource:
    """Read the rows of a DuckDB query over files (extra `parquet`).

    The query names the columns: `select user_id as subscriber_id, 'fcm' as provider_id, token
    from 'export.parquet'`.

    The other arguments are those of `read_file`. Raises ConfigurationError where DuckDB is not
    installed.
    """
    source_columns = _columns(columns, constants)
    return QuerySource(sql, source_columns, only_retryable=only_retryable, name=str(sql))


def read_rows(
    items: Iterable[Any] | AsyncIterable[Any],
    *,
    columns: Mapping[str, str] | None = None,
    constants: Mapping[str, Any] | None = None,
) -> IterableSource:
    """Read an iterable, an async iterable, or the rows of a DB-API cursor or SQLAlchemy result.

    It gives DeviceToken, WebhookUrl, dicts of their fields, or tuples of subscriber_id, provider_id
    and token, which may have the integration_identifier as the fourth.

    It is iterated in the event loop's thread: what takes long to give its next row should be an
    async iterable.
    """
    _check_are_rows(items)
    return IterableSource(items, _columns(columns, constants))


def _check_are_rows(items: object) -> None:
    """Refuse what can be iterated, if at all, but gives no rows."""
    hint = ""
    if isinstance(items, str | bytes | bytearray | memoryview):
        hint = ": wrap the content of a file in io.StringIO or io.BytesIO"
    elif isinstance(items, Mapping):
        hint = ": put one row into a list"
    elif hasattr(items, "fetchmany"):
        return
    elif hasattr(items, "__arrow_c_stream__") and hasattr(items, "columns"):
        hint = ": give its rows, as to_dict('records'), to_dicts() or to_pylist() does"
    elif isinstance(items, Iterable | AsyncIterable):
        return
    raise InvalidRequestError(
        "records must be a path, a file, an iterable or an async iterable of rows, "
        f"not {name_type(items)}{hint}",
        "records",
    )


def _columns(columns: Mapping[str, str] | None, constants: Mapping[str, Any] | None) -> Columns:
    return Columns(columns or {}, constants or {})
