"""The examples that users bring along run as they are, with only their import lines changed."""

import asyncio
import json
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from core_doubles import http, serve

import novu_async
from novu_async import Novu
from novu_async.testing import LocalNovu

UPDATE = """
import novu_py
from novu_py import Novu
import os

with Novu(
    api_key=os.getenv("NOVU_API_KEY", ""),
) as novu:

    res = novu.subscribers.credentials.update(subscriber_id="<id>", update_subscriber_channel_request_dto={
        "provider_id": novu_py.UpdateSubscriberChannelRequestDtoProviderID.PUSHPAD,
        "credentials": {
            "webhook_url": "https://example.com/webhook",
            "channel": "general",
            "device_tokens": [
                "token1",
                "token2",
                "token3",
            ],
            "alert_uid": "12345-abcde",
            "title": "Critical Alert",
            "image_url": "https://example.com/image.png",
            "state": "resolved",
            "external_url": "https://example.com/details",
        },
    })

    # Handle response
    print(res)
"""  # noqa: E501, the text of the example

APPEND = UPDATE.replace("credentials.update(", "credentials.append(").replace("PUSHPAD", "ZULIP")

DELETE = """
from novu_py import Novu
import os

with Novu(
    api_key=os.getenv("NOVU_API_KEY", ""),
) as novu:

    res = novu.subscribers.credentials.delete(subscriber_id="<id>", provider_id="<id>")

    # Handle response
    print(res)
"""

EXAMPLES = {"PUT": UPDATE, "PATCH": APPEND, "DELETE": DELETE}
SENT = {
    "webhookUrl": "https://example.com/webhook",
    "channel": "general",
    "deviceTokens": ["token1", "token2", "token3"],
    "alertUid": "12345-abcde",
    "title": "Critical Alert",
    "imageUrl": "https://example.com/image.png",
    "state": "resolved",
    "externalUrl": "https://example.com/details",
}
PROVIDERS = {"PUT": "pushpad", "PATCH": "zulip"}


def run_blocking(example: str) -> Any:
    """Run an example through novu_sync, and return its `res`."""
    names: dict[str, Any] = {}
    text = example.replace("import novu_py\n", "import novu_sync as novu_py\n")
    exec(text.replace("from novu_py import", "from novu_sync import"), names)  # noqa: S102
    return names["res"]


def run_awaited(example: str) -> Any:
    """Run an example through novu_async, in a coroutine and with its call awaited."""
    text = example.replace("import novu_py\n", "import novu_async as novu_py\n")
    text = text.replace("from novu_py import", "from novu_async import")
    text = text.replace("with Novu(", "async with Novu(").replace("res = novu", "res = await novu")
    body = textwrap.indent(text + "\nreturn res\n", "    ")
    names: dict[str, Any] = {}
    exec(f"async def main():\n{body}", names)  # noqa: S102
    return asyncio.run(names["main"]())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalNovu]:
    """Serve in a thread, as the server that the environment names."""
    with LocalNovu.in_thread() as server:
        monkeypatch.setenv("NOVU_API_KEY", server.api_key)
        monkeypatch.setenv("NOVU_SERVER_URL", server.url)
        yield server


@pytest.mark.parametrize("run", [run_blocking, run_awaited])
@pytest.mark.parametrize("method", EXAMPLES)
def test_an_example_runs(
    method: str,
    run: Callable[[str], Any],
    server: LocalNovu,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each example sends what it says, prints the answer, and returns the documented class."""
    server.add_subscriber("<id>")
    res = run(EXAMPLES[method])
    assert capsys.readouterr().out == f"{res}\n"
    (seen,) = server.requests
    assert (seen.method, seen.subscriber_id) == (method, "<id>")
    assert seen.headers["authorization"] == f"ApiKey {server.api_key}"
    if method == "DELETE":
        assert seen.path == "/v1/subscribers/%3Cid%3E/credentials/%3Cid%3E"
        assert type(res) is (
            novu_async.models.SubscribersControllerDeleteSubscriberCredentialsResponse
        )
        assert res.headers["connection"] == ["keep-alive"]
        return
    assert seen.path == "/v1/subscribers/%3Cid%3E/credentials"
    assert seen.json == {"providerId": PROVIDERS[method], "credentials": SENT}
    channel = res.result.channels[0]
    assert channel.provider_id == PROVIDERS[method]
    assert channel.credentials.device_tokens == ["token1", "token2", "token3"]
    assert channel.credentials.webhook_url == "https://example.com/webhook"
    assert server.device_tokens("<id>", PROVIDERS[method]) == ["token1", "token2", "token3"]
    kind = {"PUT": "Update", "PATCH": "Modify"}[method]
    name = f"SubscribersController{kind}SubscriberChannelResponse"
    assert type(res) is getattr(novu_async.models, name)


@pytest.mark.parametrize("run", [run_blocking, run_awaited])
@pytest.mark.parametrize("era", ["2024", "2026"])
def test_the_documented_errors_are_raised(
    era: str, run: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """400, 404 and 409 are an ErrorDto, 422 a ValidationErrorDto, the rest an APIError."""
    models = novu_async.models
    monkeypatch.setenv("NOVU_API_KEY", "local-novu-api-key")
    with LocalNovu.in_thread(era=era, subscribers=["<id>"], integrations=["slack"]) as server:
        monkeypatch.setenv("NOVU_SERVER_URL", server.url)
        unknown = 'subscriber_id="ghost"'
        for example, status in ((UPDATE, 400), (APPEND, 400), (DELETE, 404)):
            with pytest.raises(models.ErrorDto) as caught:
                run(example.replace('subscriber_id="<id>"', unknown))
            assert caught.value.status_code == status
        with pytest.raises(models.ErrorDto, match="do not have active pushpad"):
            run(UPDATE)
        wrong = UPDATE.replace(
            "novu_py.UpdateSubscriberChannelRequestDtoProviderID.PUSHPAD", "'foo'"
        )
        with pytest.raises(models.ErrorDto if era == "2024" else models.ValidationErrorDto):
            run(wrong)
        monkeypatch.setenv("NOVU_API_KEY", "of-another-region")
        with pytest.raises(models.APIError, match="API Key not found"):
            run(DELETE)


@pytest.mark.parametrize("package", ["novu_async", "novu_sync"])
def test_every_name_of_the_examples_documents_exists(package: str) -> None:
    """Parameters, response classes, error classes and the retry settings have their names."""
    sdk = __import__(package)
    for kind in (
        "UpdateSubscriberChannel",
        "ModifySubscriberChannel",
        "DeleteSubscriberCredentials",
    ):
        for controller in ("SubscribersController", "SubscribersV1Controller"):
            assert hasattr(sdk.models, f"{controller}{kind}Response")
    for name in ("ErrorDto", "ValidationErrorDto", "APIError", "UpdateSubscriberChannelRequestDto"):
        assert isinstance(getattr(sdk.models, name), type)
    provider = sdk.UpdateSubscriberChannelRequestDtoProviderID
    assert (provider.PUSHPAD, provider.ZULIP) == ("pushpad", "zulip")
    backoff = sdk.utils.BackoffStrategy(1, 50, 1.1, 100)
    assert sdk.utils.RetryConfig("backoff", backoff, False).retry_connection_errors is False


CURL_BODY = """{
"providerId": "slack",
"integrationIdentifier": "<string>",
"credentials": {
"webhookUrl": "https://example.com/webhook",
"channel": "general",
"deviceTokens": [
"token1",
"token2",
"token3"
],
"alertUid": "12345-abcde",
"title": "Critical Alert",
"imageUrl": "https://example.com/image.png",
"state": "resolved",
"externalUrl": "https://example.com/details"
}
}"""

ANSWER = """{
"data": {
"_id": "<string>",
"firstName": "<string>",
"lastName": "<string>",
"email": "<string>",
"phone": "<string>",
"avatar": "<string>",
"locale": "<string>",
"channels": [
{
"providerId": "slack",
"integrationIdentifier": "<string>",
"credentials": {
"webhookUrl": "https://example.com/webhook",
"channel": "general",
"deviceTokens": [
"token1",
"token2",
"token3"
],
"alertUid": "12345-abcde",
"title": "Critical Alert",
"imageUrl": "https://example.com/image.png",
"state": "resolved",
"externalUrl": "https://example.com/details"
},
"_integrationId": "<string>"
}
],
"topics": [
"<string>"
],
"isOnline": true,
"lastOnlineAt": "<string>",
"__v": 123,
"data": {},
"timezone": "<string>",
"subscriberId": "<string>",
"_organizationId": "<string>",
"_environmentId": "<string>",
"deleted": true,
"createdAt": "<string>",
"updatedAt": "<string>"
}
}"""


@pytest.mark.anyio
async def test_the_curl_request_is_reproduced_and_its_answer_decoded() -> None:
    """Method, path, headers and JSON value are those of the curl line; every field is decoded."""
    async with (
        serve([http(ANSWER.encode())]) as server,
        Novu("18d2e625f05d80e", server_url=server.url) as novu,
    ):
        body = json.loads(CURL_BODY)
        res = await novu.subscribers.credentials.update("{subscriberId}", body)
    (seen,) = server.requests
    assert seen.line == "PUT /v1/subscribers/%7BsubscriberId%7D/credentials HTTP/1.1"
    assert seen.header("authorization") == ["ApiKey 18d2e625f05d80e"]
    assert seen.header("content-type") == ["application/json"]
    assert json.loads(seen.body) == body
    assert len(seen.body) == len(json.dumps(body, separators=(",", ":")))
    assert res.result == novu_async.SubscriberResponseDto(
        id="<string>",
        first_name="<string>",
        last_name="<string>",
        email="<string>",
        phone="<string>",
        avatar="<string>",
        locale="<string>",
        channels=[
            novu_async.ChannelSettingsDto(
                provider_id="slack",
                integration_identifier="<string>",
                integration_id="<string>",
                credentials=novu_async.ChannelCredentials(
                    webhook_url="https://example.com/webhook",
                    channel="general",
                    device_tokens=["token1", "token2", "token3"],
                    alert_uid="12345-abcde",
                    title="Critical Alert",
                    image_url="https://example.com/image.png",
                    state="resolved",
                    external_url="https://example.com/details",
                ),
            )
        ],
        topics=["<string>"],
        is_online=True,
        last_online_at="<string>",
        v=123,
        data={},
        timezone="<string>",
        subscriber_id="<string>",
        organization_id="<string>",
        environment_id="<string>",
        deleted=True,
        created_at="<string>",
        updated_at="<string>",
    )
    assert res.headers["content-type"] == ["application/json"]


@pytest.mark.anyio
async def test_the_asynchronous_example_of_the_official_sdk_runs() -> None:
    """Its `..._async` methods and its `timeout_ms` are those of `novu_async`, awaited alike."""
    request = {"provider_id": "fcm", "credentials": {"device_tokens": ["token-1"]}}
    async with (
        LocalNovu() as local,
        Novu(secret_key=lambda: local.api_key, server_url=local.url) as n,
    ):
        calls = n.subscribers.credentials
        await calls.update_async(
            subscriber_id="u1", update_subscriber_channel_request_dto=request, timeout_ms=5_000
        )
        res = await calls.append_async(
            subscriber_id="u1", update_subscriber_channel_request_dto=request, timeout_ms=5_000
        )
        assert res.result.subscriber_id == "u1"
        await calls.delete_async(subscriber_id="u1", provider_id="fcm", timeout_ms=5_000)
        assert [seen.method for seen in local.requests] == ["PUT", "PATCH", "DELETE"]


@pytest.mark.anyio
async def test_a_time_limit_in_milliseconds_ends_a_call() -> None:
    """`timeout_ms` of a call wins over the client's timeout."""
    async with (
        LocalNovu() as local,
        Novu(local.api_key, server_url=local.url, retries=None) as novu,
    ):
        local.faults.next("stall")
        with pytest.raises(novu_async.APITimeoutError, match=r"within 0\.02 s"):
            await novu.subscribers.credentials.delete("u1", "fcm", timeout_ms=20)
