"""What PUT, PATCH and DELETE of credentials store."""

from typing import Any

import pytest
from raw_http import put, send

from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio

HOOK = "https://example.com/hook"
ERAS = pytest.mark.parametrize("era", ["2024", "2026"])

# Stored credentials, method, credentials sent, stored afterwards.
WRITES: list[tuple[dict[str, Any] | None, str, dict[str, Any], dict[str, Any]]] = [
    (None, "PUT", {"deviceTokens": ["a", "b", "a"]}, {"deviceTokens": ["a", "b"]}),
    (None, "PATCH", {"deviceTokens": ["a", "b", "a"]}, {"deviceTokens": ["a", "b"]}),
    (None, "PUT", {"deviceTokens": []}, {"deviceTokens": []}),
    (None, "PATCH", {}, {}),
    (None, "PUT", {"deviceTokens": None, "webhookUrl": None}, {}),
    (None, "PUT", {"webhookUrl": HOOK, "channel": ""}, {"webhookUrl": HOOK, "channel": ""}),
    (None, "PUT", {"webhookUrl": 5, "channel": ["x"]}, {"webhookUrl": 5, "channel": ["x"]}),
    (None, "PUT", {"alertUid": "1", "title": "t", "imageUrl": "i", "state": "s"}, {}),
    ({"deviceTokens": ["a"]}, "PUT", {"deviceTokens": ["b", "b"]}, {"deviceTokens": ["b"]}),
    ({"deviceTokens": ["a"]}, "PATCH", {"deviceTokens": ["b"]}, {"deviceTokens": ["a", "b"]}),
    ({"deviceTokens": ["a"]}, "PATCH", {"deviceTokens": ["a"]}, {"deviceTokens": ["a"]}),
    (
        {"deviceTokens": ["a", "b"]},
        "PATCH",
        {"deviceTokens": ["c", "a"]},
        {"deviceTokens": ["a", "b", "c"]},
    ),
    ({"deviceTokens": ["a"]}, "PATCH", {"deviceTokens": []}, {"deviceTokens": []}),
    ({"deviceTokens": ["a"]}, "PUT", {"deviceTokens": []}, {"deviceTokens": []}),
    ({"deviceTokens": ["a"]}, "PATCH", {}, {"deviceTokens": []}),
    ({"deviceTokens": ["a"]}, "PATCH", {"deviceTokens": None}, {"deviceTokens": []}),
    (
        {"deviceTokens": ["a"]},
        "PATCH",
        {"webhookUrl": HOOK},
        {"webhookUrl": HOOK, "deviceTokens": []},
    ),
    (
        {"webhookUrl": HOOK, "channel": "c"},
        "PUT",
        {"deviceTokens": ["a"]},
        {"webhookUrl": HOOK, "channel": "c", "deviceTokens": ["a"]},
    ),
    (
        {"webhookUrl": HOOK},
        "PUT",
        {"webhookUrl": None, "channel": "c"},
        {"webhookUrl": HOOK, "channel": "c", "deviceTokens": []},
    ),
    ({"webhookUrl": HOOK}, "PUT", {"webhookUrl": ""}, {"webhookUrl": "", "deviceTokens": []}),
    ({"webhookUrl": HOOK}, "PUT", {"title": "t"}, {"webhookUrl": HOOK, "deviceTokens": []}),
]


@ERAS
@pytest.mark.parametrize(("stored", "method", "sent", "expected"), WRITES)
async def test_what_is_stored(
    era: Any,
    stored: dict[str, Any] | None,
    method: str,
    sent: dict[str, Any],
    expected: dict[str, Any],
) -> None:
    """Only deviceTokens are replaced or appended; a list that is not sent wipes the old one."""
    async with LocalNovu(era=era) as local:
        if stored is not None:
            local.add_subscriber("u1", channels=[{"providerId": "fcm", "credentials": stored}])
        reply = await put(local, "u1", "fcm", sent, method=method)
        assert reply.status == 200
        assert reply.channels == [{"providerId": "fcm", "credentials": expected}]
        assert reply.json["data"] == local.subscribers["u1"]


ODD_TOKENS: list[tuple[Any, list[Any]]] = [
    ("abc", ["a", "b", "c"]),
    ("aab", ["a", "b"]),
    ([1, "1", None, "", 1.0, True], [1, "1", None, "", True]),
    ([{}, {}, []], [{}, {}, []]),
]


@pytest.mark.parametrize(("sent", "stored"), ODD_TOKENS)
async def test_tokens_are_not_validated(sent: Any, stored: list[Any]) -> None:
    """A string becomes its letters, and whatever is in a list is stored."""
    async with LocalNovu() as local:
        assert (await put(local, "u1", "fcm", {"deviceTokens": sent})).status == 200
        assert local.device_tokens("u1", "fcm") == stored


@ERAS
@pytest.mark.parametrize("tokens", [7, {}, True, {"a": 1}])
async def test_tokens_that_cannot_be_iterated_are_500(era: Any, tokens: Any) -> None:
    """A number or object where the list should be breaks the API."""
    async with LocalNovu(era=era) as local:
        reply = await put(local, "u1", "fcm", {"deviceTokens": tokens})
        assert reply.status == 500
        assert "errorId" in reply.json
        assert local.device_tokens("u1", "fcm") == []


async def test_nothing_is_written_when_nothing_changes(clock: Any) -> None:
    """Equal credentials leave `updatedAt` alone; the same tokens in another order do not."""
    async with LocalNovu(clock=clock) as local:
        first = (await put(local, "u1", "fcm", {"deviceTokens": ["a", "b"]})).json["data"]
        clock.advance(10)
        same = (await put(local, "u1", "fcm", {"deviceTokens": ["a", "b"]})).json["data"]
        other = (await put(local, "u1", "fcm", {"deviceTokens": ["b", "a"]})).json["data"]
    assert same["updatedAt"] == first["updatedAt"] < other["updatedAt"]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_2026_limits_a_channel_to_100_tokens(method: str) -> None:
    """The list that would be stored may have 100 tokens; PATCH counts the union."""
    full = [str(number) for number in range(100)]
    async with LocalNovu() as local:
        assert (await put(local, "u1", "fcm", {"deviceTokens": full})).status == 200
        sent = ["new"] if method == "PATCH" else [*full, "new"]
        reply = await put(local, "u1", "fcm", {"deviceTokens": sent}, method=method)
        assert local.device_tokens("u1", "fcm") == full
    limits = {"currentCount": 101, "limit": 100}
    assert {**reply.json, "timestamp": ""} == {
        **limits,
        "statusCode": 400,
        "timestamp": "",
        "path": "/v1/subscribers/u1/credentials",
        "message": "Device tokens limit exceeded. Maximum allowed tokens per subscriber channel "
        "is 100, but got 101 tokens.",
        "ctx": limits,
    }


async def test_2024_has_no_limit_of_tokens() -> None:
    """In 2024 a channel takes any number of tokens."""
    async with LocalNovu(era="2024") as local:
        tokens = [str(number) for number in range(500)]
        assert (await put(local, "u1", "fcm", {"deviceTokens": tokens})).status == 200


@ERAS
async def test_the_newest_active_integration_is_chosen(era: Any) -> None:
    """Activating a newer integration makes calls without an identifier open a second channel."""
    async with LocalNovu(
        era=era, integrations=[{"providerId": "fcm", "identifier": "old"}]
    ) as local:
        await put(local, "u1", "fcm", {"deviceTokens": ["a"]})
        local.add_integration("fcm", "new")
        local.add_integration("fcm", "off", active=False)
        await put(local, "u1", "fcm", {"deviceTokens": ["b"]}, method="PATCH")
        await put(local, "u1", "fcm", {"deviceTokens": ["c"]}, method="PATCH", identifier="old")
        assert local.device_tokens("u1", "fcm", "old") == ["a", "c"]
        assert local.device_tokens("u1", "fcm", "new") == ["b"]
        assert local.device_tokens("u1", "fcm") == ["a", "c", "b"]


@ERAS
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(
    ("provider_id", "identifier"),
    [("apns", None), ("fcm", "unknown"), ("fcm", "slack-main"), ("fcm", "fcm-off"), ("slack", "x")],
)
async def test_a_missing_integration_is_400(
    era: Any, method: str, provider_id: str, identifier: str | None
) -> None:
    """No integration, an unknown or foreign identifier and an inactive one share one message."""
    integrations: list[dict[str, Any]] = [
        {"providerId": "fcm", "identifier": "fcm-main"},
        {"providerId": "fcm", "identifier": "fcm-off", "active": False},
        {"providerId": "slack", "identifier": "slack-main"},
    ]
    async with LocalNovu(era=era, integrations=integrations) as local:
        reply = await put(local, "u1", provider_id, {}, method=method, identifier=identifier)
        environment = f"Subscribers environment ({local.environment_id})"
    text = f"{environment} do not have active {provider_id} integration."
    assert (reply.status, reply.message, reply.json["error"]) == (400, text, "Bad Request")


@pytest.mark.parametrize("provider_id", ["foo", "FCM", ""])
async def test_an_unknown_provider_has_no_integration_in_2024(provider_id: str) -> None:
    """In 2024 any string is a provider; without an integration it is 400."""
    async with LocalNovu(era="2024") as local:
        reply = await put(local, "u1", provider_id, {})
    assert reply.status == 400
    assert reply.message.endswith(f") do not have active {provider_id} integration.")


@ERAS
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_an_unknown_subscriber_is_400_on_writes(era: Any, method: str) -> None:
    """The subscriber is looked for before the integration, and never created."""
    async with LocalNovu(era=era, strict=True) as local:
        reply = await put(local, "ghost", "fcm", {}, method=method)
        assert local.subscribers == {}
    assert (reply.status, reply.message) == (400, "SubscriberId: ghost not found")


@ERAS
async def test_an_unknown_subscriber_is_404_on_delete(era: Any) -> None:
    """DELETE of credentials answers 404, with another text."""
    async with LocalNovu(era=era, strict=True) as local:
        reply = await send(local, "DELETE", "/v1/subscribers/ghost/credentials/fcm")
    assert (reply.status, reply.message) == (404, "Subscriber not found for id ghost")


@ERAS
async def test_delete_removes_all_channels_of_the_provider(era: Any) -> None:
    """DELETE empties a provider whatever its integrations, and answers 204 without content."""
    async with LocalNovu(era=era) as local:
        await put(local, "u1", "fcm", {"deviceTokens": ["a"]})
        local.add_integration("fcm", "newer")
        await put(local, "u1", "fcm", {"deviceTokens": ["b"]})
        await put(local, "u1", "slack", {"webhookUrl": HOOK})
        for _ in range(2):
            reply = await send(local, "DELETE", "/v1/subscribers/u1/credentials/fcm")
            assert (reply.status, reply.body) == (204, b"")
            assert "content-type" not in reply.headers
        assert [one["providerId"] for one in local.subscribers["u1"]["channels"]] == ["slack"]


@ERAS
@pytest.mark.parametrize("provider_id", ["nonsense", "FCM", "%2F", "apns"])
async def test_delete_is_204_for_any_provider(era: Any, provider_id: str) -> None:
    """DELETE checks no provider and no integration; another case removes nothing."""
    async with LocalNovu(era=era) as local:
        await put(local, "u1", "fcm", {"deviceTokens": ["a"]})
        reply = await send(local, "DELETE", f"/v1/subscribers/u1/credentials/{provider_id}")
        assert reply.status == 204
        assert local.device_tokens("u1", "fcm") == ["a"]


@ERAS
async def test_the_answer_is_the_stored_document(era: Any) -> None:
    """A write answers the subscriber as it is stored, with the API's field names."""
    async with LocalNovu(era=era) as local:
        local.add_subscriber("u1", firstName="Ada", email=None)
        data = (await put(local, "u1", "fcm", {"deviceTokens": ["a"]})).json["data"]
        integration = next(one for one in local.integrations if one["providerId"] == "fcm")
    assert set(data) == {
        "_id", "id", "_organizationId", "_environmentId", "subscriberId", "firstName", "email",
        "channels", "deleted", "createdAt", "updatedAt", "__v",
    }  # fmt: skip
    assert data["email"] is None
    assert data["id"] == data["_id"] != data["subscriberId"]
    assert data["channels"][0]["_integrationId"] == integration["_id"]


async def test_an_id_of_the_database_is_not_a_subscriber_id() -> None:
    """The 24 hexadecimal digits of `_id` are just another subscriber id."""
    async with LocalNovu(subscribers=["u1"]) as local:
        assert (await put(local, local.subscribers["u1"]["_id"], "fcm", {})).status == 400
