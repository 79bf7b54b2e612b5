"""The helper routes: subscribers v1 and v2, bulk creation, integrations."""

import asyncio
from typing import Any

import pytest
from raw_http import put, send

from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio

ERAS = pytest.mark.parametrize("era", ["2024", "2026"])
V1 = "/v1/subscribers"
V2 = "/v2/subscribers"
CHANNEL = {"providerId": "fcm", "credentials": {"deviceTokens": ["a"]}}


@ERAS
async def test_create_and_update_answer_201(era: Any) -> None:
    """POST v1 is an upsert; null keeps a field, except `email`."""
    async with LocalNovu(era=era, strict=True) as local:
        first = {"subscriberId": " u1 ", "firstName": "Ada", "email": "a@b.co", "data": {"x": 1}}
        created = await send(local, "POST", V1, body=first)
        change = {"subscriberId": "u1", "firstName": None, "email": None, "lastName": "L"}
        updated = await send(local, "POST", V1, body=change)
        stored = local.subscribers["u1"]
    assert (created.status, updated.status) == (201, 201)
    assert created.json["data"]["subscriberId"] == "u1"
    assert created.json["data"]["channels"] == []
    assert (stored["firstName"], stored["lastName"], stored["email"]) == ("Ada", "L", None)
    assert stored["data"] == {"x": 1}


@ERAS
async def test_create_with_channels_stores_them(era: Any) -> None:
    """POST v1 with channels on a new id stores the channel; until 2024 its answer has none."""
    async with LocalNovu(era=era, integrations=["fcm"], strict=True) as local:
        body = {"subscriberId": "u1", "channels": [CHANNEL]}
        created = await send(local, "POST", V1, body=body)
        assert created.status == 201
        assert created.channels == ([] if era == "2024" else [CHANNEL])
        assert local.device_tokens("u1", "fcm") == ["a"]
        more = {**CHANNEL, "credentials": {"deviceTokens": ["b"]}}
        again = await send(local, "POST", V1, body={"subscriberId": "u1", "channels": [more]})
        assert again.status == 201
        assert local.device_tokens("u1", "fcm") == ["a", "b"]


async def test_create_with_a_missing_integration_creates_and_fails() -> None:
    """The subscriber is there before its channels are tried."""
    async with LocalNovu(strict=True) as local:
        body = {"subscriberId": "u1", "channels": [CHANNEL]}
        reply = await send(local, "POST", V1, body=body)
        assert reply.status == 400
        assert "u1" in local.subscribers


async def test_an_update_with_one_provider_twice_doubles_its_channel() -> None:
    """Both entries are merged with the same old copy of the subscriber."""
    async with LocalNovu(subscribers=["u1"]) as local:
        body = {"subscriberId": "u1", "channels": [CHANNEL, CHANNEL]}
        await send(local, "POST", V1, body=body)
        assert local.device_tokens("u1", "fcm") == ["a", "a"]


async def test_concurrent_creations_make_one_subscriber() -> None:
    """The index is unique: every creation succeeds and there is one document."""
    async with LocalNovu(strict=True) as local:
        calls = (send(local, "POST", V1, body={"subscriberId": "u1"}) for _ in range(20))
        replies = await asyncio.gather(*calls)
        assert {reply.status for reply in replies} == {201}
        assert len({reply.json["data"]["_id"] for reply in replies}) == 1


@pytest.mark.parametrize("route", [V1, V2])
async def test_a_new_id_is_trimmed(route: str) -> None:
    """White space around it is left out; other invisible characters stay."""
    async with LocalNovu(strict=True) as local:
        for given in (" u1\u2029", "u1", "\u200bu1"):
            await send(local, "POST", route, body={"subscriberId": given})
        assert set(local.subscribers) == {"u1", "\u200bu1"}


@ERAS
async def test_get_list_update_delete(era: Any) -> None:
    """The other v1 routes, and what they answer for a subscriber that is not there."""
    async with LocalNovu(era=era, subscribers=["u1", "u2", "u3"]) as local:
        assert (await send(local, "GET", f"{V1}/u1")).json["data"] == local.subscribers["u1"]
        page = (await send(local, "GET", f"{V1}?page=1&limit=2")).json
        assert [one["subscriberId"] for one in page.pop("data")] == ["u3"]
        assert page == {"page": 1, "hasMore": False, "pageSize": 2}
        updated = await send(local, "PUT", f"{V1}/u1", body={"email": "", "firstName": "Ada"})
        assert (updated.status, updated.json["data"]["email"]) == (200, None)
        deleted = await send(local, "DELETE", f"{V1}/u1")
        assert deleted.json == {"data": {"acknowledged": True, "status": "deleted"}}
        assert "u1" not in local.subscribers
        for method, status, text in (
            ("GET", 404, "Subscriber not found for id u1"),
            ("DELETE", 404, "Subscriber not found for id u1"),
            ("PUT", 400, "SubscriberId: u1 not found"),
        ):
            reply = await send(local, method, f"{V1}/u1", body={})
            assert (reply.status, reply.message) == (status, text)


async def test_a_deleted_subscriber_stays_deleted() -> None:
    """Where any subscriber exists on first use, one that was deleted must be created again."""
    async with LocalNovu() as local:
        await put(local, "u1", "fcm", {"deviceTokens": ["a"]})
        await send(local, "DELETE", f"{V1}/u1")
        assert (await put(local, "u1", "fcm", {})).status == 400
        await send(local, "POST", V1, body={"subscriberId": "u1"})
        assert (await put(local, "u1", "fcm", {})).status == 200


@ERAS
async def test_bulk_upserts_and_writes_channels_raw(era: Any) -> None:
    """Bulk answers what was new; channels replace all others and lack `_integrationId`."""
    async with LocalNovu(era=era, subscribers=["old"]) as local:
        items = [{"subscriberId": "old", "channels": [CHANNEL]}, {"subscriberId": "new"}]
        reply = await send(local, "POST", f"{V1}/bulk", body={"subscribers": items})
        assert reply.status == 201
        assert reply.json["data"] == {
            "updated": [{"subscriberId": "old"}],
            "created": [{"subscriberId": "new"}],
            "failed": [],
        }
        assert local.subscribers["old"]["channels"] == [CHANNEL]
        await put(local, "old", "fcm", {"deviceTokens": ["b"]}, method="PATCH")
        assert len(local.subscribers["old"]["channels"]) == 2


async def test_2024_creates_a_deleted_id_by_bulk_only() -> None:
    """The unique index of 2024 counts deleted ids: POST answers null and creates nothing."""
    async with LocalNovu(era="2024", subscribers=["u1"]) as local:
        await send(local, "DELETE", f"{V1}/u1")
        reply = await send(local, "POST", V1, body={"subscriberId": "u1"})
        assert (reply.status, reply.json) == (201, {"data": None})
        assert local.subscribers == {}
        await send(local, "POST", f"{V1}/bulk", body={"subscribers": [{"subscriberId": "u1"}]})
        assert list(local.subscribers) == ["u1"]


async def test_bulk_brings_a_deleted_subscriber_back() -> None:
    """An id that was deleted is undeleted with its old document."""
    async with LocalNovu(subscribers=["u1"]) as local:
        before = local.subscribers["u1"]["_id"]
        await send(local, "DELETE", f"{V1}/u1")
        body = {"subscribers": [{"subscriberId": "u1"}]}
        reply = await send(local, "POST", f"{V1}/bulk", body=body)
        assert reply.json["data"]["updated"] == [{"subscriberId": "u1"}]
        assert local.subscribers["u1"]["_id"] == before


async def test_v2_create_overwrites_absent_data() -> None:
    """POST v2 on an existing subscriber replaces `data` that was not sent with {}."""
    async with LocalNovu(strict=True) as local:
        first = {"subscriberId": "u1", "firstName": "Ada", "data": {"x": 1}}
        created = await send(local, "POST", V2, body=first)
        again = await send(local, "POST", V2, body={"subscriberId": "u1", "firstName": ""})
        refused = await send(local, "POST", f"{V2}?failIfExists=true", body=first)
        stored = local.subscribers["u1"]
    assert (created.status, again.status, refused.status) == (201, 201, 409)
    assert refused.message == 'Subscriber with id "u1" already exists'
    assert refused.json["error"] == "Conflict"
    assert (stored["firstName"], stored["data"]) == ("Ada", {})


async def test_v2_get_and_patch_answer_a_mapped_subscriber(clock: Any) -> None:
    """v2 answers have no `id` and no `__v`; PATCH shows the old `updatedAt`."""
    async with LocalNovu(
        subscribers=[{"subscriberId": "u1", "channels": []}], clock=clock
    ) as local:
        shown = (await send(local, "GET", f"{V2}/u1")).json["data"]
        assert not {"id", "__v"} & set(shown)
        assert (shown["isOnline"], shown["lastOnlineAt"], shown["channels"]) == (None, None, [])
        clock.advance(5)
        body = {"firstName": "Ada", "lastName": None, "email": None}
        patched = (await send(local, "PATCH", f"{V2}/u1", body=body)).json["data"]
        stored = local.subscribers["u1"]
    assert (patched["firstName"], patched["email"], "lastName" in patched) == ("Ada", None, False)
    assert patched["updatedAt"] == shown["updatedAt"] < stored["updatedAt"]


async def test_v2_can_leave_the_channels_out() -> None:
    """As servers of early 2025 did, whose v1 has them."""
    async with LocalNovu(v2_channels=False) as local:
        local.add_subscriber("u1", channels=[CHANNEL])
        assert "channels" not in (await send(local, "GET", f"{V2}/u1")).json["data"]
        assert (await send(local, "GET", f"{V1}/u1")).channels[0]["credentials"] == {
            "deviceTokens": ["a"]
        }


async def test_a_channel_can_be_without_an_integration() -> None:
    """As after POST bulk: writes pass it by, DELETE removes it."""
    async with LocalNovu() as local:
        local.add_subscriber("u1", channels=[{**CHANNEL, "_integrationId": None}])
        assert local.subscribers["u1"]["channels"] == [CHANNEL]
        local.add_integration("fcm")
        await send(local, "PUT", f"{V1}/u1/credentials", body=CHANNEL)
        assert len(local.subscribers["u1"]["channels"]) == 2
        await send(local, "DELETE", f"{V1}/u1/credentials/fcm")
        assert local.subscribers["u1"]["channels"] == []


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("GET", "Subscriber: ghost was not found"),
        ("PATCH", "Subscriber ghost was not found"),
        ("DELETE", "Subscriber: ghost was not found"),
    ],
)
async def test_v2_of_an_unknown_subscriber_is_404(method: str, message: str) -> None:
    """v2 has texts of its own for a missing subscriber."""
    async with LocalNovu(strict=True) as local:
        reply = await send(local, method, f"{V2}/ghost", body={})
    assert (reply.status, reply.message) == (404, message)


@ERAS
async def test_integrations_are_listed(era: Any) -> None:
    """Both lists come in an envelope; since 2026 keys do not see credentials."""
    integrations: list[dict[str, Any]] = [
        {"providerId": "fcm", "active": False},
        {"providerId": "slack"},
    ]
    async with LocalNovu(era=era, integrations=integrations) as local:
        everything = (await send(local, "GET", "/v1/integrations")).json["data"]
        active = (await send(local, "GET", "/v1/integrations/active")).json["data"]
    assert [one["providerId"] for one in everything] == ["fcm", "slack"]
    assert [one["identifier"] for one in active] == ["slack"]
    assert [one["channel"] for one in everything] == ["push", "chat"]
    assert ("credentials" in everything[0]) == (era == "2024")
