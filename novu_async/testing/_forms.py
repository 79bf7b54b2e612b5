"""Form bodies with brackets in their names, as the API's parser reads them."""

import re
from typing import Any, Final
from urllib.parse import unquote_to_bytes

MAX_PARAMETERS: Final = 1000
# An index above this makes an object instead of a list.
_MAX_INDEX: Final = 100
_NAME: Final = re.compile(r"\[([^\[\]]*)\]")


def parse_form(text: str) -> dict[str, Any]:
    """Read `a[b][]=1&a[b][]=2` into {"a": {"b": ["1", "2"]}}; every leaf is a string."""
    form: dict[str, Any] = {}
    for part in filter(None, text.split("&")):
        name, _, value = part.partition("=")
        keys = _split_name(_unquote(name))
        if keys[0]:
            _put(form, keys, _unquote(value))
    return {name: _compact(value) for name, value in form.items()}


def _unquote(text: str) -> str:
    """Decode a component; one that is not valid UTF-8 stays as it was sent."""
    spaced = text.replace("+", " ")
    try:
        return unquote_to_bytes(spaced).decode()
    except UnicodeDecodeError:
        return spaced


def _split_name(name: str) -> list[str]:
    start = name.find("[")
    if start < 0:
        return [name]
    return [name[:start], *_NAME.findall(name[start:])]


def _put(target: dict[str, Any], keys: list[str], value: str) -> None:
    """Store a value under nested keys; lists are kept as objects with numbers until the end."""
    for key in keys[:-1]:
        inner = target.get(_next_index(target) if key == "" else key)
        if not isinstance(inner, dict):
            inner = {} if inner is None else {"0": inner}
            target[_next_index(target) if key == "" else key] = inner
        target = inner
    last = _next_index(target) if keys[-1] == "" else keys[-1]
    present = target.get(last)
    if present is None:
        target[last] = value
    elif isinstance(present, dict):
        present[_next_index(present)] = value
    else:
        target[last] = {"0": present, "1": value}


def _next_index(target: dict[str, Any]) -> str:
    return str(len(target))


def _compact(value: Any) -> Any:
    """Turn objects whose names are all small numbers into lists, in numeric order."""
    if not isinstance(value, dict):
        return value
    if value and all(name.isdigit() and int(name) <= _MAX_INDEX for name in value):
        return [_compact(value[name]) for name in sorted(value, key=int)]
    return {name: _compact(inner) for name, inner in value.items()}
