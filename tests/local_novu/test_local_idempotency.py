"""Idempotency keys: what is remembered, and how it comes back."""

import asyncio
from typing import Any

import pytest
from raw_http import connect, make_request, put, send

from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio

ERAS = pytest.mark.parametrize("era", ["2024", "2026"])
KEY = {"Idempotency-Key": "key-1"}
TOKENS = {"deviceTokens": ["a"]}
DOCS = "https://docs.novu.co/additional-resources/idempotency"


async def append(local: LocalNovu, subscriber_id: str, **options: Any) -> Any:
    """Send one PATCH with the key."""
    return await put(local, subscriber_id, "fcm", TOKENS, method="PATCH", headers=KEY, **options)


@ERAS
async def test_a_success_is_replayed_for_any_subscriber(era: Any) -> None:
    """The key ignores the path: another subscriber gets the first one's answer."""
    async with LocalNovu(era=era, subscribers=["u1"], idempotency=True) as local:
        first = await append(local, "u1")
        again = await append(local, "ghost")
        assert list(local.subscribers) == ["u1"]
    assert (first.status, again.status) == (200, 200)
    assert again.body == first.body
    assert first.headers["idempotency-key"] == again.headers["idempotency-key"] == "key-1"
    assert "idempotency-replay" not in first.headers
    assert again.headers["idempotency-replay"] == "true"


async def test_post_replays_with_its_own_status() -> None:
    """A replayed creation is 201 again."""
    async with LocalNovu(idempotency=True) as local:
        for replay in (None, "true"):
            body = {"subscriberId": "u1"}
            reply = await send(local, "POST", "/v1/subscribers", body=body, headers=KEY)
            assert (reply.status, reply.headers.get("idempotency-replay")) == (201, replay)


@ERAS
async def test_an_error_is_frozen(era: Any) -> None:
    """A 400 comes back after its cause is gone, with the path and time of the new request."""
    async with LocalNovu(era=era, strict=True, integrations=["fcm"], idempotency=True) as local:
        first = await append(local, "u1")
        local.add_subscriber("u1")
        again = await append(local, "u1")
        assert (first.status, again.status) == (400, 400)
        assert again.message == first.message == "SubscriberId: u1 not found"
        assert again.headers["idempotency-replay"] == "true"
        assert local.device_tokens("u1", "fcm") == []


@ERAS
async def test_a_validation_error_is_frozen(era: Any) -> None:
    """Validation runs behind the key: its error is remembered as well."""
    async with LocalNovu(era=era, idempotency=True) as local:
        path = "/v1/subscribers/u1/credentials"
        replies = [await send(local, "PATCH", path, body={}, headers=KEY) for _ in range(2)]
    assert {reply.status for reply in replies} == {400 if era == "2024" else 422}
    assert replies[0].json.get("errors") == replies[1].json.get("errors")
    assert replies[1].headers["idempotency-replay"] == "true"


@pytest.mark.parametrize(
    ("era", "message"),
    [
        ("2024", {"message": "Internal Server Error", "statusCode": 500}),
        ("2026", "Internal server error, contact support and provide them with the errorId"),
    ],
)
async def test_a_500_is_replayed(era: Any, message: Any) -> None:
    """In 2024 a replayed 500 has an object as its message, and a new errorId."""
    async with LocalNovu(era=era, idempotency=True) as local:
        replies = [
            await put(local, "u1", "fcm", {"deviceTokens": 7}, method="PATCH", headers=KEY)
            for _ in range(2)
        ]
    assert [reply.status for reply in replies] == [500, 500]
    assert replies[1].message == message
    assert replies[0].json["errorId"] != replies[1].json["errorId"]


async def test_errors_may_be_replayed_as_503() -> None:
    """From the end of 2024 to August 2026 every remembered error came back as a bare 503."""
    async with LocalNovu(strict=True, idempotency=True, replayed_errors="503") as local:
        first = await append(local, "u1")
        again = await append(local, "u1")
    assert (first.status, again.status) == (400, 503)
    assert again.message == "Service Unavailable"
    assert again.json["ctx"] == {"statusCode": 503}
    assert again.headers["idempotency-replay"] == "true"


@ERAS
async def test_another_body_is_422(era: Any) -> None:
    """The same key with another body is refused, without a map of errors."""
    async with LocalNovu(era=era, idempotency=True) as local:
        await append(local, "u1")
        reply = await put(local, "u1", "fcm", {}, method="PATCH", headers=KEY)
    assert reply.status == 422
    assert reply.message == 'Request with key "key-1" is being reused for a different body'
    assert reply.json["error"] == "Unprocessable Entity"
    assert "errors" not in reply.json
    assert reply.headers["link"] == DOCS
    assert reply.headers["idempotency-key"] == "key-1"


async def test_key_order_matters_and_white_space_does_not() -> None:
    """The body is compared as parsed and written again: the order of keys stays."""
    path = "/v1/subscribers/u1/credentials"
    async with LocalNovu(idempotency=True) as local:
        statuses = [
            (await send(local, "PATCH", path, body=body, headers=KEY)).status
            for body in (
                b'{"providerId":"fcm","credentials":{}}',
                b'{ "providerId" : "fcm",\n"credentials":{} }',
                b'{"credentials":{},"providerId":"fcm"}',
            )
        ]
    assert statuses == [200, 200, 422]


@ERAS
async def test_a_request_in_progress_is_409(era: Any) -> None:
    """A second request with the key, while the first runs, is told to wait a second."""
    async with LocalNovu(era=era, idempotency=True, latency=0.005) as local:
        replies = await asyncio.gather(*(append(local, "u1") for _ in range(2)))
        replies.sort(key=lambda reply: reply.status)
    first, second = replies
    assert (first.status, second.status) == (200, 409)
    text = 'Request with key "key-1" is currently being processed. Please retry after 1 second'
    assert second.message == text
    assert (second.headers["retry-after"], second.headers["link"]) == ("1", DOCS)
    assert second.json["error"] == "Conflict"


@ERAS
async def test_a_long_key_is_400_and_not_echoed(era: Any) -> None:
    """A key may have 255 characters."""
    async with LocalNovu(era=era, idempotency=True) as local:
        fits = await put(
            local, "u1", "fcm", {}, method="PATCH", headers={"Idempotency-Key": "k" * 255}
        )
        key = "k" * 256
        reply = await put(local, "u1", "fcm", {}, method="PATCH", headers={"Idempotency-Key": key})
    assert (fits.status, reply.status) == (200, 400)
    text = f'idempotencyKey "{key}" has exceeded the maximum allowed length of 255 characters'
    assert reply.message == text
    assert "idempotency-key" not in reply.headers


async def test_put_and_delete_ignore_the_key() -> None:
    """Only POST and PATCH have keys; others do not echo them."""
    async with LocalNovu(idempotency=True) as local:
        first = await put(local, "u1", "fcm", {"deviceTokens": ["a"]}, headers=KEY)
        second = await put(local, "u1", "fcm", {"deviceTokens": ["b"]}, headers=KEY)
        path = "/v1/subscribers/u1/credentials/apns"
        third = await send(local, "DELETE", path, headers=KEY)
        assert local.device_tokens("u1", "fcm") == ["b"]
    for reply in (first, second, third):
        assert "idempotency-key" not in reply.headers


async def test_off_by_default() -> None:
    """Without idempotency=True the header is ignored."""
    async with LocalNovu() as local:
        await append(local, "u1")
        reply = await append(local, "u2")
        assert "idempotency-key" not in reply.headers
        assert local.device_tokens("u2", "fcm") == ["a"]


async def test_refusals_before_the_key_are_not_remembered() -> None:
    """401, 429 and malformed JSON leave the key unused."""
    path = "/v1/subscribers/u1/credentials"
    async with LocalNovu(idempotency=True, rate_limit=1) as local:
        assert (await send(local, "PATCH", path, body={}, headers=KEY, key="x")).status == 401
        assert (await send(local, "PATCH", path, body=b"{", headers=KEY)).status == 400
        while (await put(local, "u2", "fcm", {})).status == 200:
            pass
        assert (await append(local, "u1")).status == 429
    async with LocalNovu(idempotency=True) as local:
        assert (await append(local, "u1")).status == 200


async def test_results_are_kept_for_a_day(clock: Any) -> None:
    """After 24 hours the key is new again."""
    async with LocalNovu(idempotency=True, clock=clock) as local:
        await append(local, "u1")
        clock.advance(24 * 3600 - 1)
        assert "idempotency-replay" in (await append(local, "u1")).headers
        clock.advance(1)
        assert "idempotency-replay" not in (await append(local, "u1")).headers


async def test_an_abandoned_request_is_replayed() -> None:
    """What a client no longer waited for is carried out once and then replayed."""
    body = {"providerId": "fcm", "credentials": TOKENS}
    async with LocalNovu(idempotency=True, latency=0.001) as local, connect(local) as (_, writer):
        path = "/v1/subscribers/u1/credentials"
        writer.write(make_request(local, "PATCH", path, body=body, headers=KEY))
        await writer.drain()
        writer.transport.abort()
        reply = await append(local, "u1")
        while reply.status == 409 or not local.requests:
            reply = await append(local, "u1")
        assert reply.status == 200
        assert local.device_tokens("u1", "fcm") == ["a"]
