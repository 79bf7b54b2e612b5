"""The request body as the API's parser sees it. Pure: bytes and headers in, a value out.

The parser runs before routing and authentication, for every method, and knows two content types:
JSON and forms. Anything else leaves an empty body, which validation then refuses.
"""

import codecs
import re
import zlib
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from novu_async.testing import _json_text
from novu_async.testing._answers import ApiError, Era, make_internal_error, make_plain_error

# The parser's own default limit; measured: 102,400 bytes pass, 102,401 do not.
BODY_LIMIT: Final = 102_400


def parse_body(era: Era, headers: Mapping[str, str], body: bytes) -> Any:
    """Read a body into the value that the API works with; {} where it sees none.

    Raises ApiError: 400 for malformed JSON; 500 (2026: 413) above 102,400 bytes before or after
    decompression; 500 for an unknown charset or encoding.
    """
    kind, charset = _read_content_type(headers.get("content-type", ""))
    if kind not in ("application/json", "application/x-www-form-urlencoded"):
        return {}
    text = _decode(era, headers.get("content-encoding", "identity").lower(), body, charset)
    if not text:
        return {}
    return _parse_json(text) if kind == "application/json" else _parse_form(text)


def _read_content_type(header: str) -> tuple[str, str]:
    kind, _, parameters = header.lower().partition(";")
    found = re.search(r'charset="?([^";\s]+)', parameters)
    return kind.strip(), found[1] if found else "utf-8"


def _decode(era: Era, encoding: str, body: bytes, charset: str) -> str:
    if not charset.startswith("utf-"):
        raise make_internal_error()
    if encoding != "identity":
        body = _inflate(encoding, body)
    if len(body) > BODY_LIMIT:
        raise make_internal_error() if era == "2024" else make_plain_error(413, "Payload Too Large")
    try:
        text = codecs.lookup(charset).decode(body, "replace")[0]
    except LookupError:
        raise make_internal_error() from None
    return text.removeprefix("\ufeff")


def _inflate(encoding: str, body: bytes) -> bytes:
    """Decompress gzip or deflate, one byte past the limit at most."""
    bits = {"gzip": 31, "deflate": 15}.get(encoding)
    if bits is None:
        raise make_internal_error()
    try:
        return zlib.decompressobj(bits).decompress(body, BODY_LIMIT + 1)
    except zlib.error:
        raise make_internal_error() from None


def _parse_json(text: str) -> Any:
    try:
        return _json_text.parse(text)
    except ValueError as error:
        raise ApiError(400, str(error)) from None
    except RecursionError:
        raise make_internal_error() from None


def _parse_form(text: str) -> dict[str, Any]:
    """Read `a[b][]=1&a[b][]=2` into {"a": {"b": ["1", "2"]}}; every leaf is a string."""
    form: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        *outer, last = re.findall(r"[^\[\]]+", name) or [""]
        target = form
        for key in outer:
            target = target.setdefault(key, {})
        if name.endswith("[]"):
            target.setdefault(last, []).append(value)
        else:
            target[last] = value
    return form
