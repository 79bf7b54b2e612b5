"""Parquet, and SQL over files; the only importer of DuckDB (extra `parquet`)."""

import os
import re
from collections.abc import Iterator
from typing import Any

from novu_async.errors import ConfigurationError, InvalidRequestError

_FETCHED_ROWS = 2048
_MEMORY_LIMIT = "256MB"
_WILDCARD = re.compile(r"[*?\[]")


def select_all(origin: object, name: str) -> str:
    """Return the query for all rows of a Parquet file."""
    if not isinstance(origin, str | os.PathLike) or origin == "-":
        raise InvalidRequestError(
            f"{name} is Parquet, which cannot be read as a stream: give its path", "records"
        )
    # DuckDB takes a path for a pattern, and folders such as token=x for columns
    path = _WILDCARD.sub(r"[\g<0>]", os.fspath(origin)).replace("'", "''")
    return f"select * from read_parquet('{path}', hive_partitioning = false)"  # noqa: S608, quoted


def select(sql: str, file: str = "") -> tuple[tuple[str, ...], Iterator[tuple[Any, ...]]]:
    """Run a query; return the names of its columns, and its rows as a stream.

    - `file`: the name of the file, where the query is not the user's own but `select_all` made it.

    Raises ConfigurationError without DuckDB, InvalidRequestError where the query cannot run.
    """
    try:
        import duckdb
    except ImportError as error:
        raise ConfigurationError(
            "reading Parquet or SQL needs DuckDB: pip install 'novu-async[parquet]'"
        ) from error
    connection = duckdb.connect(config={"memory_limit": _MEMORY_LIMIT})
    try:
        result = connection.execute(sql)
    except duckdb.Error as error:
        connection.close()
        raise _explain(error, file) from None
    names = tuple(str(column[0]) for column in result.description or ())
    return names, _rows(connection, result, duckdb.Error, file)


def _rows(
    connection: Any, result: Any, failure: type[Exception], file: str
) -> Iterator[tuple[Any, ...]]:
    try:
        while rows := result.fetchmany(_FETCHED_ROWS):
            yield from rows
    except failure as error:
        raise _explain(error, file) from None
    finally:
        connection.close()


def _explain(error: Exception, file: str) -> InvalidRequestError:
    """Say what DuckDB says of the query, but not what it quotes from the rows."""
    kind = type(error).__name__
    if file and kind in _NOT_THE_FILES:
        return InvalidRequestError(f"DuckDB cannot read {file}: {kind}", "records")
    if file:
        return InvalidRequestError(
            f"{file} is Parquet that is cut off or damaged: make it again", "records"
        )
    said = str(error).partition("\n")[0] if kind in _ABOUT_THE_QUERY else kind
    return InvalidRequestError(f"DuckDB cannot run the query: {said}", "sql")


_ABOUT_THE_QUERY = frozenset(
    {"BinderException", "CatalogException", "IOException", "ParserException"}
)
_NOT_THE_FILES = frozenset(
    {"InterruptException", "NotImplementedException", "OutOfMemoryException", "PermissionException"}
)
