"""What the API's request schemas object to, in its words and order. Pure."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from novu_async.testing._answers import Era
from novu_async.testing._providers import PROVIDERS

_UNDEFINED: Final = "should not be null or undefined"
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)*\.[A-Za-z\u00a1-\uffff]{2,63}\Z")
_LOCALE: Final = re.compile(
    r"[A-Za-z]{2,4}([_-][A-Za-z]{4}|[_-]\d{3})?([_-]([A-Za-z]{2}|\d{3}))?\Z"
)


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_email(value: Any) -> bool:
    return isinstance(value, str) and bool(_EMAIL.match(value))


def _is_locale(value: Any) -> bool:
    return isinstance(value, str) and bool(_LOCALE.match(value))


_PROFILE: Final[tuple[tuple[str, Callable[[Any], bool], str], ...]] = (
    ("email", _is_email, "must be an email"),
    ("firstName", _is_string, "must be a string"),
    ("lastName", _is_string, "must be a string"),
    ("phone", _is_string, "must be a string"),
    ("avatar", _is_string, "must be a string"),
    ("locale", _is_locale, "must be locale"),
    ("data", _is_object, "must be an object"),
)


def _required(body: Mapping[str, Any], name: str, problem: str, *, valid: bool) -> list[str]:
    missing = [f"{name} {_UNDEFINED}"] if body.get(name) is None else []
    return missing if valid else [*missing, f"{name} {problem}"]


def check_credentials(era: Era, given: Mapping[str, Any]) -> list[str]:
    """List the objections to the body of PUT and PATCH credentials.

    Nothing inside `credentials` is looked at, and unknown fields are let through, in either era.
    """
    provider = given.get("providerId")
    if era == "2024":
        problem, valid = "must be a string", isinstance(provider, str)
    else:
        problem = "must be a valid provider ID"
        valid = isinstance(provider, str) and provider in PROVIDERS
    objections = _required(given, "providerId", problem, valid=valid)
    identifier = given.get("integrationIdentifier")
    if identifier is not None and not isinstance(identifier, str):
        objections.append("integrationIdentifier must be a string")
    is_object = isinstance(given.get("credentials"), dict)
    return objections + _required(given, "credentials", "must be an object", valid=is_object)


def check_profile(given: Mapping[str, Any]) -> list[str]:
    """List the objections to a subscriber's own fields; null counts as absent."""
    return [
        f"{name} {problem}"
        for name, is_valid, problem in _PROFILE
        if given.get(name) is not None and not is_valid(given[name])
    ]


def check_subscriber(era: Era, given: Mapping[str, Any]) -> list[str]:
    """List the objections to a subscriber to create."""
    name = given.get("subscriberId")
    objections = _required(given, "subscriberId", "must be a string", valid=isinstance(name, str))
    if era == "2026" and not name:
        objections.insert(1 if name is None else 0, "SubscriberId is required")
    objections += check_profile(given)
    channels = given.get("channels")
    if channels is not None and not isinstance(channels, list):
        objections.append("channels must be an array")
    return objections


def check_bulk(era: Era, given: Mapping[str, Any]) -> list[str]:
    """List the objections to a bulk creation; the limit of 500 is the 2024 schema's."""
    items = given.get("subscribers")
    if not isinstance(items, list):
        return ["subscribers should not be empty", "subscribers must be an array"]
    if not items:
        return ["subscribers should not be empty"]
    if era == "2024" and len(items) > 500:
        return ["subscribers must contain no more than 500 elements"]
    if not all(isinstance(item, dict) for item in items):
        return ["subscribers.nested property subscribers must be either object or array"]
    return [
        f"subscribers.{number}.{objection}"
        for number, item in enumerate(items)
        for objection in check_subscriber(era, item)
    ]
