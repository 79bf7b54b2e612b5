"""The failures file: the rows that failed, as the input had them, to be put right and fed back."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from attrs import frozen

from novu_async.bulk.journal import FailedRow
from novu_async.bulk.loader import part_of
from novu_async.bulk.records import (
    ADDED_COLUMNS,
    FIELDS,
    REFUSED,
    Columns,
    Invalid,
    Row,
    load_values,
    old_reason,
)
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
    target = target_of(path)
    part = part_of(target)
    with explained(path):
        try:
            return _replace(target, part, rows, _shape_for(path, shape))
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the system says about a failures file into one clear error."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"the failures file {path} cannot be written: {error.strerror}"
        ) from error


def target_of(path: Path) -> Path:
    """Return the file that a failures file's path leads to, through links.

    Raises ConfigurationError where something else is there, which must not be replaced by a file.
    """
    with explained(path):
        if path.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        if path.exists() and not path.is_file():
            raise OSError(None, "it is no regular file")
        if _is_output(path):
            raise OSError(None, "this program's output goes there")
        return Path(os.path.realpath(path))


def _is_output(path: Path) -> bool:
    """Tell whether a path is standard output or error, as /dev/stdout is where a file takes it."""
    for stream in (1, 2):
        with suppress(OSError):  # it is closed, or the file is not there
            if os.path.samestat(os.stat(path), os.fstat(stream)):
                return True
    return False


def _replace(target: Path, part: Path, rows: Iterable[FailedRow], shape: Shape) -> int:
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    # half of a surrogate pair is kept, so that a row that has one is refused again
    with open(descriptor, "w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        written = _write(file, rows, shape)
    if written or target.exists():
        os.replace(part, target)
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
    count, is_csv = 0, shape.format == "csv"
    if is_csv:
        file.write(_csv_line(shape.names, shape))
    for values in _documents(rows, shape):
        file.write(_csv_row(values, shape) if is_csv else json.dumps(values) + "\n")
        count += 1
    return count


def _csv_row(values: Mapping[str, Any], shape: Shape) -> str:
    lost = [name for name in shape.names if shape.columns.has(name) and _has_nul(values.get(name))]
    if lost:
        reason = f"{values['reason']}; the NUL in its {lost[0]} only JSON Lines can hold"
        values = {**values, "reason": reason}
    fields = (_field_of(values.get(name), name, shape.columns) for name in shape.names)
    return _csv_line(fields, shape)


def _has_nul(value: object) -> bool:
    return isinstance(value, str) and "\0" in value


def _csv_line(fields: Iterable[str], shape: Shape) -> str:
    return shape.delimiter.join(_quote(field, shape.delimiter) for field in fields) + "\n"


def _quote(field: str, delimiter: str) -> str:
    """Quote a field where it has to be; unlike the csv module's, also one with a lone CR."""
    if any(special in field for special in (delimiter, '"', "\n", "\r")):
        return '"' + field.replace('"', '""') + '"'
    return field


def _field_of(value: Any, column: str, columns: Columns) -> str:
    """Write a value as a field; as text some would pass that were refused.

    A line that has a NUL would not be read again.
    """
    if value is None:
        return ""
    if columns.has(column):
        text = columns.text_of(column, value)
        return REFUSED if text is None or "\0" in text else text
    return value.replace("\0", "") if isinstance(value, str) else json.dumps(value)


def _documents(rows: Iterable[FailedRow], shape: Shape) -> Iterator[dict[str, Any]]:
    for row, failure in rows:
        values = _values_of(row, shape.columns)
        reason = f"{failure.reason}: {failure.detail}" if failure.detail else failure.reason
        if not values:
            reason = f"line {row.line}: {reason}"
        reason = old_reason(values) or reason
        yield {**values, "reason": reason, "retryable": failure.retryable}


def _values_of(row: Row | Invalid, columns: Columns) -> Mapping[str, Any]:
    if isinstance(row, Invalid):
        return load_values(row.values)
    named = ((columns.column_of(name), getattr(row, name)) for name in FIELDS)
    values = {column: value for column, value in named if column is not None and value}
    return {**values, **load_values(row.extra)}
