"""JSON Lines: one object per line."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from novu_async import _json
from novu_async.bulk.lines import Lines
from novu_async.bulk.records import Invalid

_LONG = re.compile(r"\d{19}")
"""Every whole number over 64 bits has so many digits; orjson makes a float of it."""


def read_json_lines(lines: Lines) -> Iterator[tuple[int, Mapping[str, Any]] | Invalid]:
    """Yield each line's number and object; empty lines are passed over."""
    for line in lines:
        if line.problem:
            yield Invalid(line.number, line.problem)
        elif line.text and not line.text.isspace():
            values = _json.parse_object(line.text)
            if values and float in map(type, values.values()) and _LONG.search(line.text):
                values = _json.parse_object(line.text, has_long_numbers=True)
            if values is None:
                yield Invalid(line.number, "not one JSON object")
            else:
                yield line.number, values
