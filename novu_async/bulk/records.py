"""Records: what one row of a bulk job says, and how any row becomes one that was checked."""

import difflib
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from numbers import Integral
from typing import Any, Literal, NamedTuple, cast
from uuid import UUID

from attrs import define, field, frozen

from novu_async import _checks
from novu_async._secrets import describe_url, fingerprint, name_type
from novu_async.errors import InvalidRequestError
from novu_async.providers import is_push

_MAX_ID_BITS = 1000
_MAX_ID_DIGITS = 300
"""Python refuses to write numbers of 5,000 digits, and no id has 300."""

_JSON_KINDS = (int, float, list, tuple, dict, type(None))
"""What stays in JSON what it is, so that it is refused once more when it is read again."""

Operation = Literal["append", "replace", "remove", "delete", "verify"]

FIELDS = (
    "subscriber_id",
    "provider_id",
    "token",
    "integration_identifier",
    "webhook_url",
    "channel",
)
"""The fields of a row; a tuple gives the first four in this order."""

ADDED_COLUMNS = ("reason", "retryable")
"""What a failures file has beside the columns of the input; ignored when it is read again."""

REFUSED = " "
"""What a failures file has for a value that no row can have: a blank is refused in every field,
while an empty one may count as not given."""


def _describe_token(token: object) -> str:
    return f"<token {fingerprint(str(token))}>"


@frozen
class DeviceToken:
    """One device token of one subscriber.

    Without `integration_identifier` the API takes the newest active integration of the provider.
    """

    subscriber_id: str
    provider_id: str
    token: str = field(repr=_describe_token)
    integration_identifier: str | None = None


@frozen
class WebhookUrl:
    """The webhook URL of one subscriber for a chat provider, with its channel where it needs one.

    A subscriber has one such URL per integration: a later row replaces an earlier one.
    """

    subscriber_id: str
    provider_id: str
    webhook_url: str = field(repr=describe_url)
    channel: str | None = None
    integration_identifier: str | None = None


class Row(NamedTuple):
    """A checked row; `line` counts lines of a file or items of an iterable, from 1."""

    line: int
    subscriber_id: str
    provider_id: str
    integration_identifier: str = ""
    token: str | None = None
    webhook_url: str | None = None
    channel: str | None = None
    extra: str | None = None

    @property
    def record(self) -> DeviceToken | WebhookUrl:
        """The row as a user gave it."""
        identifier = self.integration_identifier or None
        if self.webhook_url is not None:
            return WebhookUrl(
                self.subscriber_id, self.provider_id, self.webhook_url, self.channel, identifier
            )
        return DeviceToken(self.subscriber_id, self.provider_id, self.token or "", identifier)

    def __repr__(self) -> str:
        return f"Row(line={self.line}, {self.record!r})"


class Invalid(NamedTuple):
    """A row that cannot be used, why, and its values as far as they could be read (JSON)."""

    line: int
    reason: str
    values: str | None = None

    def __repr__(self) -> str:
        return f"Invalid(line={self.line}, reason={self.reason!r})"


@define
class Columns:
    """Under which names a source has the fields of a row.

    - `names`: our field to the source's column, for the fields that are called otherwise there.
    - `constants`: fields that have one value in all rows; they win over a column of that name.
    """

    names: Mapping[str, str] = field(factory=dict)
    constants: Mapping[str, Any] = field(factory=dict)
    _sources: list[tuple[str, str]] = field(init=False, repr=False)
    _known: frozenset[str] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        for name in (*self.names, *self.constants):
            if name not in FIELDS:
                raise InvalidRequestError(
                    f"{name!r} is no field of a row; the fields are {', '.join(FIELDS)}", "columns"
                )
            if name in self.names and name in self.constants:
                raise InvalidRequestError(
                    f"{name} can come from column {self.names[name]!r} or be constant, not both",
                    "columns",
                )
        self._sources = [
            (name, self.names.get(name, name)) for name in FIELDS if name not in self.constants
        ]
        self._known = frozenset({*(column for _, column in self._sources), *ADDED_COLUMNS})

    def column_of(self, name: str) -> str | None:
        """The column that has a field; None where the field is a constant."""
        return None if name in self.constants else self.names.get(name, name)

    def has(self, column: str) -> bool:
        """Tell whether a column of the source holds a field."""
        return any(column == own for _, own in self._sources)

    def text_of(self, column: str, value: object) -> str | None:
        """The text that a row takes a value of one of our columns for; None where it refuses it."""
        if all(name == "subscriber_id" for name, own in self._sources if own == column):
            value = _as_id(value)
        return value if isinstance(value, str) else None

    def meant(self, name: str | None, values: Mapping[str, Any]) -> str:
        """Hint at the column that was probably meant to hold a field that a row lacks."""
        column = self.column_of(name) if name in FIELDS else None
        if column is None or column in values:
            return ""
        others = {_folded(other): other for other in values if other not in self._known}
        near = difflib.get_close_matches(_folded(column), others, n=1)
        return f"; is {others[near[0]]!r} meant to be it?" if near else ""

    def row(self, line: int, values: Mapping[str, Any], operation: Operation) -> Row:
        """Check the values of one row; raise InvalidRequestError where they are no use."""
        fields = {name: values[column] for name, column in self._sources if column in values}
        fields.update(self.constants)
        extra = None
        if not (self._known >= values.keys()):
            extra = dump_values({k: v for k, v in values.items() if k not in self._known})
        return check_row(line, fields, operation, extra)


def convert(line: int, item: Any, columns: Columns, operation: Operation) -> Row | Invalid:
    """Turn one item of an iterable into a row, or into what is wrong with it."""
    values = values_of(item, columns)
    if values is None and isinstance(item, tuple | list):
        wanted = ", ".join(_values_in_order(columns))
        return Invalid(line, f"{len(item)} values where a row has at most {wanted}")
    if values is None:
        return Invalid(
            line, f"a row must be a DeviceToken, a dict or a tuple, not {name_type(item)}"
        )
    return make_row(line, values, columns, operation)


def make_row(
    line: int, values: Mapping[str, Any], columns: Columns, operation: Operation
) -> Row | Invalid:
    """Turn the values of one row into a row, or into what is wrong with them."""
    try:
        return columns.row(line, values, operation)
    except InvalidRequestError as error:
        reason = error.message + columns.meant(error.argument, values)
        if old_reason(values):
            reason = "nothing of the row is left but why it was refused before"
        return Invalid(line, reason, dump_values(_without_strange(values, columns)))


def old_reason(values: Mapping[str, Any]) -> str:
    """The reason in a row of a failures file that has nothing else, as of an unreadable line."""
    reason = values.get("reason")
    others = (_given(values, name) for name in values if name not in ADDED_COLUMNS)
    is_all = "retryable" in values and all(value is None for value in others)
    return reason if is_all and isinstance(reason, str) else ""


def _without_strange(values: Mapping[str, Any], columns: Columns) -> Mapping[str, Any]:
    """Take out the values whose text would pass when fed back where they did not, as of bytes."""
    return {name: _kept(name, value, columns) for name, value in values.items()}


def _kept(column: str, value: object, columns: Columns) -> object:
    if not columns.has(column):
        return value
    text = columns.text_of(column, value)
    if text is not None and not isinstance(value, int):
        return text
    return value if isinstance(value, _JSON_KINDS) and _is_json(value) else REFUSED


def check_row(
    line: int, fields: Mapping[str, Any], operation: Operation, extra: str | None = None
) -> Row:
    """Check the fields of one row by the rules of a single call."""
    subscriber_id = _checks.check_subscriber_id(_as_id(fields.get("subscriber_id")))
    provider_id = _checks.check_provider_id(fields.get("provider_id"))
    identifier = _given(fields, "integration_identifier")
    if identifier is not None:
        _checks.check_integration_identifier(identifier)
    if operation == "delete":
        if identifier is not None:
            raise InvalidRequestError(
                "delete removes all channels of a provider: leave integration_identifier out",
                "integration_identifier",
            )
        return Row(line, subscriber_id, provider_id, extra=extra)
    url = _given(fields, "webhook_url")
    if url is not None:
        channel = _check_webhook(fields, provider_id, operation)
        return Row(line, subscriber_id, provider_id, identifier or "", None, url, channel, extra)
    token = _checks.check_text(fields.get("token"), "token")
    return Row(line, subscriber_id, provider_id, identifier or "", token, None, None, extra)


def _check_webhook(fields: Mapping[str, Any], provider_id: str, operation: Operation) -> str | None:
    _checks.check_text(fields["webhook_url"], "webhook_url")
    if _given(fields, "token") is not None:
        raise InvalidRequestError("a row has a token or a webhook_url, not both", "webhook_url")
    if is_push(provider_id):
        raise InvalidRequestError(f"{provider_id} takes a token, not a webhook_url", "webhook_url")
    if operation == "remove":
        raise InvalidRequestError(
            "a webhook_url goes only with its provider: use the operation delete", "webhook_url"
        )
    channel = _given(fields, "channel")
    return None if channel is None else _checks.check_text(channel, "channel")


def _folded(column: object) -> str:
    return str(column)[:80].replace("_", "").replace("-", "").lower()


def _given(fields: Mapping[str, Any], name: str) -> Any:
    value = fields.get(name)
    # only a text is compared: of pandas' NA, or of an array, that gives no truth
    return None if isinstance(value, str) and value == "" else value


def _as_id(value: Any) -> Any:
    """Take the numbers and UUIDs that databases, and numpy, have as ids."""
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < _MAX_ID_DIGITS:
        value = int(value) if value == int(value) else value
    if isinstance(value, Integral) and not isinstance(value, bool):
        return str(int(value)) if int(value).bit_length() < _MAX_ID_BITS else value
    return str(value) if isinstance(value, UUID) else value


def values_of(item: Any, columns: Columns) -> Mapping[str, Any] | None:
    """Return what an item says by the source's columns; None where it is nothing of the kind."""
    if isinstance(item, DeviceToken | WebhookUrl):
        return {
            column: getattr(item, name, None)
            for name in FIELDS
            if (column := columns.column_of(name)) is not None
        }
    if isinstance(item, Mapping):
        return item
    mapping = getattr(item, "_mapping", None)  # a row of SQLAlchemy
    if isinstance(mapping, Mapping):
        return mapping
    if isinstance(item, tuple | list) and not hasattr(item, "keys"):
        return _name_values(item, getattr(item, "_fields", None), columns)
    if callable(getattr(item, "keys", None)):  # sqlite3.Row, asyncpg.Record
        return {name: item[name] for name in item.keys()}  # noqa: SIM118, not a dict
    return None


def _name_values(
    item: Iterable[Any], names: Iterable[str] | None, columns: Columns
) -> Mapping[str, Any] | None:
    values = tuple(item)
    if names is None:
        wanted = _values_in_order(columns)
        if len(values) > len(wanted):
            return None
        names = [columns.names.get(name, name) for name in wanted]
    return dict(zip(names, values, strict=False))


def _values_in_order(columns: Columns) -> list[str]:
    return [name for name in FIELDS[:4] if name not in columns.constants]


def dump_values(values: Mapping[str, Any]) -> str:
    """Write the values of a row as JSON; what JSON does not know becomes its text."""
    try:
        return json.dumps(values, default=_text_of)
    except (TypeError, ValueError, RecursionError):
        kept = {_text_of(key): value if _is_json(value) else "" for key, value in values.items()}
        return json.dumps(kept, default=_text_of)


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, default=_text_of)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _text_of(value: object) -> str:
    try:
        return str(value)
    except Exception:  # an object of the caller's, or a number of 5,000 digits
        return ""  # which is no value either when the row is fed back


def load_values(text: str | None) -> dict[str, Any]:
    """Read what `dump_values` wrote."""
    return cast("dict[str, Any]", json.loads(text)) if text else {}
