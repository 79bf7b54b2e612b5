"""One row: what is taken, what is refused, and what is never shown."""

from collections import namedtuple
from datetime import UTC, datetime
from decimal import Decimal
from numbers import Integral
from typing import Any
from uuid import UUID

import pytest

from novu_async.bulk import DeviceToken, WebhookUrl
from novu_async.bulk.records import (
    Columns,
    Invalid,
    Operation,
    Row,
    convert,
    dump_values,
    load_values,
)
from novu_async.errors import InvalidRequestError

SECRET = "token-that-nobody-may-see"


def read(item: Any, operation: Operation = "append", **columns: Any) -> Row | Invalid:
    """Convert an item as the first of an iterable."""
    return convert(1, item, Columns(**columns), operation)


class Keyed:
    """A row of a database: keys and items, no dict."""

    def __init__(self, **values: Any) -> None:
        self._values = values

    def keys(self) -> Any:
        """Return the names."""
        return self._values.keys()

    def __getitem__(self, name: str) -> Any:
        return self._values[name]


class Missing:
    """A missing value of pandas: whatever it is compared with, the answer has no truth."""

    def __eq__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")

    __hash__ = object.__hash__


@Integral.register
class Int64:
    """A whole number of numpy, which is none of Python's."""

    def __int__(self) -> int:
        return 7


Named = namedtuple("Named", ["token", "subscriber_id", "provider_id"])


@pytest.mark.parametrize(
    "item",
    [
        DeviceToken("u", "fcm", "t"),
        {"subscriber_id": "u", "provider_id": "fcm", "token": "t"},
        ("u", "fcm", "t"),
        ["u", "fcm", "t"],
        Named("t", "u", "fcm"),
        Keyed(subscriber_id="u", provider_id="fcm", token="t"),
        {"subscriber_id": "u", "provider_id": "fcm", "token": "t", "integration_identifier": ""},
    ],
)
def test_every_kind_of_item_gives_the_same_row(item: Any) -> None:
    """Objects, dicts, tuples and database rows are the same row."""
    assert read(item) == Row(1, "u", "fcm", "", "t")


def test_a_tuple_may_name_the_integration() -> None:
    """The fourth item of a tuple is the integration_identifier."""
    assert read(("u", "fcm", "t", "fcm-eu")) == Row(1, "u", "fcm", "fcm-eu", "t")


def test_ids_of_databases_are_taken() -> None:
    """Whole numbers and UUIDs are ids as their text."""
    uuid = UUID("12345678-1234-5678-1234-567812345678")
    for number in (7, Int64()):
        assert read((number, "fcm", "t")) == Row(1, "7", "fcm", "", "t")
    assert read((uuid, "fcm", "t")) == Row(1, str(uuid), "fcm", "", "t")


@pytest.mark.parametrize(
    ("number", "expected"),
    [("7", "7"), ("7.00", "7"), ("1E+5", "100000"), (f"{2**90}", f"{2**90}")],
)
def test_whole_decimals_are_ids_as_whole_numbers_are(number: str, expected: str) -> None:
    """DuckDB and other databases give them for DECIMAL and HUGEINT; a refused row keeps the id."""
    value = Decimal(number)
    assert read((value, "fcm", "t")) == Row(1, expected, "fcm", "", "t")
    refused = read((value, "fcm", ""))
    assert isinstance(refused, Invalid)
    assert load_values(refused.values)["subscriber_id"] == expected


@pytest.mark.parametrize("number", ["7.5", "NaN", "sNaN", "Infinity", "1E+999999", "1E-7"])
def test_other_decimals_are_no_ids(number: str) -> None:
    """Their text would be an id that nobody has."""
    refused = read((Decimal(number), "fcm", "t"))
    assert isinstance(refused, Invalid)
    assert isinstance(read(load_values(refused.values)), Invalid)


def test_columns_and_constants_are_applied() -> None:
    """A column may have another name, and a field one value for all rows."""
    columns: Any = {"names": {"subscriber_id": "user"}, "constants": {"provider_id": "apns"}}
    assert read({"user": "u", "token": "t"}, **columns) == Row(1, "u", "apns", "", "t")
    assert read(("u", "t"), **columns) == Row(1, "u", "apns", "", "t")
    assert read(DeviceToken("u", "fcm", "t"), **columns) == Row(1, "u", "apns", "", "t")


def test_other_columns_are_kept_beside() -> None:
    """What is no field stays with the row, for the failures file; its own columns do not."""
    item = {"subscriber_id": "u", "provider_id": "fcm", "token": "t", "note": "x", "reason": "y"}
    row = read(item)
    assert isinstance(row, Row)
    assert load_values(row.extra) == {"note": "x"}


@pytest.mark.parametrize(
    "item",
    [
        None,
        7,
        "u,fcm,t",
        b"u",
        ("u", "fcm", "t", "i", "more"),
        (),
        ("u",),
        ("u", "fcm"),
        ("u", "fcm", ""),
        ("u", "fcm", "  "),
        ("u", "fcm", None),
        ("u", "fcm", 7),
        ("u", "fcm", b"t"),
        ("u", "fcm", ["t"]),
        ("u", "fcm", "\ud800"),
        ("", "fcm", "t"),
        (None, "fcm", "t"),
        (True, "fcm", "t"),
        ("..", "fcm", "t"),
        ("a\0b", "fcm", "t"),
        ("a\r\nb", "fcm", "t"),
        ("\udc80", "fcm", "t"),
        ("u", "", "t"),
        ("u", 7, "t"),
        ("u", ["fcm"], "t"),
        ("u", "fcm", "t", 7),
        {"subscriber_id": "u"},
        {},
        {"subscriber_id": {"deep": []}, "provider_id": "fcm", "token": "t"},
        {1: 2},
        {"subscriber_id": "u", "provider_id": "fcm", "token": "t", "webhook_url": Missing()},
        {"subscriber_id": "u", "provider_id": "fcm", "integration_identifier": Missing()},
        {"subscriber_id": Missing(), "provider_id": "fcm", "reason": "x", "retryable": Missing()},
    ],
)
def test_a_row_that_is_no_use_is_invalid(item: Any) -> None:
    """Whatever is wrong with a row, it is one invalid row with a reason."""
    row = read(item)
    assert isinstance(row, Invalid)
    assert row.reason


def test_a_tuple_that_is_too_long_is_told_what_it_may_have() -> None:
    """Of a database query, say, that has more columns; nothing of it is guessed."""
    row = read(("u", "t", "i", "more"), constants={"provider_id": "fcm"})
    reason = "4 values where a row has at most subscriber_id, token, integration_identifier"
    assert row == Invalid(1, reason)


def test_webhook_rows() -> None:
    """A chat row has a webhook_url, with a channel where it needs one."""
    assert read(WebhookUrl("u", "slack", "https://h", "general")) == Row(
        1, "u", "slack", "", None, "https://h", "general"
    )
    item = {"subscriber_id": "u", "provider_id": "slack", "webhook_url": "https://h", "token": ""}
    row = read(item)
    assert isinstance(row, Row)
    assert row.record == WebhookUrl("u", "slack", "https://h")


@pytest.mark.parametrize(
    ("item", "operation", "word"),
    [
        (WebhookUrl("u", "fcm", "https://h"), "append", "takes a token"),
        (WebhookUrl("u", "slack", "https://h"), "remove", "delete"),
        (WebhookUrl("u", "slack", " "), "append", "empty"),
        (WebhookUrl("u", "slack", 7), "append", "text"),  # type: ignore[arg-type]
        (WebhookUrl("u", "slack", "https://h", 7), "append", "channel"),  # type: ignore[arg-type]
        ({"token": "t", "webhook_url": "h", "provider_id": "slack"}, "append", "not both"),
        ({"provider_id": "fcm", "integration_identifier": "i"}, "delete", "leave"),
    ],
)
def test_what_an_operation_cannot_do_is_said(item: Any, operation: Operation, word: str) -> None:
    """The reason of an invalid row says what to do instead."""
    item = {"subscriber_id": "u", **item} if isinstance(item, dict) else item
    row = read(item, operation)
    assert isinstance(row, Invalid)
    assert word in row.reason


def test_delete_needs_no_token() -> None:
    """A delete is of a subscriber and a provider; a token that is there is not looked at."""
    assert read(("u", "fcm"), "delete") == Row(1, "u", "fcm")
    assert read(("u", "fcm", "t"), "delete") == Row(1, "u", "fcm")


def test_columns_that_cannot_be_are_refused() -> None:
    """A name that is no field, or a field of two sources, is a mistake of the whole job."""
    with pytest.raises(InvalidRequestError, match="'device' is no field"):
        Columns({"device": "x"})
    with pytest.raises(InvalidRequestError, match="'platform' or be constant, not both"):
        Columns({"provider_id": "platform"}, {"provider_id": "fcm"})


def test_no_repr_shows_a_secret() -> None:
    """Tokens and webhook URLs show as fingerprints."""
    rows = [
        DeviceToken("u", "fcm", SECRET),
        WebhookUrl("u", "slack", SECRET),
        read(("u", "fcm", SECRET)),
        read(("u", "", SECRET)),
        read(WebhookUrl("u", "slack", SECRET)),
    ]
    assert SECRET not in repr(rows)


def test_any_values_can_be_written_down() -> None:
    """Values that JSON does not know become their text."""
    assert load_values(dump_values({"a": UUID(int=1)})) == {"a": str(UUID(int=1))}
    assert load_values(dump_values({("x", "y"): b"z"})) == {"('x', 'y')": "b'z'"}  # type: ignore[dict-item]
    assert load_values(dump_values({1j: True, "n": 10**5000})) == {"1j": True, "n": ""}  # type: ignore[dict-item]
    assert load_values(None) == {}


CYCLE: list[object] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    "value",
    [b"t", datetime(2026, 1, 1, tzinfo=UTC), object(), UUID(int=1), 10**5000, CYCLE],
    ids=type,
)
@pytest.mark.parametrize("field", ["provider_id", "token", "integration_identifier"])
def test_a_value_whose_text_would_pass_is_not_kept(field: str, value: object) -> None:
    """The row of a failures file is refused as the row itself was."""
    refused = read({"subscriber_id": "u", "provider_id": "fcm", "token": "t", field: value})
    assert isinstance(refused, Invalid)
    kept = load_values(refused.values)
    assert kept["subscriber_id"] == "u"
    assert isinstance(read(kept), Invalid)


def test_a_value_of_another_column_is_kept_as_its_text() -> None:
    """What is no field makes no row pass."""
    refused = read({"subscriber_id": "", "provider_id": "fcm", "token": "t", "when": b"x"})
    assert isinstance(refused, Invalid)
    assert load_values(refused.values)["when"] == "b'x'"


@pytest.mark.parametrize(
    ("meant", "given"),
    [
        ("subscriber_id", "subscriberId"),
        ("subscriber_id", "subscriber-id"),
        ("provider_id", "provder_id"),
        ("token", "Token"),
    ],
)
def test_a_misspelt_field_is_named_where_the_right_one_is_missing(meant: str, given: str) -> None:
    """The reason of a refused row says which of its fields was probably meant."""
    values = {"subscriber_id": "u", "provider_id": "fcm", "token": "t"}
    values[given] = values.pop(meant)
    refused = read(values)
    assert isinstance(refused, Invalid)
    assert refused.reason.endswith(f"; is {given!r} meant to be it?")


def test_no_field_is_guessed_where_the_right_one_is_there_and_empty() -> None:
    """An empty value is what is wrong then, whatever the others are called."""
    values = {"subscriber_id": "", "subscriberId": "u", "provider_id": "fcm", "token": "t"}
    refused = read(values)
    assert isinstance(refused, Invalid)
    assert "meant" not in refused.reason
