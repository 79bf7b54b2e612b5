"""JSON to bytes and back; the one place that knows whether orjson (extra `speed`) is there."""

import json
from typing import Any

try:
    import orjson
except ImportError:  # the extra is not installed
    _loads: Any = json.loads

    def dumps(value: object) -> bytes:
        """Encode a value as compact UTF-8 JSON."""
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
else:
    _loads = orjson.loads

    def dumps(value: object) -> bytes:
        """Encode a value as compact UTF-8 JSON."""
        return orjson.dumps(value)


def parse_object(body: bytes | str) -> dict[str, Any] | None:
    """Decode a JSON object; None where the text is anything else, whatever the reason."""
    try:
        value = _loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
