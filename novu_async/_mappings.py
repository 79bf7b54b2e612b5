"""Dicts that can be read as the official SDK's objects are: by attribute, by a name in any case."""

import re
from collections.abc import Mapping
from typing import Any, Self, TypeVar

V = TypeVar("V")

_OPTIONAL = frozenset(
    {"status_code", "timestamp", "path", "message", "ctx", "error_id", "errors", "value"}
)
_LEVELS = 3
"""The body, its `errors`, one field of them; what is deeper stays a plain dict."""


class ErrorDtoData(dict[str, Any]):
    """The JSON object that an error came with, under the API's names: `data["statusCode"]`.

    The names are attributes as well, in snake_case: `data.status_code`. Of the fields that the
    API's contract names, those that did not come are None there.
    """

    @classmethod
    def of(cls, value: Mapping[str, Any], levels: int = _LEVELS) -> Self:
        """Make one of a dict, and of the dicts in it."""
        return cls({name: _read(item, levels - 1) for name, item in value.items()})

    def __getattr__(self, name: str) -> Any:
        key = re.sub("_([a-z])", lambda match: match[1].upper(), name)
        if key in self or name in _OPTIONAL:
            return self.get(key)
        raise AttributeError(f"the error has no {name!r}; it has {', '.join(self) or 'nothing'}")


def _read(item: Any, levels: int) -> Any:
    return ErrorDtoData.of(item, levels) if isinstance(item, dict) and levels else item


class ValidationErrorDtoData(ErrorDtoData):
    """The JSON object of a refused body; its `errors` are a mapping, whatever came."""

    @property
    def errors(self) -> Mapping[str, Any]:
        """What is wrong, by field; messages that came in a list are under the key `general`."""
        errors, messages = self.get("errors"), self.get("message")
        if isinstance(errors, dict):
            return errors
        return ErrorDtoData.of(
            {"general": {"messages": messages}} if isinstance(messages, list) else {}
        )


def is_flag_set(value: str) -> bool:
    """Read a header that is true or false."""
    return value.strip().lower() in ("true", "1")


class HeaderDict(dict[str, V]):
    """Headers by name, in lower case; `[]`, `in` and `get` take a name in any case."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def __getitem__(self, name: str) -> V:
        return super().__getitem__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a header, or `default` where it did not come."""
        return super().get(name.lower(), default)
