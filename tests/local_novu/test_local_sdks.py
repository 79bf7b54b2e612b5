"""Other people's SDKs against LocalNovu: they find the API that they were written for."""

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from novu_async.testing import LocalNovu

pytestmark = [
    pytest.mark.anyio,
    # The official SDK warns about its own models, the community one about its own imports.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def novu_py() -> Any:
    """Import the official SDK."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import novu_py as module
    return module


@pytest.fixture
def local() -> Iterator[LocalNovu]:
    """Run a LocalNovu of 2026 beside the blocking SDKs."""
    with LocalNovu.in_thread(idempotency=True, rate_limit=2000) as running:
        yield running


@pytest.fixture
def official(novu_py: Any, local: LocalNovu) -> Iterator[Any]:
    """Make the official client, without retries."""
    with novu_py.Novu(secret_key=local.api_key, server_url=local.url) as client:
        yield client


def make_request(provider_id: str, *tokens: str) -> dict[str, Any]:
    """Make the official SDK's request."""
    return {"provider_id": provider_id, "credentials": {"device_tokens": list(tokens)}}


def test_official_update_append_delete(official: Any, local: LocalNovu) -> None:
    """The three calls reach the store, and their answers are parsed into models."""
    credentials = official.subscribers.credentials
    dto = "update_subscriber_channel_request_dto"
    updated = credentials.update(subscriber_id="a b@c", **{dto: make_request("fcm", "a")})
    assert updated.result.subscriber_id == "a b@c"
    assert updated.result.channels[0].credentials.device_tokens == ["a"]
    appended = credentials.append(subscriber_id="a b@c", **{dto: make_request("fcm", "b")})
    assert appended.result.channels[0].credentials.device_tokens == ["a", "b"]
    assert appended.headers["idempotency-key"]
    assert appended.headers["ratelimit-limit"] == ["10000"]
    assert local.device_tokens("a b@c", "fcm") == ["a", "b"]
    credentials.delete(subscriber_id="a b@c", provider_id="fcm")
    assert local.device_tokens("a b@c", "fcm") == []


async def test_official_async(novu_py: Any) -> None:
    """The official client's async methods work as well."""
    async with LocalNovu() as local:
        async with novu_py.Novu(secret_key=local.api_key, server_url=local.url) as client:
            for token in ("a", "b"):
                await client.subscribers.credentials.append_async(
                    subscriber_id="u1",
                    update_subscriber_channel_request_dto=make_request("apns", token),
                )
            await client.subscribers.credentials.delete_async(
                subscriber_id="u1", provider_id="expo"
            )
        assert local.device_tokens("u1", "apns") == ["a", "b"]


def test_official_errors_are_parsed(novu_py: Any) -> None:
    """400, 401, 404 and the token limit arrive as ErrorDto, with what the API says."""
    models = novu_py.models
    with LocalNovu.in_thread(strict=True, integrations=["fcm"]) as local:
        local.add_subscriber("u1")
        with novu_py.Novu(secret_key=local.api_key, server_url=local.url) as client:
            credentials = client.subscribers.credentials
            dto = "update_subscriber_channel_request_dto"
            with pytest.raises(models.ErrorDto) as error:
                credentials.update(subscriber_id="ghost", **{dto: make_request("fcm")})
            assert error.value.data.message == "SubscriberId: ghost not found"
            assert error.value.data.status_code == 400
            assert error.value.data.ctx == {"error": "Bad Request", "statusCode": 400}
            with pytest.raises(models.ErrorDto) as error:
                credentials.delete(subscriber_id="ghost", provider_id="fcm")
            assert error.value.data.status_code == 404
            tokens = [str(number) for number in range(101)]
            with pytest.raises(models.ErrorDto) as error:
                credentials.update(subscriber_id="u1", **{dto: make_request("fcm", *tokens)})
            assert error.value.data.ctx == {"currentCount": 101, "limit": 100}
        with (
            novu_py.Novu(secret_key="wrong", server_url=local.url) as client,
            pytest.raises(models.ErrorDto) as error,
        ):
            client.subscribers.credentials.delete(subscriber_id="u1", provider_id="fcm")
        assert error.value.data.status_code == 401


def test_official_validation_error_is_parsed(novu_py: Any, local: LocalNovu) -> None:
    """A 422 arrives as ValidationErrorDto with its map of errors."""
    import httpx

    class Spoiler(httpx.HTTPTransport):
        """Send a provider that the SDK itself would refuse."""

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            headers = {k: v for k, v in request.headers.items() if k != "content-length"}
            body = b'{"providerId":"foo","credentials":{}}'
            spoilt = httpx.Request(request.method, request.url, headers=headers, content=body)
            return super().handle_request(spoilt)

    with (
        httpx.Client(transport=Spoiler()) as http,
        novu_py.Novu(secret_key=local.api_key, server_url=local.url, client=http) as client,
        pytest.raises(novu_py.models.ValidationErrorDto) as error,
    ):
        client.subscribers.credentials.update(
            subscriber_id="u1", update_subscriber_channel_request_dto=make_request("fcm")
        )
    assert error.value.data.message == "Validation Error"
    messages = error.value.data.errors["general"].messages
    assert messages == ["providerId must be a valid provider ID"]


def test_official_subscribers(official: Any, local: LocalNovu) -> None:
    """Create, retrieve, patch and remove a subscriber, and list integrations."""
    dto = {"subscriber_id": "u1", "first_name": "Ada"}
    assert official.subscribers.create(create_subscriber_request_dto=dto).result.first_name == "Ada"
    local.add_subscriber(
        "u1", channels=[{"providerId": "fcm", "credentials": {"deviceTokens": ["a"]}}]
    )
    found = official.subscribers.retrieve(subscriber_id="u1").result
    assert found.channels[0].credentials.device_tokens == ["a"]
    patch = {"last_name": "L"}
    patched = official.subscribers.patch(subscriber_id="u1", patch_subscriber_request_dto=patch)
    assert patched.result.last_name == "L"
    assert official.subscribers.delete(subscriber_id="u1").result.acknowledged is True
    bulk = official.subscribers.create_bulk(
        bulk_subscriber_create_dto={"subscribers": [{"subscriber_id": "u2"}]}
    ).result
    assert [one.subscriber_id for one in bulk.created] == ["u2"]
    listed = official.integrations.list().result
    assert {one.provider_id for one in listed} >= {"fcm", "slack"}


@pytest.mark.parametrize("era", ["2024", "2026"])
def test_community_sdk(era: Any) -> None:
    """The community client updates and deletes credentials, in both eras."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from novu.api import SubscriberApi
        from novu.dto.subscriber import SubscriberDto
        from novu.enums import PushProviderIdEnum
    with LocalNovu.in_thread(era=era) as local:
        api: Any = SubscriberApi(local.url, local.api_key)
        created = api.create(SubscriberDto(subscriber_id="u1", email="a@b.co"))
        assert created.subscriber_id == "u1"
        api.credentials("u1", PushProviderIdEnum.FCM, device_tokens=["a", "b"])
        assert local.device_tokens("u1", "fcm") == ["a", "b"]
        assert [one.subscriber_id for one in api.list().data] == ["u1"]
        assert api.get("u1").channels[0].credentials.device_tokens == ["a", "b"]
        api.delete_credentials("u1", PushProviderIdEnum.FCM)
        assert local.device_tokens("u1", "fcm") == []
        api.delete("u1")
        assert "u1" not in local.subscribers
