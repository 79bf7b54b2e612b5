"""Several integrations of one provider, lists of them that cannot be read, and old servers."""

import asyncio
import gc
import json
import sys
import weakref
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from yarl import URL

from novu_async import (
    APIError,
    BackoffStrategy,
    CallInfo,
    ClientClosedError,
    DeviceTokenLimitError,
    ErrorDto,
    IntegrationNotFoundError,
    InvalidRequestError,
    Novu,
    NovuError,
    Observer,
    RetryConfig,
    ServerError,
)
from novu_async.testing import FaultKind, LocalNovu

pytestmark = pytest.mark.anyio


MANY = [f"t{i:03}" for i in range(110)]
LARGE = [f"{i:02}" + "x" * 2_000 for i in range(60)]


def fcm(tokens: list[str], webhook_url: str | None = None, **more: Any) -> dict[str, Any]:
    """A channel of fcm with these tokens, for LocalNovu to store."""
    credentials: dict[str, Any] = {"deviceTokens": tokens}
    if webhook_url is not None:
        credentials["webhookUrl"] = webhook_url
    return {"providerId": "fcm", "credentials": credentials, **more}


@pytest.fixture
async def moved(novu: Novu, local: LocalNovu) -> str:
    """A subscriber with tokens of an integration than which there is a newer one; its id."""
    await novu.subscribers.device_tokens.add("u", "fcm", ["a", "b"])
    old: str = local.subscribers["u"]["channels"][0]["_integrationId"]
    local.add_integration("fcm", "fcm-new")
    return old


@pytest.mark.parametrize(
    ("verb", "arguments", "left"),
    [
        ("remove", ["a"], ["b"]),
        ("clear", [], []),
        ("rotate", ["a", "c"], ["c", "b"]),
        ("replace", [["d"]], ["d"]),
    ],
)
async def test_verbs_change_the_channel_that_there_is(
    novu: Novu, local: LocalNovu, moved: str, verb: str, arguments: list[object], left: list[str]
) -> None:
    """A token that was removed gets no more pushes, also after a newer integration came."""
    result = await getattr(novu.subscribers.device_tokens, verb)("u", "fcm", *arguments)
    assert result.integration_id == moved
    assert local.device_tokens("u", "fcm") == left
    assert len(local.subscribers["u"]["channels"]) == 1


async def test_an_add_goes_where_the_api_puts_it(novu: Novu, local: LocalNovu, moved: str) -> None:
    """To the newest integration; the older channel stays, and verbs then mean the newer one."""
    tokens = novu.subscribers.device_tokens
    result = await tokens.add("u", "fcm", "c")
    assert result.integration_id != moved
    assert local.device_tokens("u", "fcm", "fcm-new") == ["c"]
    assert (await tokens.list("u", "fcm")).device_tokens == ("c",)


@pytest.mark.parametrize("fault", ["error_500", "html_error", "truncated_json"])
@pytest.mark.parametrize("is_older", [False, True])
async def test_an_add_does_not_fail_for_a_list_that_cannot_be_read(
    novu: Novu, local: LocalNovu, moved: str, fault: FaultKind, is_older: bool
) -> None:
    """The write has succeeded; the list of integrations only helps to tell channels apart.

    One that was read before, and has not the integration, does not mean that it was lost.
    """
    if is_older:
        await novu.subscribers.device_tokens.list("u", "fcm")
        local.add_integration("fcm", "newest")
    local.faults.next(fault, method="GET", times=4)
    result = await novu.subscribers.device_tokens.add("u", "fcm", "c")
    assert "c" in result.device_tokens
    assert result.resent == ()


def fail_the_list(local: LocalNovu, times: int) -> None:
    """Let the read of the subscriber pass, and the list of integrations after it fail."""
    local.faults.next("error_500", method="GET", after=1, times=times)


@pytest.mark.parametrize(
    ("verb", "arguments", "old", "new"),
    [
        ("remove", ["c"], ["a", "b"], ["d"]),
        ("rotate", ["c", "e"], ["a", "b"], ["e", "d"]),
        ("clear", [], ["a", "b"], []),
        ("replace", [["f"]], ["a", "b"], ["f"]),
    ],
)
@pytest.mark.parametrize("identifier", [None, "fcm-new"])
async def test_a_list_that_cannot_be_read_mixes_no_channels_up(
    local: LocalNovu,
    verb: str,
    arguments: list[object],
    old: list[str],
    new: list[str],
    identifier: str | None,
) -> None:
    """A verb waits for it or fails; it never takes one channel's tokens for another's."""
    retries = RetryConfig("backoff", BackoffStrategy(1, 1, 1, 60_000))
    async with Novu(local.api_key, server_url=local.url, retries=retries) as novu:
        await novu.subscribers.device_tokens.add("u", "fcm", ["a", "b"])
        local.add_integration("fcm", "fcm-new")
        await novu.subscribers.device_tokens.add("u", "fcm", ["c", "d"])
    async with Novu(local.api_key, server_url=local.url, retries=None) as novu:
        call = partial(getattr(novu.subscribers.device_tokens, verb), "u", "fcm", *arguments)
        fail_the_list(local, times=2)
        with pytest.raises(ServerError):
            await call(integration_identifier=identifier)
        assert local.device_tokens("u", "fcm", "fcm") == ["a", "b"]
        assert local.device_tokens("u", "fcm", "fcm-new") == ["c", "d"]
    async with Novu(local.api_key, server_url=local.url, retries=retries) as novu:
        call = partial(getattr(novu.subscribers.device_tokens, verb), "u", "fcm", *arguments)
        fail_the_list(local, times=3)
        await call(integration_identifier=identifier)
        assert local.device_tokens("u", "fcm", "fcm") == old
        assert local.device_tokens("u", "fcm", "fcm-new") == new


async def test_a_channel_of_an_integration_newer_than_the_list_is_found(
    novu: Novu, local: LocalNovu, moved: str
) -> None:
    """What is remembered of integrations does not hide the newest channel from the verbs."""
    tokens = novu.subscribers.device_tokens
    assert (await tokens.list("u", "fcm")).integration_id == moved
    newest = local.add_integration("fcm", "newest")
    async with Novu(local.api_key, server_url=local.url) as other:
        await other.subscribers.device_tokens.add("u", "fcm", "c")
    result = await tokens.remove("u", "fcm", "c")
    assert (result.change, result.integration_id) == ("removed", newest)
    assert local.device_tokens("u", "fcm", "newest") == []


@pytest.fixture
async def nine(local: LocalNovu) -> list[str]:
    """Nine subscribers, each with channels of two integrations; their ids."""
    local.add_subscriber("u", channels=[fcm(["a"])])
    old = local.subscribers["u"]["channels"]
    local.add_integration("fcm", "new")
    names = [f"u{number}" for number in range(9)]
    for name in names:
        local.add_subscriber(name, channels=[*old, fcm(["b"])])
    return names


def count_lists(local: LocalNovu) -> int:
    """Count the requests for the list of integrations."""
    return [request.path for request in local.requests].count("/v1/integrations/active")


async def test_verbs_that_need_the_integrations_ask_for_them_once(
    novu: Novu, local: LocalNovu, nine: list[str]
) -> None:
    """Those that come while the list is being read share it."""
    tokens = novu.subscribers.device_tokens
    results = await asyncio.gather(*(tokens.list(name, "fcm") for name in nine))
    assert [result.device_tokens for result in results] == [("b",)] * 9
    assert count_lists(local) == 1
    async with Novu(local.api_key, server_url=local.url) as other:
        add = other.subscribers.device_tokens.add
        await asyncio.gather(
            *(add(name, "fcm", "c", integration_identifier="new") for name in nine)
        )
    assert count_lists(local) == 2


async def test_a_list_that_is_shared_fails_each_by_itself(
    novu: Novu, local: LocalNovu, nine: list[str]
) -> None:
    """Every verb has an error of its own, which counts its own requests."""
    local.faults.next("error_500", method="GET", after=9, times=9)
    list_tokens = novu.subscribers.device_tokens.list
    calls = (list_tokens(name, "fcm") for name in nine)
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(error, ServerError) for error in errors)
    assert len({id(error) for error in errors}) == 9
    assert {error.attempts for error in errors if isinstance(error, ServerError)} == {2}
    assert count_lists(local) == 1


@pytest.mark.parametrize("ends", ["the first verb", "the client"])
async def test_a_list_that_is_shared_outlives_who_asked_for_it(
    local: LocalNovu, nine: list[str], ends: str
) -> None:
    """Not so where the client is closed: then the verbs learn that."""
    async with Novu(local.api_key, server_url=local.url) as novu:
        list_tokens = novu.subscribers.device_tokens.list
        fault: FaultKind = "stall" if ends == "the client" else "slow_reply"
        local.faults.next(fault, method="GET", after=1)
        first = asyncio.create_task(list_tokens(nine[0], "fcm"))
        while not count_lists(local):
            await asyncio.sleep(0)
        second = asyncio.create_task(list_tokens(nine[1], "fcm"))
        while len(local.requests) < 3 or local.requests[2].status is None:
            await asyncio.sleep(0)
        if ends == "the client":
            await novu.aclose()
            for task in (first, second):
                with pytest.raises(ClientClosedError):
                    await task
        else:
            first.cancel()
            assert (await second).device_tokens == ("b",)
        assert count_lists(local) == 1


async def test_a_list_that_fails_hides_none_that_comes_at_the_same_moment() -> None:
    """The verb that had read it did without it, and took one channel for another."""
    ids = {"old": "a", "new": "b"}
    integrations = [{"_id": one, "providerId": "fcm", "createdAt": ids[one]} for one in ids]
    channels = [fcm([ids[one]], _integrationId=one) for one in ids]
    asked, failed = list[web.Request](), asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"data": {"subscriberId": "u", "channels": channels}})

    async def list_integrations(request: web.Request) -> web.Response:
        asked.append(request)
        if len(asked) == 2:
            failed.set()
            return web.json_response({}, status=403)
        await failed.wait()
        return web.json_response({"data": integrations})

    app = web.Application()
    app.router.add_get("/v1/integrations/active", list_integrations)
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server, Novu("key", server_url=str(server.make_url("/"))) as novu:
        listed = asyncio.create_task(novu.subscribers.device_tokens.list("u", "fcm"))
        while not asked:
            await asyncio.sleep(0)
        await novu.subscribers.device_tokens.add("v", "fcm", "b")
        assert (await listed).device_tokens == ("b",)


async def test_a_list_that_failed_keeps_nothing_of_its_caller(local: LocalNovu) -> None:
    """The traceback of an observer's error would, with all that the caller's variables hold."""

    class Failing(Observer):
        def call(self, call: CallInfo) -> AbstractContextManager[object]:
            raise OSError(call.operation)

    class Large:
        pass

    async def fail() -> weakref.ref[Large]:
        large = Large()
        with pytest.raises(OSError, match="integrations"):
            await novu.subscribers._reader.integrations()
        return weakref.ref(large)

    async with Novu(local.api_key, server_url=local.url, observer=Failing()) as novu:
        kept = await fail()
        await asyncio.sleep(0)  # until then the loop holds what it has just told
        gc.collect()
        assert kept() is None


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there are no eager tasks yet")
async def test_a_list_that_fails_before_its_first_wait_is_shared_with_nobody(
    local: LocalNovu, nine: list[str]
) -> None:
    """As it may where tasks are eager; its error was told to every verb that came later."""
    failures = [OSError("once")]

    class Failing(Observer):
        def call(self, call: CallInfo) -> AbstractContextManager[object]:
            if call.operation == "integrations" and failures:
                raise failures.pop()
            return nullcontext()

    loop = asyncio.get_running_loop()
    async with Novu(local.api_key, server_url=local.url, observer=Failing()) as novu:
        loop.set_task_factory(vars(asyncio)["eager_task_factory"])
        with pytest.raises(OSError, match="once"):
            await novu.subscribers.device_tokens.list(nine[0], "fcm")
        loop.set_task_factory(None)
        assert (await novu.subscribers.device_tokens.list(nine[0], "fcm")).device_tokens == ("b",)


async def test_a_list_that_is_under_way_hides_no_newer_integration(local: LocalNovu) -> None:
    """Who joins it asks anew where it lacks an integration that a channel has."""
    async with Novu(local.api_key, server_url=local.url) as novu:
        local.add_subscriber("u", channels=[fcm(["a"]), fcm(["x"], _integrationId="x")])
        local.faults.next("slow_reply", method="GET", after=1)
        first = asyncio.create_task(novu.subscribers.device_tokens.list("u", "fcm"))
        while not count_lists(local):
            await asyncio.sleep(0)
        new = local.add_integration("fcm", "new")
        local.add_subscriber("v", channels=[*local.subscribers["u"]["channels"], fcm(["n"])])
        result = await novu.subscribers.device_tokens.remove("v", "fcm", "n")
        assert (result.integration_id, result.removed) == (new, ("n",))
        await first


async def test_what_is_known_of_the_integrations_is_not_asked_again(
    novu: Novu, local: LocalNovu
) -> None:
    """Nor for a channel whose integration is not active."""
    local.add_subscriber("u", channels=[fcm(["a"]), fcm(["x"], _integrationId="switched off")])
    for _ in range(3):
        assert (await novu.subscribers.device_tokens.list("u", "fcm")).device_tokens == ("a",)
    assert count_lists(local) == 1


@pytest.mark.parametrize(
    ("fault", "lists"), [("redirect", 1), ("error_500", 3)], ids=["refused", "failed"]
)
async def test_a_list_that_is_refused_is_not_asked_for_at_once(
    novu: Novu, local: LocalNovu, fault: FaultKind, lists: int
) -> None:
    """A key that may not read it would cost every verb a request; a failure passes."""
    local.faults.next(fault, method="GET", times=9)
    await novu.subscribers.device_tokens.add("u", "fcm", "a")
    local.add_integration("fcm", "new")
    for number in range(3):
        await novu.subscribers.device_tokens.add("u", "fcm", f"{number}")
    assert count_lists(local) == lists


async def test_an_add_does_not_wait_for_retries_of_the_list(local: LocalNovu) -> None:
    """It is stored, whatever becomes of the list."""
    retries = RetryConfig("backoff", BackoffStrategy(1, 1, 1, 60_000))
    async with Novu(local.api_key, server_url=local.url, retries=retries) as novu:
        await novu.subscribers.device_tokens.add("u", "fcm", "a")
        local.add_integration("fcm", "new")
        local.faults.next("error_500", method="GET", times=9)
        await novu.subscribers.device_tokens.add("u", "fcm", "b")
    assert count_lists(local) == 1


async def test_a_third_integration_is_noticed_at_once(novu: Novu, local: LocalNovu) -> None:
    """What is remembered of integrations does not make a stored token look lost."""
    tokens = novu.subscribers.device_tokens
    await tokens.add("u", "fcm", "a")
    for name in ("second", "third", "fourth"):
        newest = local.add_integration("fcm", name)
        result = await tokens.add("u", "fcm", name)
        assert (result.integration_id, result.device_tokens) == (newest, (name,))
        assert result.requests == 1


async def test_a_newer_integration_is_noticed_where_nothing_is_to_be_written() -> None:
    """On servers before 2025 a clear makes the channel, of an integration not yet known."""
    async with (
        LocalNovu(era="2024") as local,
        Novu(local.api_key, server_url=local.url) as novu,
    ):
        tokens = novu.subscribers.device_tokens
        await tokens.add("u", "fcm", "a", integration_identifier="fcm")
        local.add_subscriber("v")
        local.add_integration("fcm", "fcm-new")
        result = await tokens.clear("v", "fcm")
        (channel,) = local.subscribers["v"]["channels"]
        assert result.integration_id == channel["_integrationId"]


async def test_an_answer_without_channels_is_looked_at_again(novu: Novu, local: LocalNovu) -> None:
    """A write whose answer is cut off is confirmed by a read, not sent again and again."""
    local.faults.next("truncated_json", method="PATCH")
    result = await novu.subscribers.device_tokens.add("u", "fcm", "a")
    assert result.device_tokens == ("a",)
    assert [request.method for request in local.requests] == ["PATCH", "GET"]


async def test_a_repair_that_its_caller_abandons_is_finished(novu: Novu, local: LocalNovu) -> None:
    """Between deleting and writing anew nobody's time-out counts, not even closing does."""
    channels = [
        {"providerId": "fcm", "credentials": {"deviceTokens": tokens}}
        for tokens in (["a", "b"], ["c"])
    ]
    local.add_subscriber("u", channels=channels)
    repair = asyncio.create_task(novu.subscribers.device_tokens.repair("u", "fcm"))
    while not any(request.method == "DELETE" for request in local.requests):
        await asyncio.sleep(0)
    repair.cancel()
    with pytest.raises(asyncio.CancelledError):
        await repair
    await novu.aclose()
    assert local.device_tokens("u", "fcm") == ["a", "b", "c"]


@pytest.mark.parametrize(
    "retries", [None, RetryConfig("backoff", BackoffStrategy(1, 1, 1, 60_000))]
)
async def test_a_repair_waits_for_the_list_of_integrations(
    local: LocalNovu, retries: RetryConfig | None
) -> None:
    """Without it the tokens would be written into the channel of another integration."""
    local.add_integration("fcm", "old")
    local.add_integration("fcm", "new")
    elements = [
        {"providerId": "fcm", "integrationIdentifier": "old", "credentials": {"deviceTokens": [t]}}
        for t in ("a", "b")
    ]
    local.add_subscriber("u", channels=elements)
    async with Novu(local.api_key, server_url=local.url, retries=retries) as novu:
        fail_the_list(local, times=1)
        with pytest.raises(ServerError) if retries is None else nullcontext():
            await novu.subscribers.device_tokens.repair("u", "fcm")
    assert local.device_tokens("u", "fcm", "old") == ["a", "b"]
    assert len(local.subscribers["u"]["channels"]) == (2 if retries is None else 1)


async def test_a_channel_that_an_answer_lacks_is_not_taken_for_an_empty_one() -> None:
    """A remove whose channel another process deleted meanwhile writes the others again."""
    stored: list[list[str] | None] = [["a", "b", "c"]]

    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("/active"):
            return web.json_response({"data": [{"_id": "i", "providerId": "fcm"}]})
        if request.method == "PUT":
            tokens = (await request.json())["credentials"]["deviceTokens"]
            stored.append(None if len(stored) == 1 else tokens)
        channels = [{"providerId": "fcm", "_integrationId": "i"}]
        channels[0]["credentials"] = {"deviceTokens": stored[-1]}  # type: ignore[assignment]
        shown = channels if stored[-1] else []
        return web.json_response({"data": {"subscriberId": "u", "channels": shown}})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server, Novu("key", server_url=str(server.make_url(""))) as novu:
        result = await novu.subscribers.device_tokens.remove("u", "fcm", "a")
    assert stored == [["a", "b", "c"], None, ["b", "c"]]
    assert (result.device_tokens, result.removed) == (("b", "c"), ("a",))


async def test_integrations_in_an_odd_form_are_passed_over() -> None:
    """What one integration says in place of texts keeps nobody from finding the others."""
    odd: list[dict[str, Any]] = [
        {"_id": ["x"], "providerId": ["fcm"], "identifier": {}, "createdAt": 1, "active": "no"},
        {"_id": {}, "providerId": None},
        {},
    ]
    channels = [fcm([one], _integrationId=one) for one in ("j", "i")]

    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("/active"):
            return web.json_response({"data": [*odd, {"_id": "i", "providerId": "fcm"}]})
        return web.json_response({"data": {"subscriberId": "u", "channels": channels}})

    app = web.Application()
    app.router.add_route("GET", "/{path:.*}", answer)
    async with TestServer(app) as server, Novu("key", server_url=str(server.make_url(""))) as novu:
        result = await novu.subscribers.device_tokens.list("u", "fcm")
    assert (result.integration_id, result.device_tokens) == ("i", ("i",))


@pytest.fixture
async def written_in_bulk(local: LocalNovu) -> str:
    """A subscriber whose channel has no integration, as `POST /v1/subscribers/bulk` leaves it."""
    item = {"subscriberId": "u", "channels": [fcm(["a", "b"])]}
    headers = {"Authorization": f"ApiKey {local.api_key}"}
    async with ClientSession(headers=headers) as session:
        url = f"{local.url}/v1/subscribers/bulk"
        async with session.post(url, json={"subscribers": [item]}) as answer:
            assert answer.status == 201
    assert "_integrationId" not in local.subscribers["u"]["channels"][0]
    return "u"


@pytest.mark.parametrize(
    ("verb", "arguments", "change", "left"),
    [
        ("add", ["c"], "stored", ["a", "b", "c"]),
        ("remove", ["a"], "removed", ["b"]),
        ("clear", [], "cleared", []),
        ("rotate", ["a", "c"], "rotated", ["c", "b"]),
        ("replace", [["d"]], "replaced", ["d"]),
        ("repair", [], "repaired", ["a", "b"]),
        ("list", [], "unchanged", ["a", "b"]),
    ],
)
@pytest.mark.parametrize("identifier", [None, "fcm"])
@pytest.mark.parametrize("confirm_after", [None, 0.001])
async def test_a_channel_without_an_integration_is_seen_and_changed(
    local: LocalNovu,
    written_in_bulk: str,
    verb: str,
    arguments: list[object],
    change: str,
    left: list[str],
    identifier: str | None,
    confirm_after: float | None,
) -> None:
    """The API pushes to its tokens through the newest integration, so they are that one's."""
    (main,) = [one["_id"] for one in local.integrations if one["identifier"] == "fcm"]
    async with Novu(local.api_key, server_url=local.url, confirm_after=confirm_after) as novu:
        call = partial(getattr(novu.subscribers.device_tokens, verb), written_in_bulk, "fcm")
        result = await call(*arguments, integration_identifier=identifier)
    assert (result.change, result.integration_id) == (change, main)
    assert sorted(local.device_tokens("u", "fcm")) == sorted(left)
    assert list(result.device_tokens) == left
    strays = [c for c in local.subscribers["u"]["channels"] if "_integrationId" not in c]
    assert result.duplicate_channels == len(strays) == (verb in ("add", "list"))


async def test_what_changes_no_token_merges_no_channels(
    novu: Novu, local: LocalNovu, written_in_bulk: str
) -> None:
    """Nothing is written, and nothing deleted meanwhile; the result says that there are some."""
    local.add_subscriber("v", channels=[fcm(["a"]), fcm(["b"])])
    tokens = novu.subscribers.device_tokens
    for name in (written_in_bulk, "v"):
        for call in (tokens.remove(name, "fcm", "x"), tokens.replace(name, "fcm", ["a", "b"])):
            result = await call
            assert (result.change, result.duplicate_channels) == ("unchanged", 1)
    assert {request.method for request in local.requests[1:]} == {"GET"}


async def test_a_channel_without_an_integration_leaves_those_of_others_alone(
    novu: Novu, local: LocalNovu
) -> None:
    """Its tokens are the newest integration's, and the older one's stay that one's."""
    local.add_subscriber("u", channels=[fcm(["old"]), fcm(["a", "b"], _integrationId=None)])
    new = local.add_integration("fcm", "new")
    tokens = novu.subscribers.device_tokens
    assert (await tokens.list("u", "fcm", integration_identifier="fcm")).device_tokens == ("old",)
    assert (await tokens.list("u", "fcm")).device_tokens == ("a", "b")
    result = await tokens.remove("u", "fcm", ["a", "old"])
    assert (result.removed, result.integration_id) == (("a",), new)
    assert local.device_tokens("u", "fcm", "fcm") == ["old"]
    assert local.device_tokens("u", "fcm", "new") == ["b"]
    assert len(local.subscribers["u"]["channels"]) == 2


async def test_a_token_that_is_in_a_channel_without_an_integration_only(
    novu: Novu, local: LocalNovu, written_in_bulk: str
) -> None:
    """Where its write was lost it gets pushes all the same, of the newest integration."""
    local.faults.next("overwritten", method="PATCH")
    result = await novu.subscribers.device_tokens.add(written_in_bulk, "fcm", "a")
    (main,) = [one["_id"] for one in local.integrations if one["identifier"] == "fcm"]
    assert (result.integration_id, result.duplicate_channels) == (main, 1)


async def test_a_channel_without_an_integration_of_a_server_of_2024() -> None:
    """Where an append shows what is stored, it is found too."""
    async with (
        LocalNovu(era="2024") as local,
        Novu(local.api_key, server_url=local.url) as novu,
    ):
        local.add_subscriber("u", channels=[fcm(["a", "b"], _integrationId=None)])
        assert (await novu.subscribers.device_tokens.remove("u", "fcm", "a")).removed == ("a",)
        assert local.device_tokens("u", "fcm") == ["b"]


async def test_where_no_integration_is_active_a_channel_without_one_is_only_read() -> None:
    """It could not be written again after the only request that removes it."""
    async with (
        LocalNovu(integrations=["apns"]) as local,
        Novu(local.api_key, server_url=local.url) as novu,
    ):
        local.add_subscriber("u", channels=[fcm(["a"], _integrationId=None)])
        tokens = novu.subscribers.device_tokens
        result = await tokens.list("u", "fcm")
        assert (result.device_tokens, result.integration_id) == (("a",), None)
        for call in (tokens.remove("u", "fcm", "a"), tokens.clear("u", "fcm")):
            with pytest.raises(NovuError, match=r"no active fcm integration; nothing was changed"):
                await call
        assert local.device_tokens("u", "fcm") == ["a"]


@pytest.mark.parametrize("known", [False, True])
async def test_a_token_in_another_integrations_channel_is_not_told_as_stored(
    local: LocalNovu, known: bool
) -> None:
    """A lost write leaves an answer that shows the token, but not where it was to go."""
    local.add_subscriber("u", channels=[fcm(["t"])])
    new = local.add_integration("fcm", "new")
    local.faults.next("overwritten", method="PATCH")
    async with Novu(local.api_key, server_url=local.url) as novu:
        tokens = novu.subscribers.device_tokens
        if known:
            await tokens.list("u", "fcm")
        identifier = None if known else "new"
        result = await tokens.add("u", "fcm", "t", integration_identifier=identifier)
    assert (result.integration_id, result.resent) == (new, ("t",))
    assert local.device_tokens("u", "fcm", "new") == ["t"]


async def test_an_identifier_costs_one_list_of_integrations(novu: Novu, local: LocalNovu) -> None:
    """What an integration is called does not change."""
    for number in range(3):
        add = novu.subscribers.device_tokens.add
        await add(f"u{number}", "fcm", "t", integration_identifier="fcm")
    assert [request.method for request in local.requests].count("GET") == 1


@pytest.mark.parametrize(
    ("provider_id", "identifier", "message"),
    [
        ("fmc", None, "no active fmc integration .did you mean 'fcm'"),
        ("fcm", "fcm-mian", "no active fcm integration 'fcm-mian'"),
        ("fmc", "fcm", "no active fmc integration 'fcm' .did you mean 'fcm'"),
    ],
)
async def test_what_is_mistyped_is_not_told_as_done(
    novu: Novu, local: LocalNovu, provider_id: str, identifier: str | None, message: str
) -> None:
    """A token that was to be removed would get pushes for ever."""
    await novu.subscribers.device_tokens.add("u", "apns", "t")
    for verb, arguments in (("remove", ["t"]), ("clear", []), ("list", []), ("repair", [])):
        call = partial(getattr(novu.subscribers.device_tokens, verb), "u", provider_id)
        with pytest.raises(IntegrationNotFoundError, match=message):
            await call(*arguments, integration_identifier=identifier)
    assert {request.method for request in local.requests[1:]} == {"GET"}


async def test_what_may_be_right_is_unchanged_where_there_is_no_channel(
    novu: Novu, local: LocalNovu
) -> None:
    """A provider that this version does not know, and one that has no integration any more."""
    local.add_integration("brand-new", "mine")
    remove = novu.subscribers.device_tokens.remove
    assert (await remove("u", "brand-new", "t")).change == "unchanged"
    assert (await remove("u", "fcm", "t", integration_identifier="fcm")).change == "unchanged"
    local.add_integration("fcm", "younger than the list")
    result = await remove("u", "fcm", "t", integration_identifier="younger than the list")
    assert result.change == "unchanged"
    local.faults.next("error_500", method="GET", after=1)
    async with Novu(local.api_key, server_url=local.url, retries=None) as other:
        result = await other.subscribers.device_tokens.remove("u", "fmc", "t")
    assert result.change == "unchanged"  # the list cannot be read
    async with (
        LocalNovu(integrations=["apns"]) as bare,
        Novu(bare.api_key, server_url=bare.url) as novu,
    ):
        remove = novu.subscribers.device_tokens.remove
        assert (await remove("u", "fcm", "t")).change == "unchanged"
        assert len(bare.requests) == 1


@pytest.fixture
async def unwrapping(local: LocalNovu) -> AsyncIterator[str]:
    """A gateway before `local` that takes answers out of their envelope; its URL."""

    async def forward(request: web.Request) -> web.Response:
        url, headers = f"{local.url}{request.raw_path}", request.headers
        async with session.request(
            request.method, url, data=await request.read(), headers=headers
        ) as answer:
            body = await answer.read()
            if answer.ok and body:
                return web.json_response(json.loads(body)["data"], status=answer.status)
            return web.Response(body=body, status=answer.status, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", forward)
    async with ClientSession() as session, TestServer(app) as server:
        yield str(server.make_url(""))


async def test_a_proxy_that_decodes_an_id_makes_no_server_old(local: LocalNovu) -> None:
    """The next subscriber is read by the newer endpoint, which has no stale answers."""

    async def forward(request: web.Request) -> web.Response:
        url = URL(f"{local.url}{request.path}", encoded=True)
        async with session.request(request.method, url, headers=request.headers) as answer:
            return web.Response(
                body=await answer.read(), status=answer.status, content_type=answer.content_type
            )

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", forward)
    async with (
        ClientSession() as session,
        TestServer(app) as server,
        Novu(local.api_key, server_url=str(server.make_url("")), retries=None) as novu,
    ):
        with pytest.raises(ErrorDto, match="a proxy before the API decodes paths"):
            await novu.subscribers.retrieve("u/1")
        await novu.subscribers.retrieve("u")
    assert [request.path for request in local.requests][-1] == "/v2/subscribers/u"


async def test_a_gateway_may_take_answers_out_of_their_envelope(
    local: LocalNovu, unwrapping: str
) -> None:
    """Every verb reads a subscriber and a list of integrations that come alone."""
    old = local.add_integration("fcm", "old")
    local.add_subscriber("u", data={"channels": []}, channels=[fcm(["a"]), fcm(["b", "c"])])
    local.add_integration("fcm", "new")
    async with Novu(local.api_key, server_url=unwrapping, retries=None) as novu:
        tokens = novu.subscribers.device_tokens
        assert (await tokens.list("u", "fcm")).device_tokens == ("a", "b", "c")
        assert (await tokens.add("u", "fcm", "n")).requests == 1
        result = await tokens.remove("u", "fcm", "b", integration_identifier="old")
        assert (result.integration_id, result.device_tokens) == (old, ("a", "c"))
        request = {"provider_id": "fcm", "credentials": {"device_tokens": ["m"]}}
        answer = await novu.subscribers.credentials.append("u", request)
        assert answer.result.subscriber_id == "u"
        assert (await novu.subscribers.retrieve("u")).subscriber_id == "u"
    assert local.device_tokens("u", "fcm", "old") == ["a", "c"]
    assert local.device_tokens("u", "fcm", "new") == ["n", "m"]


async def test_a_server_of_2024_is_not_given_tokens_to_remove() -> None:
    """Nothing is added on the way to removing it, and a stale read loses nothing."""
    async with (
        LocalNovu(era="2024") as local,
        Novu(local.api_key, server_url=local.url) as novu,
    ):
        tokens = novu.subscribers.device_tokens
        assert (await tokens.remove("u", "fcm", "never-there")).removed == ()
        assert not local.device_tokens("u", "fcm")
        await tokens.add("u", "fcm", ["a", "b", "c"])
        result = await tokens.remove("u", "fcm", ["b", "never-there"])
        assert result.removed == ("b",)
        sent = [
            token
            for r in local.requests
            if r.json
            for token in r.json["credentials"]["deviceTokens"]
        ]
        assert "never-there" not in sent
        long = [f"{i:05}" + "x" * 100 for i in range(1500)]
        await tokens.add("v", "fcm", long)
        await tokens.remove("v", "fcm", long[:800])
        assert local.device_tokens("v", "fcm") == long[800:]


async def test_a_stale_read_of_2024_brings_back_no_token() -> None:
    """The token that shows what is stored is one that leaves anyway."""
    async with (
        LocalNovu(era="2024") as local,
        Novu(local.api_key, server_url=local.url) as novu,
    ):
        local.add_subscriber("u", channels=[fcm(["a", "b", "c"])])
        await novu.subscribers.retrieve("u")  # fills the cache
        local.add_subscriber("u", channels=[fcm(["b", "c"])])
        result = await novu.subscribers.device_tokens.remove("u", "fcm", "b")
        assert (result.removed, result.device_tokens) == (("b",), ("c",))
        assert local.device_tokens("u", "fcm") == ["c"]


async def test_duplicates_that_are_too_many_for_one_channel_stay_as_they_are(
    novu: Novu, local: LocalNovu
) -> None:
    """Two elements of 60 tokens are over the limit of 100 when merged: nothing is deleted."""
    tokens = [f"t{i:03}" for i in range(120)]
    channels = [
        {"providerId": "fcm", "credentials": {"deviceTokens": part}}
        for part in (tokens[:60], tokens[60:])
    ]
    local.add_subscriber("u", channels=channels)
    with pytest.raises(DeviceTokenLimitError):
        await novu.subscribers.device_tokens.remove("u", "fcm", "t000")
    assert local.device_tokens("u", "fcm") == tokens
    assert "DELETE" not in [request.method for request in local.requests]


@pytest.mark.parametrize(
    ("elements", "error"),
    [
        # of another integration, over the limit of 100, which is younger than the channel
        ([fcm(MANY, _integrationId="older"), fcm(["a"]), fcm(["b"])], DeviceTokenLimitError),
        # over it already, so that writing it as it is changes nothing and is not refused
        ([fcm(MANY), fcm(MANY[:1])], DeviceTokenLimitError),
        # of another integration, and too large for one request
        ([fcm(LARGE, _integrationId="older"), fcm(["a"]), fcm(["b"])], InvalidRequestError),
        # too large for one request with a credential that the second element has
        ([fcm(["a"]), fcm(["b"], webhook_url="h" * 102_400)], InvalidRequestError),
    ],
    ids=["many of another", "many already", "large of another", "large together"],
)
async def test_a_repair_deletes_nothing_that_cannot_be_written_again(
    novu: Novu, local: LocalNovu, elements: list[dict[str, Any]], error: type[NovuError]
) -> None:
    """After the delete the server refuses what it keeps when it is left alone."""
    older = local.add_integration("fcm", "older")
    local.add_integration("fcm", "newer")
    named = [{**e, "_integrationId": older} if "_integrationId" in e else e for e in elements]
    local.add_subscriber("u", channels=named)
    before = set(local.device_tokens("u", "fcm"))
    with pytest.raises(error) as caught:
        await novu.subscribers.device_tokens.repair("u", "fcm")
    assert any("nothing was deleted" in note for note in caught.value.__notes__)
    assert set(local.device_tokens("u", "fcm")) == before
    assert "DELETE" not in [request.method for request in local.requests]


async def test_a_delete_that_is_refused_ends_a_repair(novu: Novu, local: LocalNovu) -> None:
    """Both elements are still there, and none is written to any more."""
    local.add_subscriber("u", channels=[fcm(["a"]), fcm(["b"])])
    local.faults.next("redirect", method="DELETE")
    with pytest.raises(APIError, match="redirects"):
        await novu.subscribers.device_tokens.repair("u", "fcm")
    assert local.requests[-1].method == "DELETE"
    assert len(local.subscribers["u"]["channels"]) == 2


async def test_a_repair_keeps_the_order_of_every_channel(novu: Novu, local: LocalNovu) -> None:
    """Whatever it tries before it deletes."""
    local.add_subscriber("u", channels=[fcm(["x", "y", "z"])])
    older = local.subscribers["u"]["channels"]
    local.add_integration("fcm", "newer")
    local.add_subscriber("u", channels=[*older, fcm(["a", "b"]), fcm(["c"])])
    result = await novu.subscribers.device_tokens.repair("u", "fcm")
    assert result.device_tokens == ("a", "b", "c")
    assert local.device_tokens("u", "fcm") == ["x", "y", "z", "a", "b", "c"]


async def test_a_repair_keeps_the_credentials_of_every_element(
    novu: Novu, local: LocalNovu
) -> None:
    """A webhook URL that only the second element has is still there."""
    channels = [
        {"providerId": "fcm", "credentials": {"deviceTokens": ["a"]}},
        {"providerId": "fcm", "credentials": {"deviceTokens": ["b"], "webhookUrl": "https://x/h"}},
    ]
    local.add_subscriber("u", channels=channels)
    await novu.subscribers.device_tokens.repair("u", "fcm")
    (channel,) = local.subscribers["u"]["channels"]
    assert channel["credentials"] == {"deviceTokens": ["a", "b"], "webhookUrl": "https://x/h"}
