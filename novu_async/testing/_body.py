"""The request body as the API's parser sees it. Pure: bytes and headers in, a value out.

The parser runs before routing and authentication, for every method, and knows two content types:
JSON and forms. Anything else leaves an empty body, which validation then refuses.
"""

import codecs
import re
import zlib
from collections.abc import Mapping
from typing import Any, Final

from novu_async.testing import _forms, _json_text
from novu_async.testing._answers import ApiError, Era, make_internal_error, make_plain_error

# The parser's own default limit; measured: 102,400 bytes pass, 102,401 do not.
BODY_LIMIT: Final = 102_400

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = rf';[ \t]*({_WORD})[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|{_WORD})[ \t]*'
_CONTENT_TYPE: Final = re.compile(rf"({_WORD}/{_WORD})[ \t]*((?:{_PARAMETER})*)\Z")


def parse_body(
    era: Era, headers: Mapping[str, str], body: bytes, declared_length: int | None
) -> Any:
    """Read a body into the value that the API works with; {} where it sees none.

    `declared_length` is the Content-Length, or None for a chunked body.

    Raises ApiError: 400 with the parser's words for malformed JSON; 500 (2026: 413) above
    102,400 bytes before or after decompression; 500 for an unknown charset or encoding.
    """
    kind, charset = _read_content_type(headers.get("content-type", ""))
    if kind not in ("application/json", "application/x-www-form-urlencoded"):
        return {}
    text = _decode(era, headers, body, declared_length, kind, charset)
    if not text:
        return {}
    return _parse_json(text) if kind == "application/json" else _parse_form(era, text)


def _read_content_type(header: str) -> tuple[str, str]:
    """Split into type and charset; a header that breaks the grammar counts as no type at all."""
    if header in ("application/json", "application/json; charset=utf-8"):
        return "application/json", "utf-8"
    found = _CONTENT_TYPE.match(header.strip(" \t"))
    if not found:
        return "", ""
    charset = "utf-8"
    for name, value in re.findall(_PARAMETER, found[2]):
        if name.lower() == "charset":
            charset = value.strip('"').lower()
    return found[1].lower(), charset


def _too_large(era: Era) -> ApiError:
    if era == "2024":
        return make_internal_error(compressible=False)
    return make_plain_error(413, "Payload Too Large", compressible=False)


def _decode(
    era: Era,
    headers: Mapping[str, str],
    body: bytes,
    declared_length: int | None,
    kind: str,
    charset: str,
) -> str:
    allowed = charset.startswith("utf-") if kind == "application/json" else charset == "utf-8"
    if not allowed:
        raise make_internal_error(compressible=False)
    encoding = headers.get("content-encoding", "identity").lower()
    if encoding == "identity":
        if (declared_length or 0) > BODY_LIMIT:
            raise _too_large(era)
    else:
        body = _inflate(encoding, body)
    if len(body) > BODY_LIMIT:
        raise _too_large(era)
    try:
        text = codecs.lookup(charset).decode(body, "replace")[0]
    except LookupError:
        raise make_internal_error(compressible=False) from None
    return text.removeprefix("\ufeff")


def _inflate(encoding: str, body: bytes) -> bytes:
    """Decompress gzip or deflate, one byte past the limit at most."""
    bits = {"gzip": 31, "deflate": 15}.get(encoding)
    if bits is None:
        raise make_internal_error(compressible=False)
    try:
        return zlib.decompressobj(bits).decompress(body, BODY_LIMIT + 1)
    except zlib.error:
        raise make_internal_error(compressible=False) from None


def _parse_json(text: str) -> Any:
    try:
        return _json_text.parse(text)
    except _json_text.MalformedJSONError as error:
        raise ApiError(400, str(error), compressible=False) from None
    except RecursionError:
        raise make_internal_error(compressible=False) from None


def _parse_form(era: Era, text: str) -> dict[str, Any]:
    if text.count("&") >= _forms.MAX_PARAMETERS:
        raise _too_large(era)
    return _forms.parse_form(text)
