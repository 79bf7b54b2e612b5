"""The failures file: the rows that failed, as the input had them, to be put right and fed back."""

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from attrs import frozen

from novu_async.bulk.journal import FailedRow
from novu_async.bulk.records import ADDED_COLUMNS, FIELDS, Columns, Invalid, Row, load_values
from novu_async.errors import ConfigurationError


@frozen
class Shape:
    """How the input was written: its format, its columns, and what they are called."""

    format: str
    delimiter: str
    header: tuple[str, ...]
    columns: Columns

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of a failures file."""
        own = tuple(name for name in self.header if name not in ADDED_COLUMNS)
        return own + ADDED_COLUMNS


def write_failures(path: Path, rows: Iterable[FailedRow], shape: Shape) -> int:
    """Write the failures file (mode 0600) and return the number of its rows.

    It takes its name when it is complete. Without failures none is made; one that is there from
    before is left with its header only.
    """
    part = path.with_name(path.name + ".part")
    try:
        return _replace(path, part, rows, shape)
    except OSError as error:
        raise ConfigurationError(
            f"the failures file {path} cannot be written: {error.strerror}"
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _replace(path: Path, part: Path, rows: Iterable[FailedRow], shape: Shape) -> int:
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    # half of a surrogate pair is kept, so that a row that has one is refused again
    with open(descriptor, "w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        written = _write(file, rows, _shape_for(path, shape))
    if written or path.exists():
        os.replace(part, path)
    return written


def _shape_for(path: Path, shape: Shape) -> Shape:
    """Let the name of the file choose another format than the input's."""
    suffix = path.suffix.lower()
    chosen = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}.get(suffix, shape.format)
    header = shape.header
    if chosen == "csv" and shape.format != "csv":
        columns = (shape.columns.column_of(name) for name in FIELDS)
        header = tuple(dict.fromkeys((*(name for name in columns if name), *header)))
    return Shape(chosen, shape.delimiter, header, shape.columns)


def _write(file: TextIO, rows: Iterable[FailedRow], shape: Shape) -> int:
    count = 0
    write = _csv_writer(file, shape) if shape.format == "csv" else _json_writer(file)
    for values in _documents(rows, shape):
        write(values)
        count += 1
    return count


def _json_writer(file: TextIO) -> Callable[[dict[str, Any]], None]:
    def write(values: dict[str, Any]) -> None:
        file.write(json.dumps(values) + "\n")

    return write


def _csv_writer(file: TextIO, shape: Shape) -> Callable[[dict[str, Any]], None]:
    writer = csv.DictWriter(
        file, shape.names, delimiter=shape.delimiter, extrasaction="ignore", lineterminator="\n"
    )
    writer.writeheader()

    def write(values: dict[str, Any]) -> None:
        writer.writerow({**values, "retryable": "true" if values["retryable"] else "false"})

    return write


def _documents(rows: Iterable[FailedRow], shape: Shape) -> Iterator[dict[str, Any]]:
    for row, failure in rows:
        values = _values_of(row, shape.columns)
        reason = f"{failure.reason}: {failure.detail}" if failure.detail else failure.reason
        if not values:
            reason = f"line {row.line}: {reason}"
        yield {**values, "reason": reason, "retryable": failure.retryable}


def _values_of(row: Row | Invalid, columns: Columns) -> Mapping[str, Any]:
    if isinstance(row, Invalid):
        return load_values(row.values)
    named = ((columns.column_of(name), getattr(row, name)) for name in FIELDS)
    values = {column: value for column, value in named if column is not None and value}
    return {**values, **load_values(row.extra)}
