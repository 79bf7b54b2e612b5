"""What is refused before anything is sent, each time with an InvalidRequestError.

The server validates nothing inside `credentials`: it stores `"abc"` as three tokens, keeps numbers
and empty texts, and answers 500 to `7`. So these checks are the only ones there are. No message
holds a device token or a webhook URL.
"""

import difflib
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from novu_async._converter import json_names
from novu_async._endpoints import MAX_IDEMPOTENCY_KEY_CHARACTERS
from novu_async._secrets import name_type
from novu_async.errors import InvalidRequestError
from novu_async.models import ChannelCredentials, UpdateSubscriberChannelRequestDto
from novu_async.providers import is_push

RequestLike = UpdateSubscriberChannelRequestDto | Mapping[str, Any]
"""A request as callers may give it: the model, or a dict in snake_case or camelCase."""


def _both_names(cls: type[Any]) -> dict[str, str]:
    names = json_names(cls)
    return {**names, **{ours: ours for ours in names.values()}}


_FIELD_NAMES = {
    cls: _both_names(cls) for cls in (ChannelCredentials, UpdateSubscriberChannelRequestDto)
}

_WHITE_SPACE = (
    " \t\n\v\f\r\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
)
"""What `str.strip` removes, and the byte order mark, which the API's own `trim()` removes too."""


def check_text(value: object, argument: str) -> str:
    """Return a text that is not blank and can be encoded as UTF-8.

    A member of a `(str, Enum)`, which the official SDK's enums are, becomes its value: formatted
    into a path as it is, it would be its name. What a class of texts makes of itself is not asked.
    """
    if not isinstance(value, str):
        raise InvalidRequestError(f"{argument} must be a text, not {name_type(value)}", argument)
    text = str.__str__(value)
    if not text.strip(_WHITE_SPACE):
        raise InvalidRequestError(f"{argument} must not be empty", argument)
    _check_encodable(text, argument)
    return text


def check_subscriber_id(value: object, argument: str = "subscriber_id") -> str:
    """Return an id that reaches its own endpoint and no other.

    The server takes any path segment that is not empty, exact and case-sensitive. Refused are `.`
    and `..`, which proxies resolve as folders, and control characters.
    """
    text = check_text(value, argument)
    if text in (".", ".."):
        raise InvalidRequestError(f"{argument} {text!r} would address another URL", argument)
    if not text.isprintable() and any(unicodedata.category(c) == "Cc" for c in text):
        raise InvalidRequestError(f"{argument} must not have control characters", argument)
    return text


def check_new_subscriber_id(value: object) -> str:
    """Return an id that a subscriber can be created with: the API leaves out white space around it,
    and would create another subscriber."""
    text = check_subscriber_id(value)
    if text != text.strip(_WHITE_SPACE):
        raise InvalidRequestError(
            "subscriber_id must not have white space around it where a subscriber is created",
            "subscriber_id",
        )
    return text


def check_provider_id(value: object) -> str:
    """Return a provider id; ids that this version does not know are left to the server."""
    return check_subscriber_id(value, "provider_id")


def check_integration_identifier(value: object) -> str | None:
    """Return the identifier of an integration, or None for the newest active one."""
    return None if value is None else check_text(value, "integration_identifier")


def check_device_tokens(value: object, argument: str = "device_tokens") -> list[str]:
    """Return device tokens without repetitions, in the order of their first appearance."""
    if not isinstance(value, list) and (
        isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable)
    ):
        raise InvalidRequestError(
            f"{argument} must be a list of texts, not {name_type(value)}", argument
        )
    tokens = list(value)
    for i, token in enumerate(tokens):
        if not (type(token) is str and token.isascii() and token.strip()):
            tokens[i] = check_text(token, f"{argument}[{i}]")
    return list(dict.fromkeys(tokens))


def check_idempotency_key(value: object) -> str:
    """Return a key that the server takes and that fits into a header."""
    name = "idempotency_key"
    key = check_header_value(check_text(value, name), name, name)
    if len(key) > MAX_IDEMPOTENCY_KEY_CHARACTERS:
        raise InvalidRequestError(
            f"idempotency_key must have at most {MAX_IDEMPOTENCY_KEY_CHARACTERS} characters, "
            f"not {len(key)}",
            name,
        )
    return key


def check_header_value(value: object, name: str, argument: str) -> str:
    """Return a header value that is one line of printable ASCII characters and tabs."""
    if not isinstance(value, str):
        raise InvalidRequestError(f"{name} must be a text, not {name_type(value)}", argument)
    text = str.__str__(value)
    if not all(c == "\t" or " " <= c <= "~" for c in text):
        raise InvalidRequestError(
            f"{name} must be one line of ASCII characters, to be sent as a header", argument
        )
    return text


def check_request(value: RequestLike) -> UpdateSubscriberChannelRequestDto:
    """Return the request as a checked model.

    A dict may name its fields as our models or as the API's JSON do; an unknown name is refused
    with the nearest known one.
    """
    fields = _read_fields(value, UpdateSubscriberChannelRequestDto, "request")
    for required in ("provider_id", "credentials"):
        if fields.get(required) is None:
            raise InvalidRequestError(f"{required} is missing from the request", required)
    return UpdateSubscriberChannelRequestDto(
        provider_id=check_provider_id(fields["provider_id"]),
        credentials=_check_credentials(fields["credentials"]),
        integration_identifier=check_integration_identifier(fields.get("integration_identifier")),
    )


def check_writes_something(request: UpdateSubscriberChannelRequestDto, verb: str) -> None:
    """Refuse a write that would erase the tokens of a channel without saying so.

    The server clears the tokens of an existing channel when `deviceTokens` is empty or absent, on
    append (PATCH) as on update (PUT).
    """
    tokens = request.credentials.device_tokens
    if tokens == [] or (tokens is None and is_push(request.provider_id)):
        raise InvalidRequestError(
            f"credentials.device_tokens must not be empty: {verb} would erase the tokens that "
            f"{request.provider_id!r} has; to erase them use device_tokens.clear or "
            "credentials.delete",
            "credentials.device_tokens",
        )
    if verb == "append" and tokens is None and request.credentials == ChannelCredentials():
        raise InvalidRequestError("credentials must not be empty: nothing to append", "credentials")


def _check_credentials(value: object) -> ChannelCredentials:
    fields = _read_fields(value, ChannelCredentials, "credentials")
    for name, text in fields.items():
        if text is None or name == "device_tokens":
            continue
        if not isinstance(text, str):
            raise InvalidRequestError(
                f"credentials.{name} must be a text, not {name_type(text)}", f"credentials.{name}"
            )
        fields[name] = str.__str__(text)
        if name == "webhook_url" and text and not fields[name].strip(_WHITE_SPACE):
            raise InvalidRequestError(
                "credentials.webhook_url must not be blank", "credentials.webhook_url"
            )
        _check_encodable(fields[name], f"credentials.{name}")
    if fields.get("device_tokens") is not None:
        fields["device_tokens"] = check_device_tokens(
            fields["device_tokens"], "credentials.device_tokens"
        )
    return ChannelCredentials(**fields)


def _read_fields(value: object, cls: type[Any], argument: str) -> dict[str, Any]:
    if isinstance(value, cls):
        return {name: getattr(value, name) for name in _FIELD_NAMES[cls].values()}
    if not isinstance(value, (dict, Mapping)):
        raise InvalidRequestError(
            f"{argument} must be a dict or a {cls.__name__}, not {name_type(value, cls)}", argument
        )
    known, fields = _FIELD_NAMES[cls], {}
    for key, item in value.items():
        if key == "additional_properties":
            continue  # of a model as a dict; they are sent as little as the model's own
        name = known.get(key)
        if name is None:
            raise InvalidRequestError(_unknown_key(key, known, argument), argument)
        if name in fields:
            raise InvalidRequestError(f"{argument} has {name} under two names", argument)
        fields[name] = item
    return fields


def _unknown_key(key: object, known: Mapping[str, str], argument: str) -> str:
    near = difflib.get_close_matches(str(key), known, n=1)
    names = ", ".join(dict.fromkeys(known.values()))
    hint = f"; did you mean {near[0]!r}?" if near else f"; it takes {names}"
    return f"{argument} has no field {str(key)[:80]!r}{hint}"


def _check_encodable(text: str, argument: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRequestError(
            f"{argument} has half of a surrogate pair, which cannot be sent", argument
        ) from None
