"""What each verb of device_tokens does, seen at the server's state."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from attrs import evolve

from novu_async import (
    AttemptInfo,
    CallError,
    DeviceTokenLimitError,
    DeviceTokensNotStoredError,
    IntegrationNotFoundError,
    InvalidRequestError,
    Novu,
    NovuError,
    Observer,
    ServerError,
    SubscriberNotFoundError,
)
from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio


def put_channels(local: LocalNovu, subscriber_id: str, *lists: list[str]) -> None:
    """Store one channel element for each list, all of the newest fcm integration."""
    local.add_subscriber(
        subscriber_id,
        channels=[
            {"providerId": "fcm", "credentials": {"deviceTokens": tokens}} for tokens in lists
        ],
    )


def methods(local: LocalNovu) -> list[str]:
    return [request.method for request in local.requests]


async def test_add_keeps_what_is_there_and_says_what_is_stored(
    novu: Novu, local: LocalNovu
) -> None:
    """Tokens are appended once each, in one request, and the result has the server's order."""
    put_channels(local, "u", ["a", "b"])
    result = await novu.subscribers.device_tokens.add("u", "fcm", ["c", "b", "c"])
    assert local.device_tokens("u", "fcm") == ["a", "b", "c"]
    assert result.device_tokens == ("a", "b", "c")
    assert (result.change, result.requests, result.resent) == ("stored", 1, ())
    assert result.integration_id == local.subscribers["u"]["channels"][0]["_integrationId"]


async def test_one_token_may_be_given_as_a_text(novu: Novu, local: LocalNovu) -> None:
    """A text is one token, never a list of letters."""
    await novu.subscribers.device_tokens.add("u", "fcm", "abc")
    assert local.device_tokens("u", "fcm") == ["abc"]


async def test_add_splits_what_is_too_long_for_one_body(novu: Novu, local: LocalNovu) -> None:
    """Forty tokens of 5,000 characters need three requests and are all stored."""
    tokens = [f"{i:02}" + "x" * 5_000 for i in range(40)]
    result = await novu.subscribers.device_tokens.add("u", "fcm", tokens)
    assert local.device_tokens("u", "fcm") == tokens
    assert result.requests == 3


async def test_add_names_what_a_later_part_has_not_stored(novu: Novu, local: LocalNovu) -> None:
    """The first part is stored; the error has the others, and why."""
    tokens = [f"{i:03}" + "x" * 1_000 for i in range(150)]
    with pytest.raises(DeviceTokensNotStoredError, match="limit exceeded") as caught:
        await novu.subscribers.device_tokens.add("u", "fcm", tokens)
    stored = local.device_tokens("u", "fcm")
    assert 0 < len(stored) < 100
    assert [*stored, *caught.value.device_tokens] == tokens
    assert isinstance(caught.value.__cause__, DeviceTokenLimitError)


async def test_a_later_part_that_fails_fails_only_the_adds_that_are_in_it(
    novu: Novu, local: LocalNovu
) -> None:
    """Adds that travel together are answered apart."""
    add = novu.subscribers.device_tokens.add
    long = [f"{i:03}" + "x" * 1_000 for i in range(120)]
    results = await asyncio.gather(
        *(add("u", "fcm", tokens) for tokens in (["a"], ["b"], long, ["c"])),
        return_exceptions=True,
    )
    assert [isinstance(result, BaseException) for result in results] == [False, False, True, False]
    assert isinstance(results[2], DeviceTokensNotStoredError)
    assert set(results[2].device_tokens).isdisjoint(local.device_tokens("u", "fcm"))


async def test_add_sends_again_what_another_process_overwrote(novu: Novu, local: LocalNovu) -> None:
    """An acknowledged write that is missing from its own answer is repeated."""
    put_channels(local, "u", ["a"])
    local.faults.next("overwritten", method="PATCH", times=2)
    result = await novu.subscribers.device_tokens.add("u", "fcm", ["b"])
    assert local.device_tokens("u", "fcm") == ["a", "b"]
    assert result.resent == ("b",)
    assert result.requests == 3


async def test_add_names_the_tokens_that_stay_lost(novu: Novu, local: LocalNovu) -> None:
    """After max_resends the error has the tokens, and its text only their fingerprints."""
    put_channels(local, "u", ["a"])
    local.faults.next("overwritten", method="PATCH", times=3)
    with pytest.raises(DeviceTokensNotStoredError) as caught:
        await novu.subscribers.device_tokens.add("u", "fcm", ["secret-b", "a"], max_resends=2)
    assert caught.value.device_tokens == ("secret-b",)
    assert caught.value.requests == 3
    assert "secret-b" not in str(caught.value)
    assert caught.value.fingerprints[0] in str(caught.value)


async def test_remove_takes_away_only_what_is_named(novu: Novu, local: LocalNovu) -> None:
    """The others keep their order, and a token that is not there is no error."""
    put_channels(local, "u", ["a", "b", "c", "d"])
    result = await novu.subscribers.device_tokens.remove("u", "fcm", ["d", "b", "x"])
    assert local.device_tokens("u", "fcm") == ["a", "c"]
    assert (result.change, result.removed, result.requests) == ("removed", ("b", "d"), 2)


async def test_remove_writes_nothing_where_there_is_nothing_to_remove(
    novu: Novu, local: LocalNovu
) -> None:
    """One read, and the channel of another subscriber is not invented."""
    result = await novu.subscribers.device_tokens.remove("u", "fcm", "x")
    assert (result.change, result.requests, result.integration_id) == ("unchanged", 1, None)
    assert methods(local) == ["GET"]


@pytest.mark.parametrize(("fails", "requests", "applied"), [("GET", 1, False), ("PUT", 2, True)])
async def test_errors_tell_of_all_requests_of_a_verb(
    local: LocalNovu, fails: str, requests: int, applied: bool
) -> None:
    """A read that fails has changed nothing; a write that fails comes after a read."""
    put_channels(local, "u", ["a", "b"])
    local.faults.next("error_500", method=fails)
    async with Novu(local.api_key, server_url=local.url, retries=None) as novu:
        with pytest.raises(ServerError) as caught:
            await novu.subscribers.device_tokens.remove("u", "fcm", "b")
    assert (caught.value.attempts, caught.value.may_have_applied) == (requests, applied)


async def test_replace_says_what_it_took_away(novu: Novu, local: LocalNovu) -> None:
    """The new list is stored in its own order."""
    put_channels(local, "u", ["a", "b"])
    result = await novu.subscribers.device_tokens.replace("u", "fcm", ["c", "a"])
    assert local.device_tokens("u", "fcm") == ["c", "a"]
    assert (result.change, result.removed) == ("replaced", ("b",))
    again = await novu.subscribers.device_tokens.replace("u", "fcm", ["c", "a"])
    assert (again.change, again.requests) == ("unchanged", 1)


async def test_replace_of_a_missing_channel_erases_nothing(local: LocalNovu) -> None:
    """Another writer who makes the channel just after it was not found keeps its tokens."""

    class OtherWriter(Observer):
        @contextmanager
        def attempt(self, attempt: AttemptInfo) -> Iterator[None]:
            if attempt.call.method != "GET":
                put_channels(local, "u", ["other"])
            yield

    async with Novu(local.api_key, server_url=local.url, observer=OtherWriter()) as novu:
        result = await novu.subscribers.device_tokens.replace("u", "fcm", ["a"])
    assert local.device_tokens("u", "fcm") == ["other", "a"]
    assert result.appeared == ("other",)


@pytest.mark.parametrize(
    ("stored", "after"),
    [
        (["a", "old", "b"], ["a", "new", "b"]),
        (["a", "b"], ["a", "b", "new"]),
        (["a", "old", "new"], ["a", "new"]),
        (["a", "new"], ["a", "new"]),
    ],
)
async def test_rotate_is_one_write(
    novu: Novu, local: LocalNovu, stored: list[str], after: list[str]
) -> None:
    """The new token stands where the old one stood; at no time are both missing."""
    put_channels(local, "u", stored)
    await novu.subscribers.device_tokens.rotate("u", "fcm", "old", "new")
    assert local.device_tokens("u", "fcm") == after
    assert methods(local).count("PUT") <= 1


async def test_clear_says_what_it_erased(novu: Novu, local: LocalNovu) -> None:
    """The channel stays, without tokens."""
    put_channels(local, "u", ["a", "b"])
    result = await novu.subscribers.device_tokens.clear("u", "fcm")
    assert result.removed == ("a", "b")
    assert local.subscribers["u"]["channels"][0]["credentials"]["deviceTokens"] == []


async def test_list_reads_without_writing(novu: Novu, local: LocalNovu) -> None:
    """The order is the server's."""
    put_channels(local, "u", ["b", "a"])
    result = await novu.subscribers.device_tokens.list("u", "fcm")
    assert result.device_tokens == ("b", "a")
    assert set(methods(local)) == {"GET"}


async def test_a_webhook_url_of_the_channel_survives_every_verb(
    novu: Novu, local: LocalNovu
) -> None:
    """Verbs on tokens leave the other credentials alone."""
    credentials = {"webhookUrl": "https://example.com/hook", "deviceTokens": ["a"]}
    local.add_subscriber("u", channels=[{"providerId": "fcm", "credentials": credentials}])
    tokens = novu.subscribers.device_tokens
    await tokens.add("u", "fcm", "b")
    await tokens.remove("u", "fcm", "a")
    await tokens.clear("u", "fcm")
    stored = local.subscribers["u"]["channels"][0]["credentials"]
    assert stored == {"webhookUrl": "https://example.com/hook", "deviceTokens": []}


async def test_the_result_says_which_of_several_integrations_was_taken(
    novu: Novu, local: LocalNovu
) -> None:
    """Without an identifier it is the newest; with one, verbs touch that channel alone."""
    old = local.add_integration("fcm", "fcm-old")
    await novu.subscribers.device_tokens.add("u", "fcm", "a")
    new = local.add_integration("fcm", "fcm-new")
    tokens = novu.subscribers.device_tokens
    assert (await tokens.add("u", "fcm", "b")).integration_id == new
    result = await tokens.remove("u", "fcm", ["a", "b"], integration_identifier="fcm-old")
    assert result.integration_id == old
    assert result.removed == ("a",)
    assert local.device_tokens("u", "fcm", "fcm-new") == ["b"]


async def test_duplicate_channels_are_read_as_their_union_and_reported(
    novu: Novu, local: LocalNovu
) -> None:
    """A push goes to the tokens of all of them, so all of them count."""
    put_channels(local, "u", ["a", "b"], ["b", "c"])
    result = await novu.subscribers.device_tokens.list("u", "fcm")
    assert result.device_tokens == ("a", "b", "c")
    assert result.duplicate_channels == 1


async def test_repair_merges_duplicate_channels_and_loses_nothing(
    novu: Novu, local: LocalNovu
) -> None:
    """Channels of the provider's other integrations are as they were."""
    local.add_integration("fcm", "fcm-main")
    put_channels(local, "u", ["a", "b"], ["c"], ["b", "d"])
    local.add_integration("fcm", "fcm-new")
    tokens = novu.subscribers.device_tokens
    await tokens.add("u", "fcm", "z")
    result = await tokens.repair("u", "fcm", integration_identifier="fcm-main")
    assert (result.change, result.duplicate_channels) == ("repaired", 0)
    assert local.device_tokens("u", "fcm", "fcm-main") == ["a", "b", "c", "d"]
    assert local.device_tokens("u", "fcm", "fcm-new") == ["z"]
    assert len(local.subscribers["u"]["channels"]) == 2
    assert (await tokens.repair("u", "fcm")).change == "unchanged"


async def test_remove_from_duplicate_channels_removes_from_all_of_them(
    novu: Novu, local: LocalNovu
) -> None:
    """A token that stayed in the second element would still be pushed to."""
    put_channels(local, "u", ["a", "b"], ["b", "c"])
    await novu.subscribers.device_tokens.remove("u", "fcm", "b")
    assert local.device_tokens("u", "fcm") == ["a", "c"]


async def test_repair_refuses_where_it_would_lose_tokens(novu: Novu, local: LocalNovu) -> None:
    """A channel of an inactive integration could not be written again."""
    put_channels(local, "u", ["a"], ["b"])
    document = local.subscribers["u"]
    foreign = {**document["channels"][0], "_integrationId": "6" * 24}
    local.add_subscriber("u", channels=[*document["channels"], foreign])
    before = local.device_tokens("u", "fcm")
    with pytest.raises(Exception, match="nothing was changed"):
        await novu.subscribers.device_tokens.repair("u", "fcm")
    assert local.device_tokens("u", "fcm") == before


async def test_too_many_tokens_name_the_count_and_the_limit(novu: Novu, local: LocalNovu) -> None:
    """Servers of 2026 keep at most 100 tokens in a channel."""
    with pytest.raises(DeviceTokenLimitError) as caught:
        await novu.subscribers.device_tokens.add("u", "fcm", [f"t{i}" for i in range(101)])
    assert (caught.value.current_count, caught.value.limit) == (101, 100)


async def test_an_unknown_subscriber_is_an_error_or_created() -> None:
    """By default nothing is created; with "create" the tokens are stored, in three requests."""
    async with (
        LocalNovu(subscribers=[]) as local,
        Novu(api_key=local.api_key, server_url=local.url) as novu,
    ):
        tokens = novu.subscribers.device_tokens
        with pytest.raises(SubscriberNotFoundError):
            await tokens.add("new", "fcm", "a")
        assert "new" not in local.subscribers
        result = await tokens.add("new", "fcm", "a", on_missing_subscriber="create")
        assert local.device_tokens("new", "fcm") == ["a"]
        assert result.requests == 3


async def test_an_unknown_provider_is_the_servers_to_refuse(novu: Novu, local: LocalNovu) -> None:
    """It is sent, and the error suggests the nearest id."""
    with pytest.raises(Exception, match="did you mean 'fcm'"):
        await novu.subscribers.device_tokens.add("u", "fmc", "a")
    with pytest.raises(IntegrationNotFoundError):
        await novu.subscribers.device_tokens.add("u", "fcm", "a", integration_identifier="no")


@pytest.mark.parametrize("tokens", [[], [""], "", ["a", None], [1], b"a", None, {"a": 1}, 5])
async def test_tokens_that_the_server_would_mangle_are_refused(
    novu: Novu, local: LocalNovu, tokens: object
) -> None:
    """Nothing is sent."""
    for verb in ("add", "replace", "remove"):
        with pytest.raises(InvalidRequestError):
            await getattr(novu.subscribers.device_tokens, verb)("u", "fcm", tokens)
    assert local.requests == []


async def test_a_server_of_2024_is_read_past_its_cache() -> None:
    """Its reads are cached for hours, so an append shows what is stored."""
    async with (
        LocalNovu(era="2024") as local,
        Novu(api_key=local.api_key, server_url=local.url) as novu,
    ):
        tokens = novu.subscribers.device_tokens
        await tokens.add("u", "fcm", ["a", "b", "c"])
        await novu.subscribers.retrieve("u")  # fills the cache
        await tokens.add("u", "fcm", "d")
        await tokens.remove("u", "fcm", "b")
        assert local.device_tokens("u", "fcm") == ["a", "c", "d"]
        assert (await tokens.rotate("u", "fcm", "c", "e")).device_tokens == ("a", "e", "d")
        assert (await tokens.replace("u", "fcm", ["x"])).device_tokens == ("x",)


async def test_a_server_whose_new_read_has_no_channels() -> None:
    """In early 2025 it left them out; that is no empty channel, and the old read has them."""
    async with (
        LocalNovu(v2_channels=False) as local,
        Novu(local.api_key, server_url=local.url) as novu,
    ):
        tokens = novu.subscribers.device_tokens
        await tokens.add("u1", "fcm", ["a", "b"])
        assert (await tokens.list("u1", "fcm")).device_tokens == ("a", "b")
        assert (await tokens.remove("u1", "fcm", "a")).removed == ("a",)
        assert local.device_tokens("u1", "fcm") == ["b"]
        await tokens.clear("u1", "fcm")
        assert local.device_tokens("u1", "fcm") == []


async def test_an_error_of_looking_again_says_that_the_tokens_were_sent(local: LocalNovu) -> None:
    """The write is done where `confirm_after` cannot read it back."""
    local.faults.next("error_500", times=9, method="GET")
    async with Novu(local.api_key, server_url=local.url, confirm_after=0.001, retries=None) as novu:
        with pytest.raises(CallError) as caught:
            await novu.subscribers.device_tokens.add("u1", "fcm", "a")
    assert caught.value.may_have_applied
    assert caught.value.attempts == len(local.requests) == 2


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.04, 0.06])
async def test_closing_waits_for_a_repair_that_begins_meanwhile(delay: float) -> None:
    """One that was reading still when the client began to wait for another one's writes."""
    async with LocalNovu(latency=0.02) as local:
        for name in ("u1", "u2"):
            put_channels(local, name, ["a"], ["b"])
        novu = Novu(local.api_key, server_url=local.url)
        repair = novu.subscribers.device_tokens.repair
        first = asyncio.create_task(repair("u1", "fcm"))
        await asyncio.sleep(delay)
        second = asyncio.create_task(repair("u2", "fcm"))
        while not novu._pipeline._indispensable:
            await asyncio.sleep(0.001)
        await novu.aclose()
        await asyncio.gather(first, second, return_exceptions=True)
        assert sorted(local.device_tokens("u2", "fcm")) == ["a", "b"]


async def test_repair_sees_that_an_integration_was_just_switched_off(
    novu: Novu, local: LocalNovu
) -> None:
    """Its channel would be deleted and could not be written again."""
    stored = local._store.integrations
    main = next(n for n, one in enumerate(stored) if one.provider_id == "fcm")
    put_channels(local, "u", ["o"])
    local.add_integration("fcm", "fcm-new")
    old = local.subscribers["u"]["channels"]
    put_channels(local, "u", ["a"], ["b"])
    local.add_subscriber("u", channels=[*old, *local.subscribers["u"]["channels"]])
    tokens = novu.subscribers.device_tokens
    await tokens.list("u", "fcm")
    stored[main] = evolve(stored[main], active=False)
    with pytest.raises(NovuError, match="nothing was changed"):
        await tokens.repair("u", "fcm", integration_identifier="fcm-new")
    assert len(local.subscribers["u"]["channels"]) == 3


async def test_a_token_too_large_for_any_body_fails_its_own_add_only() -> None:
    """Those that travelled with it are stored."""
    async with (
        LocalNovu(latency=0.01) as local,
        Novu(local.api_key, server_url=local.url) as novu,
    ):
        add = novu.subscribers.device_tokens.add
        tokens = ["head", "x" * 110_000, "innocent"]
        calls = [add("u", "fcm", token) for token in tokens]
        first, second, third = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(second, InvalidRequestError)
        assert not isinstance(first, BaseException)
        assert not isinstance(third, BaseException)
        assert local.device_tokens("u", "fcm") == ["head", "innocent"]
