"""CSV with a header, read line by line so that a broken line costs itself only."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from attrs import frozen

from novu_async.bulk.lines import Line, Lines
from novu_async.bulk.records import ADDED_COLUMNS, Invalid
from novu_async.errors import InvalidRequestError

DELIMITERS = (",", ";", "\t", "|")
_LINE_END = re.compile("[\r\n]")
_QUOTED = re.compile('"[^"]*"')
MAX_JOINED_LINES = 20
"""A quoted field may go on for so many lines; beyond that they are read as rows of their own."""

_STRAY = "a quote is never closed, or has text after it"
_AFTER_BLANK = "a quote comes after a blank, and would be part of the value: take the blank out"
_OPEN = f"a quote is still open {MAX_JOINED_LINES} lines further on"

Item = tuple[int, Mapping[str, Any]] | Invalid


@frozen
class Header:
    """The names of the columns, and what stands between them."""

    names: tuple[str, ...]
    delimiter: str


def read_header(lines: Lines, name: str, delimiter: str | None) -> Header:
    """Read the first line that is not blank; raise InvalidRequestError where it is no header."""
    line = next((line for line in lines if line.problem or line.text.strip()), None)
    if line is None:
        raise InvalidRequestError(f"{name} is empty: it needs a header and rows", "records")
    if line.problem:
        raise InvalidRequestError(
            f"the first line of {name} cannot be read ({line.problem}): it must be text in UTF-8 "
            "with the names of the columns",
            "records",
        )
    delimiter = delimiter or max(DELIMITERS, key=_QUOTED.sub("", line.text).count)
    return Header(_names_of(line.text, delimiter), delimiter)


def _names_of(text: str, delimiter: str) -> tuple[str, ...]:
    fields, _ = _parse([text], delimiter, skipinitialspace=delimiter != " ")
    return tuple(field.strip() for field in fields or text.split(delimiter))


def read_delimited(
    lines: Lines, header: Header, is_single_line: Callable[[str], bool]
) -> Iterator[Item]:
    """Yield each row's line number and values; empty lines are passed over.

    So is a header that comes once more, as where files were put together with `cat`.

    `is_single_line` names the columns that cannot hold a line break: where a quote would draw one
    in, it is a stray one. Nor can they begin with a blank and a quote.
    """
    names, delimiter, width = header.names, header.delimiter, len(header.names)
    # a failures file is our own: its quotes are right, and it gives back what the rows had
    is_failures = names[-len(ADDED_COLUMNS) :] == ADDED_COLUMNS
    single = [] if is_failures else [name for name in names if is_single_line(name)]
    longest = max(names, key=len)
    for line in lines:
        text = line.text
        if line.problem:
            yield Invalid(line.number, line.problem)
        elif longest in text and _names_of(text.removeprefix("\ufeff"), delimiter) == names:
            continue
        elif '"' in text:
            yield _read_quoted(line, lines, header, single)
        elif text and not text.isspace():
            fields = text.split(delimiter)
            if len(fields) == width:
                yield line.number, dict(zip(names, fields, strict=True))
            else:
                yield _wrong_width(line, header, fields)


def _read_quoted(line: Line, lines: Lines, header: Header, single: list[str]) -> Item:
    fields, problem = _parse([line.text], header.delimiter)
    if problem == _OPEN:
        return _join(line, lines, header, single)
    if problem:
        return Invalid(line.number, problem)
    if len(fields) == len(header.names):
        values = dict(zip(header.names, fields, strict=True))
        return _check_quotes(line.number, values, line.text, header, single)
    return _wrong_width(line, header, fields)


def _check_quotes(
    number: int, values: Mapping[str, Any], text: str, header: Header, single: list[str]
) -> Item:
    """Refuse a row with ` "value"`, which CSV takes for a value with the blank and the quotes.

    Where these are meant, they are themselves among quotes in the text of the row.
    """
    for name in single:
        value = values[name]
        is_odd = value[:1].isspace() and value.lstrip().startswith('"')
        if is_odd and header.delimiter + value in header.delimiter + text:
            return Invalid(number, _AFTER_BLANK)
    return number, values


def _join(line: Line, lines: Lines, header: Header, single: list[str]) -> Item:
    """Read a row whose quoted field goes on in the next lines, or say why it is no such row."""
    taken: list[Line] = []
    texts = [line.text + line.end.decode()]
    problem = _OPEN
    for following in islice(lines, MAX_JOINED_LINES):
        taken.append(following)
        if following.problem:
            break
        texts.append(following.text + following.end.decode())
        if '"' not in following.text:
            continue
        fields, problem = _parse(texts, header.delimiter)
        if not problem and len(fields) == len(header.names):
            values = dict(zip(header.names, fields, strict=True))
            if not any(_LINE_END.search(values[name]) for name in single):
                return _check_quotes(line.number, values, "".join(texts), header, single)
        if problem != _OPEN:
            break
    lines.push_back(taken)
    if problem == _OPEN and len(texts) <= MAX_JOINED_LINES:
        problem = _STRAY
    return Invalid(line.number, problem or _STRAY)


def _parse(texts: Iterable[str], delimiter: str, **dialect: Any) -> tuple[list[str], str]:
    """Return the fields of the first row, and what is wrong with it."""
    try:
        return next(csv.reader(texts, delimiter=delimiter, strict=True, **dialect), []), ""
    except csv.Error as error:
        return [], _explain(str(error))


def _explain(said: str) -> str:
    if "field limit" in said:
        return f"a field among quotes is longer than {csv.field_size_limit()} characters"
    return _OPEN if "unexpected end" in said else _STRAY


def _wrong_width(line: Line, header: Header, fields: list[str]) -> Invalid:
    # without its values: which field belongs to which column is not known, and a token that is
    # cut at a delimiter would be registered when the failures file is fed back
    return Invalid(line.number, f"{len(fields)} fields where the header has {len(header.names)}")
