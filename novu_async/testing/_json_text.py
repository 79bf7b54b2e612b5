"""JSON as the API's body parser reads it and as the API writes it."""

import json
from typing import Any, NoReturn


def dump(value: Any) -> bytes:
    """Write a value as `JSON.stringify` does: compact, in UTF-8, lone surrogates escaped."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def parse(text: str) -> Any:
    """Read an object or array.

    Raises ValueError with the API's message, also for a bare string, number, true, false or null,
    which the body parser refuses. Raises RecursionError for a text nested too deeply.
    """
    start = len(text) - len(text.lstrip(" \t\n\r"))
    if text[start : start + 1] not in ("{", "["):
        raise ValueError(_explain(text, start))
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise ValueError(_explain(text, getattr(error, "pos", start))) from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _explain(text: str, at: int) -> str:
    """Say what is wrong as Node does, though not in all of its words."""
    if at >= len(text.rstrip()):
        return "Unexpected end of JSON input"
    return f"Unexpected token {text[at]} in JSON at position {at}"
