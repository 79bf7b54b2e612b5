"""Every fault, singly and mixed, under many callers and under bulk jobs: no token is lost."""

import asyncio
import csv
from pathlib import Path

import pytest
from chaos_harness import (
    BRIEF,
    FIGURES,
    Ledger,
    assert_idle,
    count_faults,
    make_client,
    nothing_left,
    pick_kinds,
    schedule,
)

from novu_async import (
    APIError,
    BulkError,
    DeviceTokensNotStoredError,
    Novu,
    UnreadableReplyError,
)
from novu_async.bulk import DeviceToken, read_outcomes
from novu_async.testing import FAULT_KINDS, FaultKind, LocalNovu

pytestmark = pytest.mark.anyio

CALLERS = 64
STALLS: tuple[FaultKind, ...] = ("stall", "stall_after_write")
TIMEOUT = 1.0


async def call_verbs(novu: Novu, ledger: Ledger, number: int) -> None:
    """Add and remove tokens of a subscriber that three other callers write to as well."""
    tokens, user = novu.subscribers.device_tokens, f"shared-{number % 16}"
    own = [f"token-{number}-{i}" for i in range(4)]
    await ledger.note(tokens.add(user, "fcm", own[:3]), (user, "fcm"), adds=own[:3])
    await ledger.note(tokens.remove(user, "fcm", own[1]), (user, "fcm"), removes=own[1:2])
    await ledger.note(tokens.add(user, "fcm", own[3]), (user, "fcm"), adds=own[3:])


async def call_endpoints(novu: Novu, ledger: Ledger, number: int) -> None:
    """Append beside others; update and delete a subscriber of one's own."""
    credentials, shared, user = novu.subscribers.credentials, f"shared-{number % 16}", f"u{number}"

    def push(*tokens: str) -> dict[str, object]:
        return {"provider_id": "apns", "credentials": {"device_tokens": [*tokens]}}

    one, two, three = (f"{number}-{name}" for name in ("one", "two", "three"))
    apns = (user, "apns")
    await ledger.note(credentials.append(shared, push(one)), (shared, "apns"), adds=[one])
    await ledger.note(credentials.update(user, push(one, two)), apns, adds=[one, two])
    if await ledger.note(credentials.delete(user, "apns"), apns, removes=[one, two]):
        await ledger.note(credentials.append(user, push(three)), apns, adds=[three])


async def call_all(novu: Novu, ledger: Ledger, *, verbs_only: bool = False) -> None:
    """Let 64 callers work at the same time."""
    await asyncio.gather(
        *(call_verbs(novu, ledger, number) for number in range(CALLERS)),
        *(call_endpoints(novu, ledger, number) for number in range(CALLERS) if not verbs_only),
    )


async def check_callers(novu: Novu, local: LocalNovu, *, verbs_only: bool = False) -> None:
    """Let the callers work; nothing acknowledged is lost and nothing is left behind."""
    ledger = Ledger(local)
    async with nothing_left():
        async with novu:
            await call_all(novu, ledger, verbs_only=verbs_only)
            assert_idle(novu)
        assert count_faults(local) > 0
    assert ledger.find_lost() == []
    assert ledger.stored


@pytest.mark.parametrize("kind", FAULT_KINDS)
async def test_callers_lose_nothing_under_one_kind_of_fault(kind: FaultKind) -> None:
    """64 callers meet the fault again and again; what they were told is what is stored."""
    stalls = kind in STALLS
    async with LocalNovu() as local:
        schedule(local, [kind], count=10 if stalls else 40, seed=1, gap=2 if stalls else 6)
        novu = make_client(local, timeout=TIMEOUT if stalls else 30)
        # the three calls are the API's own: they tell what was answered, not what came after
        await check_callers(novu, local, verbs_only=kind == "overwritten")


@pytest.mark.parametrize("seed", range(4))
async def test_callers_lose_nothing_under_mixed_faults(seed: int) -> None:
    """Whatever follows upon whatever, also where the callers give up after two attempts."""
    async with LocalNovu() as local:
        kinds = pick_kinds(without=(*STALLS, "overwritten"))
        schedule(local, kinds, count=150, seed=seed, gap=5)
        novu = make_client(local, retries=BRIEF) if seed % 2 else make_client(local)
        await check_callers(novu, local)


async def test_no_token_that_failed_goes_unnamed() -> None:
    """Where nothing gets through every token is in an error: the sum of both is all there were."""
    async with LocalNovu() as local:
        local.faults.random(1.0, kinds=["error_500", "reset_before"], seed=3)
        ledger = Ledger(local)
        async with make_client(local, retries=BRIEF) as novu:
            await call_all(novu, ledger, verbs_only=True)
        count_faults(local)
        assert ledger.stored == {}
        assert len(ledger.named) == 4 * CALLERS
        assert local.subscribers == {}


def make_rows(number: int) -> list[DeviceToken]:
    """Make rows for a third as many subscribers and two providers."""
    return [
        DeviceToken(f"u{i % (number // 3)}", ("fcm", "apns")[i % 2], f"token-{i}")
        for i in range(number)
    ]


async def check_bulk(novu: Novu, local: LocalNovu, folder: Path, rows: list[DeviceToken]) -> None:
    """Run a job, again if it is stopped; each row is stored, or named in the failures file."""
    job, failed = folder / "job", folder / "failed.csv"
    FIGURES.calls += 1
    async with nothing_left(), novu:
        try:
            await novu.bulk.register(rows, job=job, failures=failed)
        except BulkError as error:
            assert error.report.waiting > 0  # noqa: PT017, a job may be stopped or not
        assert_idle(novu)
        assert count_faults(local) > 0
        report = await novu.bulk.register(None, job=job, failures=failed)
    assert report.waiting == 0
    assert report.done + report.failed == len(rows)
    named = read_failures(failed)
    FIGURES.named += len(named)
    acknowledged = {one.record for one in read_outcomes(job) if one.status == "done"}
    FIGURES.acknowledged += len(acknowledged)
    lost = [
        one for one in acknowledged
        if isinstance(one, DeviceToken)
        and one.token not in local.device_tokens(one.subscriber_id, one.provider_id)
    ]  # fmt: skip
    FIGURES.lost += len(lost)
    assert lost == []
    assert named == {row.token for row in set(rows) - acknowledged}


def read_failures(path: Path) -> set[str]:
    """Return the tokens of a failures file."""
    if not path.exists():
        return set()
    with path.open(newline="") as file:
        return {row["token"] for row in csv.DictReader(file)}


@pytest.mark.parametrize("kind", FAULT_KINDS)
async def test_a_job_loses_nothing_under_one_kind_of_fault(kind: FaultKind, tmp_path: Path) -> None:
    """Each row of the job file is stored, or in the failures file; the job can be gone on with."""
    stalls = kind in STALLS
    async with LocalNovu() as local:
        schedule(local, [kind], count=6 if stalls else 30, seed=2, gap=2 if stalls else 4)
        novu = make_client(local, timeout=TIMEOUT if stalls else 30)
        await check_bulk(novu, local, tmp_path, make_rows(240))


@pytest.mark.parametrize("seed", range(4))
async def test_a_job_loses_nothing_under_mixed_faults(seed: int, tmp_path: Path) -> None:
    """A mixture of all faults but the slow ones."""
    async with LocalNovu() as local:
        schedule(local, pick_kinds(without=STALLS), count=120, seed=seed, gap=3)
        novu = make_client(local, retries=BRIEF) if seed % 2 else make_client(local)
        await check_bulk(novu, local, tmp_path, make_rows(450))


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize(
    ("verb", "arguments", "left"),
    [
        ("add", ["d"], ["a", "b", "c", "d"]),
        ("remove", ["a"], ["b", "c"]),
        ("rotate", ["a", "z"], ["z", "b", "c"]),
        ("replace", [["c", "a"]], ["c", "a"]),
        ("clear", [], []),
        ("list", [], ["a", "b", "c"]),
        ("repair", [], ["a", "b", "c"]),
    ],
)
async def test_an_answer_that_is_cut_off_is_no_empty_channel(
    verb: str, arguments: list[object], left: list[str], after: int
) -> None:
    """Half of an answer, to the read or to the write of a verb, erases and hides nothing."""
    async with LocalNovu() as local, make_client(local) as novu:
        await novu.subscribers.device_tokens.add("u", "fcm", ["a", "b", "c"])
        local.faults.next("truncated_json", after=after, times=2)
        result = await getattr(novu.subscribers.device_tokens, verb)("u", "fcm", *arguments)
        assert list(result.device_tokens) == left
        assert local.device_tokens("u", "fcm") == left
        assert count_faults(local) == 2 or after


async def test_a_subscriber_that_cannot_be_read_is_no_empty_one() -> None:
    """Reading it raises, and a verb that cannot know what is stored writes nothing."""
    async with LocalNovu() as local, make_client(local, retries=None) as novu:
        await novu.subscribers.device_tokens.add("u", "fcm", ["a", "b"])
        local.faults.next("truncated_json", times=2)
        with pytest.raises(UnreadableReplyError):
            await novu.subscribers.retrieve("u")
        with pytest.raises(UnreadableReplyError):
            await novu.subscribers.device_tokens.rotate("u", "fcm", "a", "c")
        count_faults(local)
        assert local.device_tokens("u", "fcm") == ["a", "b"]


@pytest.mark.parametrize(
    ("kind", "method"),
    [("drop_before_reply", "DELETE"), ("error_500", "PUT"), ("redirect", "DELETE")],
)
async def test_a_repair_that_fails_names_the_tokens(kind: FaultKind, method: str) -> None:
    """Every token of the channels is stored, or named in the error."""
    channels = [
        {"providerId": "fcm", "credentials": {"deviceTokens": tokens}}
        for tokens in (["a", "b"], ["b", "c"])
    ]
    async with LocalNovu() as local, make_client(local, retries=None) as novu:
        local.add_subscriber("u", channels=channels)
        local.faults.next(kind, method=method, times=10)
        named: tuple[str, ...] = ()
        try:
            await novu.subscribers.device_tokens.repair("u", "fcm")
        except DeviceTokensNotStoredError as error:
            named = error.device_tokens
        except APIError:
            pass  # then nothing may be gone
        assert count_faults(local) > 0
        assert {*named, *local.device_tokens("u", "fcm")} == {"a", "b", "c"}
