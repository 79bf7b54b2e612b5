"""Every kind of source, registered for real."""

import gzip
import io
import json
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

import novu_sync.bulk
from novu_async.bulk import (
    Bulk,
    DeviceToken,
    read_csv,
    read_file,
    read_jsonl,
    read_rows,
    read_select,
)
from novu_async.bulk.readers import as_source
from novu_async.errors import ConfigurationError, InvalidRequestError
from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio

WANTED = {("u1", "fcm"): ["a", "b"], ("u2", "apns"): ["c"], ("7", "fcm"): ["d"]}
ROWS = [("u1", "fcm", "a"), ("u2", "apns", "c"), ("u1", "fcm", "b"), (7, "fcm", "d")]
NAMES = ("subscriber_id", "provider_id", "token")
CSV = "\n".join([",".join(NAMES), *(",".join(map(str, row)) for row in ROWS)]).encode()
JSONL = "\n".join(json.dumps(dict(zip(NAMES, row, strict=True))) for row in ROWS).encode()

Write = Callable[..., Path]


async def check(bulk: Bulk, local: LocalNovu, records: Any) -> None:
    """Register records and compare what is stored."""
    assert (await bulk.register(records)).done == 4
    assert {key: local.device_tokens(*key) for key in WANTED} == WANTED


@pytest.mark.parametrize("read", [str, Path, read_file, read_csv])
@pytest.mark.parametrize("content", [CSV, gzip.compress(CSV)])
async def test_csv(bulk: Bulk, local: LocalNovu, write: Write, read: Any, content: bytes) -> None:
    """A path of CSV, packed or not."""
    await check(bulk, local, read(str(write(content))))


@pytest.mark.parametrize("read", [str, Path, read_file, read_jsonl])
@pytest.mark.parametrize("content", [JSONL, gzip.compress(JSONL)])
async def test_jsonl(bulk: Bulk, local: LocalNovu, write: Write, read: Any, content: bytes) -> None:
    """A path of JSON Lines, packed or not."""
    await check(bulk, local, read(str(write(content))))


async def test_open_files(bulk: Bulk, local: LocalNovu, write: Write) -> None:
    """A file that is open already."""
    with write(CSV).open("rb") as file:
        await check(bulk, local, file)
    local.reset()
    with write(CSV).open() as text:
        await check(bulk, local, text)


async def test_standard_input(
    bulk: Bulk, local: LocalNovu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`-` is standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(JSONL)))
    await check(bulk, local, "-")


@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        tuple(ROWS),
        [dict(zip(NAMES, row, strict=True)) for row in ROWS],
        [DeviceToken(str(a), b, c) for a, b, c in ROWS],
    ],
)
async def test_iterables(bulk: Bulk, local: LocalNovu, rows: Any) -> None:
    """Tuples, dicts and objects, in a list or as they come."""
    await check(bulk, local, rows)
    local.reset()
    await check(bulk, local, iter(rows))


async def test_async_iterables(bulk: Bulk, local: LocalNovu) -> None:
    """Anything with `async for`."""

    async def rows() -> Any:
        for row in ROWS:
            yield row

    await check(bulk, local, rows())


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """An SQLite database as another program might have it."""
    db = sqlite3.connect(tmp_path / "devices.db", check_same_thread=False)
    db.execute("CREATE TABLE devices (owner, platform, push_token, created)")
    db.executemany("INSERT INTO devices VALUES (?, ?, ?, 'today')", ROWS)
    db.commit()
    yield db
    db.close()


SQL = "SELECT owner AS subscriber_id, platform AS provider_id, push_token AS token FROM devices"


async def test_a_database_cursor(
    bulk: Bulk, local: LocalNovu, database: sqlite3.Connection
) -> None:
    """The rows of any DB-API cursor, by the names that the query gives."""
    await check(bulk, local, database.execute(SQL))


async def test_a_cursor_with_its_own_names(
    bulk: Bulk, local: LocalNovu, database: sqlite3.Connection
) -> None:
    """Columns are mapped as those of a file are."""
    columns = {"subscriber_id": "owner", "provider_id": "platform", "token": "push_token"}
    cursor = database.execute("SELECT created, push_token, owner, platform FROM devices")
    await check(bulk, local, read_rows(cursor, columns=columns))
    with pytest.raises(InvalidRequestError, match="'subscriber_id'"):
        await bulk.register(database.execute("SELECT * FROM devices"))


async def test_an_error_of_the_database_is_its_own(bulk: Bulk, tmp_path: Path) -> None:
    """What a cursor of SQLite raises is not taken for a damaged job file."""

    def rows() -> Iterator[Any]:
        yield ROWS[0]
        raise sqlite3.OperationalError("no such table: devices")

    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await bulk.register(rows(), job=tmp_path / "job")


async def test_rows_with_keys(bulk: Bulk, local: LocalNovu, database: sqlite3.Connection) -> None:
    """sqlite3.Row, and whatever else has keys."""
    database.row_factory = sqlite3.Row
    await check(bulk, local, database.execute(SQL).fetchall())
    local.reset()
    await check(bulk, local, database.execute(SQL))


async def test_a_cursor_that_cannot_be_iterated(
    bulk: Bulk, local: LocalNovu, database: sqlite3.Connection
) -> None:
    """The DB-API promises fetchmany only."""

    class Cursor:
        def __init__(self) -> None:
            inner = database.execute(SQL)
            self.description, self.fetchmany = inner.description, inner.fetchmany

    await check(bulk, local, Cursor())


def test_a_cursor_that_ends_with_an_empty_tuple_ends() -> None:
    """The DB-API promises a sequence; blocking code reads it to its end as well."""
    answers = [(), tuple(ROWS[3:]), tuple(ROWS[:3])]
    cursor = SimpleNamespace(description=None, fetchmany=lambda _: answers.pop())
    assert novu_sync.bulk.plan(cursor).rows == 4


async def test_sqlalchemy(bulk: Bulk, local: LocalNovu, database: sqlite3.Connection) -> None:
    """A result of SQLAlchemy, as rows or as mappings."""
    sqlalchemy = pytest.importorskip("sqlalchemy")
    engine = sqlalchemy.create_engine(
        "sqlite://", creator=lambda: database, poolclass=sqlalchemy.pool.StaticPool
    )
    with engine.connect() as connection:
        await check(bulk, local, connection.execute(sqlalchemy.text(SQL)))
        local.reset()
        await check(bulk, local, connection.execute(sqlalchemy.text(SQL)).mappings())
    engine.dispose()


async def test_parquet_and_sql_over_files(bulk: Bulk, local: LocalNovu, tmp_path: Path) -> None:
    """A Parquet file as it is, and any select over files."""
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "export.parquet"
    source = tmp_path / "it's.csv"
    source.write_bytes(CSV)
    quoted = str(source).replace("'", "''")
    duckdb.sql(f"COPY (SELECT * FROM '{quoted}') TO '{path}' (FORMAT parquet)")  # noqa: S608
    await check(bulk, local, path)
    local.reset()
    sql = f"select subscriber_id as id, token, provider_id from '{path}'"  # noqa: S608
    await check(bulk, local, read_select(sql, columns={"subscriber_id": "id"}))


@pytest.mark.parametrize(
    "name", ["tok[1].parquet", "tok?.parquet", "tok*.parquet", "token=of-the-folder/f.parquet"]
)
async def test_the_path_of_a_parquet_file_is_nothing_but_a_path(
    bulk: Bulk, local: LocalNovu, tmp_path: Path, name: str
) -> None:
    """It is no pattern that names other files, and no folder in it is a column."""
    duckdb = pytest.importorskip("duckdb")
    for path, token in ((tmp_path / "tok1.parquet", "other"), (tmp_path / name, "own")):
        path.parent.mkdir(exist_ok=True)
        rows = f"select 'u' as subscriber_id, 'fcm' as provider_id, '{token}' as token"
        duckdb.sql(rows).write_parquet(str(path))
    assert (await bulk.register(tmp_path / name)).done == 1
    assert local.device_tokens("u", "fcm") == ["own"]


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda whole: whole[:-200], "is Parquet that is cut off or damaged"),
        (lambda whole: whole[:9], "is Parquet that is cut off or damaged"),
        (
            lambda whole: whole[:500] + bytes(2000) + whole[2500:],
            "is Parquet that is cut off or damaged",
        ),
        (gzip.compress, "is Parquet packed with gzip: unpack it"),
    ],
    ids=["end", "short", "middle", "gzip"],
)
async def test_parquet_that_cannot_be_read_is_one_clear_error(
    bulk: Bulk, local: LocalNovu, tmp_path: Path, break_it: Callable[[bytes], bytes], said: str
) -> None:
    """It names the file and what is wrong with it: nobody has written a query."""
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "export.parquet"
    rows = "select 'u' || i as subscriber_id, 'fcm' as provider_id, hash(i)::text as token"
    duckdb.sql(f"{rows} from range(5000) t(i)").write_parquet(str(path))
    path.write_bytes(break_it(path.read_bytes()))
    with pytest.raises(InvalidRequestError) as caught:
        await bulk.register(path)
    assert f"export.parquet {said}" in str(caught.value)
    assert "query" not in str(caught.value)
    assert local.requests == []


@pytest.mark.parametrize(
    "sql", ["select nothing from nowhere", "not sql", "select 1 as a", "create table t (a int)"]
)
async def test_a_query_that_is_no_use(bulk: Bulk, sql: str) -> None:
    """What DuckDB says, or which column is missing, in one line."""
    pytest.importorskip("duckdb")
    with pytest.raises(InvalidRequestError) as caught:
        await bulk.register(read_select(sql))
    assert "\n" not in str(caught.value)


async def test_an_error_within_the_rows_of_a_query_shows_none_of_them(
    bulk: Bulk, write: Write
) -> None:
    """DuckDB quotes the value that it cannot convert; that may be a token."""
    pytest.importorskip("duckdb")
    path = write("subscriber_id,provider_id,token\nu,fcm,secret-token\n", "rows.csv")
    sql = f"select subscriber_id, provider_id, token::int as token from '{path}'"  # noqa: S608
    with pytest.raises(InvalidRequestError) as caught:
        await bulk.register(read_select(sql))
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_without_duckdb_the_extra_is_named(
    bulk: Bulk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'novu-async\[parquet\]'"):
        await bulk.register(read_select("select 1"))


class _DriversRow:
    """A row as some drivers make them: a sequence, and neither a tuple nor a list."""

    def __init__(self, *values: object) -> None:
        self.values = values

    def __iter__(self) -> Iterator[object]:
        return iter(self.values)


@pytest.mark.parametrize("make", [tuple, list, lambda row: _DriversRow(*row)])
async def test_a_cursor_names_rows_of_any_type(bulk: Bulk, local: LocalNovu, make: Any) -> None:
    """Tokens go to no URL because a driver's rows are lists, in the order of its query."""
    pages = [[make((token, provider, str(user))) for user, provider, token in ROWS], []]
    cursor = SimpleNamespace(
        description=[("token",), ("provider_id",), ("subscriber_id",)],
        fetchmany=lambda _: pages.pop(0),
    )
    await check(bulk, local, cursor)


class LateCursor:
    """A cursor that knows its columns once it has fetched, as those of psycopg2 on the server."""

    def __init__(self, make: Any, *names: str) -> None:
        self.description: Any = None
        self._make, self._names = make, names

    def __iter__(self) -> Iterator[Any]:
        """Fetch the rows."""
        self.description = [(name,) for name in self._names]
        return (self._make((token, provider, str(user))) for user, provider, token in ROWS)


@pytest.mark.parametrize("make", [tuple, list])
async def test_a_cursor_may_know_its_columns_late(bulk: Bulk, local: LocalNovu, make: Any) -> None:
    """Its rows are not taken in the order of our fields, and its columns are checked."""
    names = ("token", "provider_id", "subscriber_id")
    await check(bulk, local, LateCursor(make, *names))
    assert novu_sync.bulk.plan(LateCursor(make, *names)).subscribers == 3
    with pytest.raises(InvalidRequestError, match="no column 'subscriber_id'"):
        novu_sync.bulk.plan(LateCursor(make, "token", "provider_id", "user"))


class OneBuffer:
    """A cursor that fills one list with row after row, as some drivers do."""

    description = tuple((name,) for name in NAMES)

    def __iter__(self) -> Iterator[list[Any]]:
        """Give the rows."""
        buffer: list[Any] = [None, None, None]
        for row in ROWS:
            buffer[:] = row
            yield buffer


def one_dict() -> Iterator[dict[str, Any]]:
    """Fill one dict with row after row."""
    row: dict[str, Any] = {}
    for values in ROWS:
        row.update(zip(NAMES, values, strict=True))
        yield row


async def one_dict_awaited() -> AsyncIterator[dict[str, Any]]:
    """Fill one dict with row after row, asynchronously."""
    for row in one_dict():
        yield row


@pytest.mark.parametrize("make", [OneBuffer, one_dict, one_dict_awaited])
async def test_one_object_for_all_rows(bulk: Bulk, local: LocalNovu, make: Any) -> None:
    """Each row is read before the next is asked for, which may come in the same object."""
    await check(bulk, local, make())
    assert (await bulk.plan(make())).duplicates == 0
    local.reset()
    outcomes = [outcome async for outcome in bulk.stream(make())]
    assert [outcome.status for outcome in outcomes] == ["done"] * 4
    assert {key: local.device_tokens(*key) for key in WANTED} == WANTED


class Table(list[str]):
    """A DataFrame, which gives the names of its columns."""

    columns = NAMES

    def __arrow_c_stream__(self) -> None:
        """Tell that it is one."""


@pytest.mark.parametrize(
    ("records", "way_out"),
    [
        (CSV, r"io\.BytesIO"),
        (dict(zip(NAMES, ROWS[0], strict=True)), "into a list"),
        (Table(NAMES), "to_dict"),
    ],
)
@pytest.mark.parametrize("read", [as_source, read_rows])
def test_what_gives_no_rows_is_refused(read: Any, records: Any, way_out: str) -> None:
    """Each byte, name or column of it would be one invalid row."""
    with pytest.raises(InvalidRequestError, match=way_out):
        read(records)


async def test_a_file_that_must_be_awaited_is_refused(bulk: Bulk, write: Write) -> None:
    """The uploads of web frameworks, and files of aiofiles and anyio, are read elsewhere."""
    async with await anyio.open_file(write(CSV)) as file:
        with pytest.raises(InvalidRequestError, match="awaited"):
            await bulk.register(file)  # type: ignore[arg-type]
