"""What the API objects to in a request, in both eras."""

from typing import Any

import pytest
from raw_http import put, send

from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio

PATH = "/v1/subscribers/u1/credentials"
UNDEFINED = "should not be null or undefined"
NO_PROVIDER_2024 = [f"providerId {UNDEFINED}", "providerId must be a string"]
NO_PROVIDER_2026 = [f"providerId {UNDEFINED}", "providerId must be a valid provider ID"]
NO_CREDENTIALS = [f"credentials {UNDEFINED}", "credentials must be an object"]

OBJECTIONS_2024: list[tuple[Any, list[str]]] = [
    ({}, [*NO_PROVIDER_2024, *NO_CREDENTIALS]),
    ([], [*NO_PROVIDER_2024, *NO_CREDENTIALS]),
    ([{"providerId": "fcm", "credentials": {}}], [*NO_PROVIDER_2024, *NO_CREDENTIALS]),
    ({"providerId": "fcm"}, NO_CREDENTIALS),
    ({"providerId": "fcm", "credentials": None}, NO_CREDENTIALS),
    ({"providerId": "fcm", "credentials": "x"}, ["credentials must be an object"]),
    ({"providerId": "fcm", "credentials": []}, ["credentials must be an object"]),
    ({"credentials": {}}, NO_PROVIDER_2024),
    ({"providerId": None, "credentials": {}}, NO_PROVIDER_2024),
    ({"providerId": ["fcm"], "credentials": {}}, ["providerId must be a string"]),
    (
        {"providerId": 5, "credentials": [], "integrationIdentifier": 5},
        [
            "providerId must be a string",
            "integrationIdentifier must be a string",
            "credentials must be an object",
        ],
    ),
]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(("body", "messages"), OBJECTIONS_2024)
async def test_2024_answers_400_with_a_list(method: str, body: Any, messages: list[str]) -> None:
    """The 2024 API answers 400 and lists every objection as `message`."""
    async with LocalNovu(era="2024") as local:
        reply = await send(local, method, PATH, body=body)
    assert reply.status == 400
    assert reply.json["timestamp"].endswith("Z")
    assert {**reply.json, "timestamp": ""} == {
        "statusCode": 400,
        "timestamp": "",
        "path": PATH,
        "message": messages,
        "error": "Bad Request",
    }


OBJECTIONS_2026: list[tuple[Any, list[str]]] = [
    ({}, [*NO_PROVIDER_2026, *NO_CREDENTIALS]),
    ({"providerId": "foo", "credentials": {}}, NO_PROVIDER_2026[1:]),
    ({"providerId": "sendgrid", "credentials": {}}, NO_PROVIDER_2026[1:]),
    ({"providerId": "FCM", "credentials": {}}, NO_PROVIDER_2026[1:]),
    ({"providerId": "fcm", "deviceTokens": ["a"]}, NO_CREDENTIALS),
    (
        {"providerId": "fcm", "credentials": {}, "integrationIdentifier": 1},
        ["integrationIdentifier must be a string"],
    ),
]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(("body", "messages"), OBJECTIONS_2026)
async def test_2026_answers_422_with_a_map(method: str, body: Any, messages: list[str]) -> None:
    """Since 2025 the API answers 422 with all objections under `errors.general`."""
    async with LocalNovu() as local:
        reply = await send(local, method, PATH, body=body)
    assert reply.status == 422
    assert {**reply.json, "timestamp": ""} == {
        "statusCode": 422,
        "timestamp": "",
        "path": PATH,
        "message": "Validation Error",
        "ctx": {},
        "errors": {"general": {"messages": messages, "value": "No Value Recorded"}},
    }


@pytest.mark.parametrize("era", ["2024", "2026"])
@pytest.mark.parametrize("identifier", [None, ""])
async def test_a_blank_identifier_counts_as_none(era: Any, identifier: Any) -> None:
    """A null or empty integrationIdentifier is ignored, and so are unknown fields."""
    body = {
        "providerId": "fcm",
        "credentials": {"deviceTokens": ["a"], "more": 1},
        "integrationIdentifier": identifier,
        "unknown": {},
    }
    async with LocalNovu(era=era) as local:
        reply = await send(local, "PUT", PATH, body=body)
        assert reply.status == 200
        assert local.device_tokens("u1", "fcm") == ["a"]


async def test_2024_takes_any_provider_with_an_integration() -> None:
    """In 2024 an e-mail provider is accepted and stored, if it has an active integration."""
    async with LocalNovu(era="2024", integrations=["sendgrid"]) as local:
        reply = await put(local, "u1", "sendgrid", {"webhookUrl": "x"})
        assert reply.status == 200
        assert reply.channels == [{"providerId": "sendgrid", "credentials": {"webhookUrl": "x"}}]


CREATION_2024: list[tuple[Any, list[str]]] = [
    ({}, [f"subscriberId {UNDEFINED}", "subscriberId must be a string"]),
    ({"subscriberId": 5}, ["subscriberId must be a string"]),
    ({"subscriberId": "  "}, ["subscriberId should not be empty"]),
    (
        {"subscriberId": "a", "email": "x", "locale": "!!", "data": 5, "channels": 5},
        [
            "email must be an email",
            "locale must be locale",
            "data must be an object",
            "channels must be an array",
        ],
    ),
    ({"subscriberId": "a", "email": ""}, ["email must be an email"]),
    ({"subscriberId": "a", "firstName": 5}, ["firstName must be a string"]),
]


@pytest.mark.parametrize(("body", "messages"), CREATION_2024)
async def test_creation_is_validated(body: Any, messages: list[str]) -> None:
    """POST /v1/subscribers refuses what is not a subscriber, and stores nothing."""
    async with LocalNovu(era="2024") as local:
        reply = await send(local, "POST", "/v1/subscribers", body=body)
        assert (reply.status, reply.message) == (400, messages)
        assert local.subscribers == {}


async def test_creation_in_2026_asks_for_an_id() -> None:
    """Since 2025 an empty id is refused by the schema, with a text of its own."""
    async with LocalNovu() as local:
        none = await send(local, "POST", "/v1/subscribers", body={})
        blank = await send(local, "POST", "/v1/subscribers", body={"subscriberId": ""})
    required = "SubscriberId is required"
    messages = [f"subscriberId {UNDEFINED}", required, "subscriberId must be a string"]
    assert none.json["errors"]["general"]["messages"] == messages
    assert blank.json["errors"]["general"]["messages"] == [required]


async def test_creation_in_2026_names_the_field() -> None:
    """An id of spaces only passes the schema and fails in the use case, keyed by its field."""
    async with LocalNovu() as local:
        reply = await send(local, "POST", "/v1/subscribers", body={"subscriberId": "  "})
    assert reply.status == 422
    assert reply.json["errors"] == {
        "subscriberId": {"messages": ["subscriberId should not be empty"], "value": ""}
    }


NESTED = "subscribers.nested property subscribers must be either object or array"
BULK_2024: list[tuple[Any, list[str]]] = [
    ({}, ["subscribers should not be empty", "subscribers must be an array"]),
    ({"subscribers": []}, ["subscribers should not be empty"]),
    ({"subscribers": ["x"]}, [NESTED]),
    ({"subscribers": [None]}, [NESTED]),
    (
        {"subscribers": [{}, {"subscriberId": "a", "email": "x"}]},
        [
            f"subscribers.0.subscriberId {UNDEFINED}",
            "subscribers.0.subscriberId must be a string",
            "subscribers.1.email must be an email",
        ],
    ),
    (
        {"subscribers": [{"subscriberId": "a"}] * 501},
        ["subscribers must contain no more than 500 elements"],
    ),
]


@pytest.mark.parametrize(("body", "messages"), BULK_2024)
async def test_bulk_is_validated(body: Any, messages: list[str]) -> None:
    """POST /v1/subscribers/bulk names the item and the field."""
    async with LocalNovu(era="2024") as local:
        reply = await send(local, "POST", "/v1/subscribers/bulk", body=body)
    assert (reply.status, reply.message) == (400, messages)


async def test_2026_has_no_limit_of_500() -> None:
    """Since 2025 more than 500 items in one bulk call are accepted."""
    items = [{"subscriberId": f"s{number}"} for number in range(501)]
    async with LocalNovu() as local:
        reply = await send(local, "POST", "/v1/subscribers/bulk", body={"subscribers": items})
        assert reply.status == 201
        assert len(local.subscribers) == 501
