"""JSON to bytes and back; the one place that knows whether orjson (extra `speed`) is there."""

import json
from typing import Any

_loaders: list[Any] = [json.loads]
"""Tried in order. The second one reads what orjson refuses: a byte order mark, and the half of a
surrogate pair that JavaScript writes for a text cut in the middle of an emoji."""

try:
    import orjson
except ImportError:  # the extra is not installed
    # json.dumps would make an encoder for each call: a third of its time
    _encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

    def dumps(value: object) -> bytes:
        """Encode a value as compact UTF-8 JSON."""
        return _encode(value).encode()
else:
    _loaders.insert(0, orjson.loads)

    def dumps(value: object) -> bytes:
        """Encode a value as compact UTF-8 JSON."""
        return orjson.dumps(value)


def parse_object(body: bytes | str) -> dict[str, Any] | None:
    """Decode a JSON object; None where the text is anything else, whatever the reason."""
    for loads in _loaders:
        try:
            value = loads(body)
        except (ValueError, RecursionError):
            continue
        return value if isinstance(value, dict) else None
    return None
