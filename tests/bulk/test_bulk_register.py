"""Registering many, end to end on LocalNovu."""

import asyncio
import csv
import errno
import json
import math
import os
import shutil
import stat
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import test_utils, web

from novu_async import Novu
from novu_async.bulk import (
    Bulk,
    DeviceToken,
    Progress,
    WebhookUrl,
    read_csv,
    read_file,
)
from novu_async.bulk.failures import Shape, write_failures
from novu_async.bulk.journal import FailedRow, Journal
from novu_async.bulk.plan import Stored
from novu_async.bulk.reasons import UNNAMED, Failure
from novu_async.bulk.records import FIELDS, REFUSED, Columns, Invalid, Operation, Row
from novu_async.errors import (
    AuthenticationError,
    BulkError,
    ConfigurationError,
    InvalidRequestError,
)
from novu_async.observing import AttemptInfo, Observer
from novu_async.testing import LocalNovu
from novu_async.testing._answers import Era
from novu_async.utils import BackoffStrategy, RetryConfig

pytestmark = pytest.mark.anyio

EXAMPLE = Path(__file__).parents[2] / "examples" / "device_tokens.csv"

Write = Callable[..., Path]


def writes_of(local: LocalNovu) -> list[str]:
    """Return the methods of the writes that reached the server."""
    return [request.method for request in local.requests if request.method != "GET"]


async def test_the_example_is_stored_exactly_once(bulk: Bulk, local: LocalNovu) -> None:
    """Every valid token of the shipped file is stored once, with one request per channel."""
    report = await bulk.register(EXAMPLE, verify=True)
    lines = EXAMPLE.read_text().splitlines()[1:]
    rows = (line.split(",") for line in lines)
    good = {tuple(row) for row in rows if len(row) == 3 and all(map(str.strip, row))}
    stored = Counter(
        (subscriber_id, channel["providerId"], token)
        for subscriber_id, subscriber in local.subscribers.items()
        for channel in subscriber["channels"]
        for token in channel["credentials"]["deviceTokens"]
    )
    assert len(stored) == report.done == report.verified == 2201
    assert set(stored.values()) == {1}
    assert set(stored) <= good
    assert report.rows == report.done + report.invalid + report.duplicates == 2268
    assert report.subscribers == 700
    assert len(writes_of(local)) == report.writes == 1335
    assert report.requests == len(local.requests)
    assert not report.ok


async def test_rows_of_a_channel_travel_together_in_order(bulk: Bulk, local: LocalNovu) -> None:
    """Rows far apart in the input are one request, in the order of the input."""
    others = [(f"u{i}", "fcm", "t") for i in range(500)]
    rows = [("u", "fcm", "b"), *others, ("u", "fcm", "a"), ("u", "apns", "c"), ("u", "fcm", "b")]
    report = await bulk.register(rows)
    assert local.device_tokens("u", "fcm") == ["b", "a"]
    assert local.device_tokens("u", "apns") == ["c"]
    assert report.writes == report.requests == len(local.requests) == 502
    assert (report.done, report.duplicates, report.ok) == (503, 1, True)


async def test_no_two_requests_for_one_subscriber_at_once() -> None:
    """The server, whose writes race, loses no token."""
    async with (
        LocalNovu(latency=0.001) as local,
        Novu(api_key=local.api_key, server_url=local.url) as novu,
    ):
        rows = [(f"u{i % 7}", f"{['fcm', 'apns', 'expo'][i % 3]}", f"t{i}") for i in range(300)]
        report = await novu.bulk.register(rows)
        assert report.done == 300
        stored = [
            t
            for u in range(7)
            for p in ("fcm", "apns", "expo")
            for t in local.device_tokens(f"u{u}", p)
        ]
        assert sorted(stored) == sorted(f"t{i}" for i in range(300))


async def test_a_failed_row_stops_nothing_and_can_be_fed_back(write: Write, tmp_path: Path) -> None:
    """Failures keep the columns of the input; put right, the same file is an input."""
    async with (
        LocalNovu(subscribers=["known"]) as local,
        Novu(api_key=local.api_key, server_url=local.url) as novu,
    ):
        path = write(
            "external_id;platform;device;note\n"
            'ghost;fcm;t1;"say ""hi"""\nknown;fcm;t2;\n;fcm;t3;no id\nghost;fcm;t4;\nshort;fcm\n'
        )
        columns = {"subscriber_id": "external_id", "provider_id": "platform", "token": "device"}
        failures = tmp_path / "failed.csv"
        bulk = novu.bulk
        report = await bulk.register(read_csv(path, columns=columns), failures=failures)
        assert (report.done, report.failed, report.invalid) == (1, 2, 2)
        assert [(f.reason, f.count, f.lines) for f in report.failures] == [
            ("no such subscriber", 2, (2, 5))
        ]
        rows = list(csv.DictReader(failures.read_text().splitlines(), delimiter=";"))
        assert list(rows[0]) == ["external_id", "platform", "device", "note", "reason", "retryable"]
        assert [row["device"] for row in rows] == ["t1", "t4", "t3", ""]
        assert rows[3]["reason"] == "line 6: 2 fields where the header has 4"
        assert rows[0]["note"] == 'say "hi"'
        assert "ghost not found" in rows[0]["reason"]
        assert {row["retryable"] for row in rows} == {"false"}
        assert stat.S_IMODE(failures.stat().st_mode) == 0o600

        local.add_subscriber("ghost")
        left = tmp_path / "failed-2.csv"
        again = await bulk.register(read_csv(failures, columns=columns), failures=left)
        assert (again.done, again.invalid) == (2, 2)
        assert local.device_tokens("ghost", "fcm") == ["t1", "t4"]
        assert len(left.read_text().splitlines()) == 3


async def test_failures_take_the_format_of_their_name(
    bulk: Bulk, write: Write, tmp_path: Path
) -> None:
    """JSON Lines stays JSON Lines, unless the name of the failures file says CSV."""
    document = {"subscriber_id": "", "provider_id": "fcm", "token": "t", "more": [1]}
    path = write(json.dumps(document) + "\n{\n")
    as_json, as_csv = tmp_path / "failed", tmp_path / "failed.csv"
    await bulk.register(path, failures=as_json)
    await bulk.register(path, failures=as_csv)
    first, second = map(json.loads, as_json.read_text().splitlines())
    assert first == {**document, "reason": "subscriber_id must not be empty", "retryable": False}
    assert second == {"reason": "line 2: not one JSON object", "retryable": False}
    rows = list(csv.DictReader(as_csv.read_text().splitlines()))
    assert (rows[0]["token"], rows[0]["retryable"]) == ("t", "false")


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("u,fcm,cut,here", "line 2: 4 fields where the header has 3"),
        ("u,fcm", "line 2: 2 fields where the header has 3"),
        ('u,fcm,"cut', "line 2: a quote is never closed, or has text after it"),
    ],
)
@pytest.mark.parametrize("name", ["failed.csv", "failed.jsonl"])
async def test_a_row_that_is_not_understood_registers_nothing_when_fed_back(
    bulk: Bulk,
    local: LocalNovu,
    write: Write,
    tmp_path: Path,
    broken: str,
    reason: str,
    name: str,
) -> None:
    """The failures file says where it stands in the input, and has nothing that is cut."""
    path = write(f"subscriber_id,provider_id,token\n{broken}\n")
    failures = tmp_path / name
    await bulk.register(path, failures=failures)
    text = failures.read_text()
    assert reason in text
    assert "cut" not in text
    again = await bulk.register(failures)
    assert (again.rows, again.invalid, local.requests) == (1, 1, [])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("subscriber_id,provider_id,token\nu,fcm\n", "line 2: 2 fields where the header has 3"),
        ('\n{"subscriber_id": "u"\n{}', "line 2: not one JSON object"),
    ],
)
@pytest.mark.parametrize("name", ["failed.csv", "failed.jsonl"])
async def test_why_a_row_is_not_understood_stays_however_often_it_is_fed_back(
    bulk: Bulk, write: Write, tmp_path: Path, content: str, reason: str, name: str
) -> None:
    """It is the only trace of the row, which says where to look for it."""
    path = write(content)
    first = await bulk.register(path, failures=tmp_path / name)
    for i in range(2):
        path, name = tmp_path / name, f"{i}-{name}"
        again = await bulk.register(path, failures=tmp_path / name)
        assert again.invalid == first.invalid
        assert reason in (tmp_path / name).read_text()
        assert "left but why it was refused before" in again.invalid_reasons[0].reason


@pytest.mark.parametrize(
    "value",
    [True, False, [7], ["t"], {"a": 1}, 12.0, math.nan, math.inf, 7, 10**400],
    ids=lambda value: str(value)[:9],
)
async def test_a_value_that_is_no_text_does_not_become_one(
    bulk: Bulk, local: LocalNovu, write: Write, tmp_path: Path, value: object
) -> None:
    """What JSON Lines had of a wrong type is refused again as CSV, whichever field it was in."""
    push = {"subscriber_id": "u", "provider_id": "fcm", "token": "t", "more": value}
    chat = {"subscriber_id": "u", "provider_id": "slack", "webhook_url": "https://h"}
    rows = [{**push, field: value} for field in FIELDS if field != "channel"]
    rows += [{**chat, field: value} for field in FIELDS]
    if value == 7:  # a whole number is an id
        rows = [row for row in rows if row["subscriber_id"] != 7]
    failures = tmp_path / "failed.csv"
    report = await bulk.register(write("\n".join(map(json.dumps, rows))), failures=failures)
    assert report.invalid == len(rows)
    assert (await bulk.register(failures)).invalid == len(rows)
    assert local.requests == []


@pytest.mark.parametrize(
    ("field", "expected"), [("subscriber_id", REFUSED), ("token", REFUSED), ("note", "ab")]
)
async def test_a_row_with_nul_comes_back_from_a_csv_of_failures(
    bulk: Bulk, tmp_path: Path, field: str, expected: str
) -> None:
    """A field of ours is refused once more; another column loses nothing but the NUL."""
    row = {"subscriber_id": "u", "provider_id": "", "token": "t", "note": "n", field: "a\0b"}
    description = [(name,) for name in row]
    answers = [[], [tuple(row.values())]]
    cursor: Any = SimpleNamespace(description=description, fetchmany=lambda _: answers.pop())
    await bulk.register(cursor, failures=tmp_path / "failed.csv")
    (failed,) = csv.DictReader((tmp_path / "failed.csv").read_text().splitlines())
    assert {name: failed[name] for name in row} == {**row, field: expected}
    assert ("only JSON Lines can hold" in failed["reason"]) == (field != "note")
    (again,) = read_csv(tmp_path / "failed.csv").rows("append")
    assert isinstance(again, Invalid)
    assert "NUL" not in again.reason


async def test_a_number_that_is_an_id_stays_one(
    bulk: Bulk, local: LocalNovu, write: Write, tmp_path: Path
) -> None:
    """It is what the row had, and the API would have got."""
    failures = tmp_path / "failed.csv"
    row = {"subscriber_id": 7, "provider_id": "fcm", "token": ""}
    await bulk.register(write(json.dumps(row)), failures=failures)
    (failed,) = csv.DictReader(failures.read_text().splitlines())
    assert (await bulk.register([{**failed, "token": "t"}])).done == 1
    assert local.device_tokens("7", "fcm") == ["t"]


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_line_ends_within_a_row_come_back_as_they_were(tmp_path: Path, end: str) -> None:
    """They would split the row when it is fed back, so a field that has one is quoted."""
    path = tmp_path / "failed.csv"
    shape = Shape("csv", ",", ("subscriber_id", "provider_id", "token", "note"), Columns())
    extra = json.dumps({"note": f"one{end}two{end}"})
    rows = [Row(2, "u", "fcm", "", f"t{end}w", extra=extra), Row(3, "u", "fcm")]
    write_failures(path, [FailedRow(row, Failure("no connection")) for row in rows], shape)
    first, second = read_csv(path).rows("append")
    assert first[1:] == rows[0][1:]
    assert isinstance(second, Invalid)


async def test_no_failures_make_no_file(bulk: Bulk, tmp_path: Path) -> None:
    """A file from before is left with its header only."""
    path = tmp_path / "failed.csv"
    report = await bulk.register([("u", "fcm", "t")], failures=path)
    assert report.failures_path is None
    assert not path.exists()
    report = await bulk.register([("u", "", "t")], failures=path)
    assert report.failures_path == str(path)
    await bulk.register([("u", "fcm", "t")], failures=path)
    assert path.read_text().startswith("subscriber_id,provider_id,token,")
    assert len(path.read_text().splitlines()) == 1


async def test_each_row_of_a_refused_write_has_its_own_outcome() -> None:
    """A write over the limit of the channel fails all its rows, and no other's."""
    async with (
        LocalNovu() as local,
        Novu(api_key=local.api_key, server_url=local.url) as novu,
    ):
        rows = [("full", "fcm", f"t{i}") for i in range(101)] + [("u", "fcm", "t")]
        report = await novu.bulk.register(rows)
        assert (report.done, report.failed) == (1, 101)
        assert report.failures[0].reason == "too many device tokens in the channel"


async def test_replace_makes_the_rows_the_only_tokens(bulk: Bulk, local: LocalNovu) -> None:
    """Tokens that are not in the input are gone afterwards."""
    await bulk.register([("u", "fcm", "old"), ("u", "apns", "kept")])
    report = await bulk.register(
        [("u", "fcm", "new"), ("u", "fcm", "newer")], operation="replace", verify=True
    )
    assert (report.done, report.verified) == (2, 2)
    assert local.device_tokens("u", "fcm") == ["new", "newer"]
    assert local.device_tokens("u", "apns") == ["kept"]


async def test_remove_takes_only_these_tokens(bulk: Bulk, local: LocalNovu) -> None:
    """The others of the channel stay."""
    await bulk.register([("u", "fcm", "a"), ("u", "fcm", "b"), ("u", "fcm", "c")])
    report = await bulk.register(
        [("u", "fcm", "a"), ("u", "fcm", "c")], operation="remove", verify=True
    )
    assert (report.done, report.verified) == (2, 2)
    assert local.device_tokens("u", "fcm") == ["b"]


async def test_delete_takes_all_of_a_provider(bulk: Bulk, local: LocalNovu) -> None:
    """Rows of the same subscriber and provider are one request."""
    await bulk.register([("u", "fcm", "a"), ("u", "fcm", "b"), ("u", "apns", "c")])
    report = await bulk.register(
        [("u", "fcm", "a"), ("u", "fcm", "b")], operation="delete", verify=True
    )
    assert (report.done, report.duplicates, report.verified) == (1, 1, 1)
    assert local.device_tokens("u", "fcm") == []
    assert local.device_tokens("u", "apns") == ["c"]
    assert writes_of(local).count("DELETE") == 1


async def test_webhook_urls_are_registered(bulk: Bulk, local: LocalNovu) -> None:
    """The last URL of a channel is sent, with the channel's name; verify reads it back."""
    rows = [
        WebhookUrl("u", "slack", "https://old"),
        WebhookUrl("u", "rocket-chat", "https://chat", "room"),
        WebhookUrl("u", "slack", "https://new"),
    ]
    report = await bulk.register(rows, verify=True)
    assert (report.done, report.duplicates, report.verified) == (2, 1, 2)
    channels = local.subscribers["u"]["channels"]
    found = {one["providerId"]: one["credentials"] for one in channels}
    assert found["slack"]["webhookUrl"] == "https://new"
    assert found["rocket-chat"]["webhookUrl"] == "https://chat"
    assert found["rocket-chat"]["channel"] == "room"
    wrong = await bulk.verify([WebhookUrl("u", "slack", "https://old")])
    assert wrong.failed == 1


async def test_missing_subscribers_can_be_created() -> None:
    """Unknown subscribers are created with few requests."""
    async with (
        LocalNovu(subscribers=["known"]) as local,
        Novu(api_key=local.api_key, server_url=local.url) as novu,
    ):
        rows = [("known", "fcm", "a"), ("new", "fcm", "b"), ("new", "apns", "c")]
        report = await novu.bulk.register(rows, on_missing_subscriber="create")
        assert report.done == 3
        assert local.device_tokens("new", "fcm") == ["b"]
        assert local.device_tokens("new", "apns") == ["c"]


async def test_integrations_are_kept_apart() -> None:
    """Rows for two integrations of one provider are two writes, each to its own."""
    async with (
        LocalNovu() as local,
        Novu(api_key=local.api_key, server_url=local.url) as novu,
    ):
        local.add_integration("fcm", identifier="fcm-eu")
        local.add_integration("fcm", identifier="fcm-us")
        rows = [DeviceToken("u", "fcm", "a", "fcm-eu"), DeviceToken("u", "fcm", "a", "fcm-us")]
        report = await novu.bulk.register(rows, verify=True)
        assert (report.writes, report.done, report.verified) == (2, 2, 2)
        assert len(local.subscribers["u"]["channels"]) == 2


async def test_a_webhook_url_erases_no_tokens_of_its_channel(bulk: Bulk, local: LocalNovu) -> None:
    """Of a chat channel with both, the URL is written first, whatever the order of the rows."""
    rows = [DeviceToken("u", "slack", "t"), WebhookUrl("u", "slack", "https://h")]
    assert (await bulk.register(rows, verify=True)).verified == 2
    assert local.device_tokens("u", "slack") == ["t"]


async def test_a_webhook_url_that_is_put_off_erases_no_tokens(bulk: Bulk, local: LocalNovu) -> None:
    """Where the server was in trouble just then, the tokens of its channel wait with it."""
    local.faults.next("error_503", method="PUT")
    rows = [("u", "slack", "t"), WebhookUrl("u", "slack", "https://h"), ("u", "fcm", "t")]
    report = await bulk.register(rows, verify=True)
    assert (report.done, report.verified) == (3, 3)
    assert local.device_tokens("u", "slack") == ["t"]


async def test_tokens_in_later_pages_wait_with_their_webhook_url(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So it is where a subscriber has more rows than are read at once."""
    monkeypatch.setattr("novu_async.bulk.engine._PAGE_ROWS", 2)
    tokens = [f"t{n}" for n in range(9)]
    rows = [WebhookUrl("u", "slack", "https://h"), *(("u", "slack", token) for token in tokens)]
    async with (
        LocalNovu(latency=0.05) as local,
        Novu(api_key=local.api_key, server_url=local.url, retries=None) as novu,
    ):
        local.faults.next("error_503", method="PUT")
        report = await novu.bulk.register([*rows, ("v", "fcm", "t")], verify=True)
        assert (report.done, report.verified) == (11, 11)
        assert local.device_tokens("u", "slack") == tokens


async def test_replacing_rows_that_may_be_of_one_channel_are_not_sent(
    bulk: Bulk, local: LocalNovu, tmp_path: Path
) -> None:
    """Without an identifier they may erase what those with one have stored: they fail at once."""
    local.add_integration("fcm", identifier="fcm-eu")
    rows = [("u", "fcm", "b"), ("u", "fcm", "a", "fcm-eu"), ("u", "apns", "c"), ("v", "fcm", "d")]
    failures = tmp_path / "failed.csv"
    report = await bulk.register(rows, operation="replace", failures=failures)
    assert (report.done, report.failed, report.waiting, report.writes) == (3, 1, 0, 3)
    (reason,) = report.failures
    assert (reason.reason, reason.lines, reason.retryable) == (UNNAMED, (1,), False)
    assert local.device_tokens("u", "fcm") == ["a"]
    assert local.device_tokens("v", "fcm") == ["d"]
    (failed,) = csv.DictReader(failures.read_text().splitlines())
    assert (failed["token"], failed["reason"]) == ("b", UNNAMED)
    dry = await bulk.plan(rows, operation="replace")
    assert (dry.writes, dry.failures, dry.ok) == (3, report.failures, False)
    assert (await bulk.plan(rows)).ok


async def test_webhook_urls_that_may_be_of_one_channel_are_not_sent(
    bulk: Bulk, local: LocalNovu
) -> None:
    """The one that names its integration wins; tokens, which only add, are sent all the same."""
    local.add_integration("slack", identifier="slack-eu")
    rows = [
        WebhookUrl("u", "slack", "https://named", None, "slack-eu"),
        WebhookUrl("u", "slack", "https://unnamed"),
        DeviceToken("u", "slack", "t"),
    ]
    report = await bulk.register(rows)
    assert (report.done, [(one.reason, one.lines) for one in report.failures]) == (
        2,
        [(UNNAMED, (2,))],
    )
    (channel,) = local.subscribers["u"]["channels"]
    assert channel["credentials"]["webhookUrl"] == "https://named"
    assert channel["credentials"]["deviceTokens"] == ["t"]


async def test_verify_names_what_is_not_stored(bulk: Bulk, tmp_path: Path) -> None:
    """It writes nothing, reads each subscriber once, and its failures can be registered."""
    await bulk.register([("u", "fcm", "a"), ("u", "apns", "b")])
    failures = tmp_path / "missing.csv"
    rows = [("u", "fcm", "a"), ("u", "fcm", "x"), ("u", "apns", "b"), ("ghost", "fcm", "y")]
    report = await bulk.verify(rows, failures=failures)
    assert (report.done, report.failed, report.requests) == (2, 2, 2)
    assert report.failures[0].reason == "not stored when read back"
    assert (await bulk.register(failures)).done == 2
    assert (await bulk.verify(rows)).ok


async def test_one_request_without_an_answer_is_one_however_many_writes_it_reads_back(
    local: LocalNovu,
) -> None:
    """A subscriber is read at once: that its request failed does not stop the job."""
    rows = [("u", "fcm", "a"), ("u", "apns", "b"), ("u", "expo", "c"), ("v", "fcm", "d")]
    async with Novu(local.api_key, server_url=local.url, retries=None) as novu:
        await novu.bulk.register(rows)
        local.faults.next("error_503", method="GET")
        report = await novu.bulk.verify(rows, concurrency=1, stop_after=2)
        assert (report.done, report.requests) == (4, 3)


async def test_a_refused_key_stops_the_job_at_once(local: LocalNovu) -> None:
    """Nothing failed, everything waits, and the error has the report."""
    async with Novu(api_key="wrong", server_url=local.url) as novu:
        with pytest.raises(BulkError, match="API Key not found") as caught:
            await novu.bulk.register([(f"u{i}", "fcm", "t") for i in range(1000)])
    assert len(local.requests) <= 64
    report = caught.value.report
    assert (report.waiting, report.failed, report.done) == (1000, 0, 0)


async def test_a_server_that_is_gone_stops_the_job_soon() -> None:
    """However many rows there are, only a few requests are tried, and all rows wait."""
    async with LocalNovu() as local:
        url, key = local.url, local.api_key
    async with Novu(api_key=key, server_url=url, retries=None) as novu:
        bulk = novu.bulk
        for rows in (3, 1000):
            with pytest.raises(BulkError) as caught:
                await bulk.register([(f"u{i}", "fcm", "t") for i in range(rows)])
            assert caught.value.report.waiting == rows
            assert caught.value.report.requests < 64 + 10


async def test_a_server_that_asks_to_wait_for_a_day_stops_the_job(
    bulk: Bulk, local: LocalNovu, tmp_path: Path
) -> None:
    """It says so, also while it runs; nothing has failed, and a later run goes on."""
    rows, job, seen = [(f"u{n}", "fcm", f"t{n}") for n in range(300)], tmp_path / "a.job", []
    local.faults.next("too_many_requests", after=100, retry_after=86_400)
    async with asyncio.timeout(30):
        with pytest.raises(BulkError, match="asks to wait for 86400 s; ") as caught:
            await bulk.register(rows, job=job, progress=seen.append)
    assert seen[-1].stopped_for > 86_000
    stopped = caught.value.report
    assert stopped is not None
    assert stopped.done >= 84
    assert (stopped.failed, stopped.done + stopped.waiting) == (0, 300)
    async with Novu(local.api_key, server_url=local.url) as novu:
        assert (await novu.bulk.register(rows, job=job)).ok


async def test_a_provider_without_integration_stops_the_job_soon() -> None:
    """The rows wait until the integration is active, then the same call goes on."""
    async with (
        LocalNovu(integrations=["apns"]) as local,
        Novu(api_key=local.api_key, server_url=local.url) as novu,
    ):
        rows = [(f"u{i}", "fcm", "t") for i in range(1000)]
        with pytest.raises(BulkError, match="do not have active fcm integration") as caught:
            await novu.bulk.register(rows)
        assert caught.value.report.failed == 0
        assert len(local.requests) < 100


@pytest.mark.parametrize(
    ("era", "provider_id", "identifier", "missing"),
    [
        ("2024", "fmc", None, "integration of this provider"),
        ("2026", "fcm", "fcm-ue", "integration 'fcm-ue' of this provider"),
    ],
)
@pytest.mark.parametrize("concurrency", [1, 64])
async def test_mistyped_integrations_stop_no_job(
    era: Era, provider_id: str, identifier: str | None, missing: str, concurrency: int
) -> None:
    """However many rows name one, and before any other: they fail, and the others are stored."""
    wrong = [DeviceToken(f"a{i}", provider_id, "t", identifier) for i in range(300)]
    right = [("b", "fcm", "t"), ("c", "expo", "t")]
    async with (
        LocalNovu(era=era) as local,
        Novu(api_key=local.api_key, server_url=local.url) as novu,
    ):
        report = await novu.bulk.register([*wrong, *right], concurrency=concurrency)
    assert (report.done, report.failed, report.waiting) == (2, 300, 0)
    (reason,) = report.failures
    assert (reason.reason, reason.count) == (f"no active {missing}", 300)
    assert report.requests < 10 + 2 * concurrency + 2


async def test_a_mistyped_provider_stops_no_removal(bulk: Bulk, local: LocalNovu) -> None:
    """Nor where the integrations could not be read at first, so that its row seemed to be done."""
    rows = [(f"a{i:02}", "nope", "t") for i in range(30)] + [("b", "fcm", "t")]
    local.faults.next("error_500", method="GET", after=1)
    report = await bulk.register(rows, operation="remove", concurrency=1)
    assert (report.done, report.failed, report.waiting) == (2, 29, 0)


async def test_many_mistyped_integrations_are_failed_together(
    bulk: Bulk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job file is read through once more for all of them."""
    pages, read = [], Journal.read

    def count(*args: Any) -> list[Stored]:
        pages.append(args)
        return read(*args)

    monkeypatch.setattr(Journal, "read", count)
    wrong = [DeviceToken(f"a{i}", "fcm", "t", f"no-{i % 100}") for i in range(2000)]
    report = await bulk.register([*wrong, ("b", "fcm", "t")], concurrency=16)
    assert (report.done, report.failed, report.waiting) == (1, 2000, 0)
    assert report.requests < 100 * 10 + 200
    assert len(pages) < 5 * 4, "a few times, not once for each of them"


async def test_an_identifier_that_all_rows_name_stops_the_job_soon(
    bulk: Bulk, local: LocalNovu
) -> None:
    """Nothing of the job can be stored, so all of it waits until the integration is there."""
    rows = [(f"u{i}", "fcm", "t", "fcm-eu") for i in range(1000)]
    with pytest.raises(BulkError, match="do not have active fcm integration") as caught:
        await bulk.register(rows)
    assert "(provider_id fcm, integration_identifier fcm-eu); 0 rows are" in str(caught.value)
    assert caught.value.report.waiting == 1000
    assert len(local.requests) < 100


async def test_a_known_provider_without_integration_holds_up_no_other(tmp_path: Path) -> None:
    """What can be stored is; its own rows wait until it has one, and the same call goes on."""
    async with (
        LocalNovu(integrations=["apns"]) as local,
        Novu(api_key=local.api_key, server_url=local.url) as novu,
    ):
        rows = [(f"a{i}", "fcm", "t") for i in range(300)]
        rows += [(f"b{i}", "apns", "t") for i in range(300)]
        job = tmp_path / "job"
        with pytest.raises(BulkError, match="do not have active fcm integration") as caught:
            await novu.bulk.register(rows, job=job, concurrency=4)
        report = caught.value.report
        assert (report.done, report.failed, report.waiting) == (300, 0, 300)
        local.add_integration("fcm")
        assert (await novu.bulk.register(rows, job=job)).done == 600


class AtAttempt(Observer):
    """Runs functions just before attempts of the client, by their number."""

    def __init__(self, actions: dict[int, Callable[[], object]]) -> None:
        self.actions = actions
        self.attempts = 0

    def attempt(self, attempt: AttemptInfo) -> AbstractContextManager[object]:
        """Run what is to happen now."""
        self.attempts += 1
        self.actions.get(self.attempts, lambda: None)()
        return nullcontext()


async def test_an_integration_that_is_switched_off_meanwhile_stops_the_job(
    local: LocalNovu, tmp_path: Path
) -> None:
    """It has worked in this job, so its rows are not wrong: they wait for it."""
    observer = AtAttempt({21: local.reset})  # the second one reads the integrations
    async with Novu(local.api_key, server_url=local.url, observer=observer) as novu:
        local.add_integration("fcm", identifier="fcm-eu")
        rows = [(f"a{i}", "fcm", "t", "fcm-eu") for i in range(100)]
        rows += [(f"b{i}", "apns", "t", "apns") for i in range(100)]
        job = tmp_path / "job"
        with pytest.raises(BulkError, match="do not have active fcm integration") as caught:
            await novu.bulk.register(rows, job=job, concurrency=1)
        report = caught.value.report
        assert (report.done, report.failed, report.waiting) == (119, 0, 81)
        local.add_integration("fcm", identifier="fcm-eu")
        assert (await novu.bulk.register(rows, job=job)).done == 200


async def test_an_integration_that_is_on_again_gets_all_its_rows(local: LocalNovu) -> None:
    """A write that was begun before shows it; what was not sent meanwhile is sent then."""

    def switch_on() -> None:
        local.add_integration("fcm", identifier="fcm-eu")

    observer = AtAttempt({20: local.reset, 35: switch_on})
    async with Novu(local.api_key, server_url=local.url, observer=observer) as novu:
        switch_on()
        rows = [(f"a{i}", "fcm", "t", "fcm-eu") for i in range(1000)]
        report = await novu.bulk.register(rows, concurrency=16)
    assert (report.done, report.failed, report.waiting) == (1000, 0, 0)


async def test_rows_that_met_a_server_in_trouble_are_sent_once_more(
    bulk: Bulk, local: LocalNovu
) -> None:
    """At the end of the job the trouble is often over; nothing of it is left in the report."""
    local.faults.next("error_503", times=30, after=5)
    rows = [(f"u{i}", "fcm", "t") for i in range(80)]
    report = await bulk.register(rows, concurrency=2, stop_after=100)
    assert (report.done, report.failed, report.requests) == (80, 0, 110)
    assert report.ok


async def test_a_server_that_takes_some_more_each_time_gets_all_rows(
    bulk: Bulk, local: LocalNovu
) -> None:
    """One that is overloaded, or behind a limit of a proxy that answers 503, is no end of rows."""
    for refused, taken in ((40, 0), (30, 10), (20, 10)):
        local.faults.next("error_503", times=refused, after=taken)
    rows = [(f"u{i}", "fcm", "t") for i in range(50)]
    report = await bulk.register(rows, concurrency=1, stop_after=100)
    assert (report.done, report.failed, report.requests) == (50, 0, 50 + 40 + 30 + 20)


async def test_trouble_of_many_rows_that_stays_has_an_end(bulk: Bulk, local: LocalNovu) -> None:
    """Where none of them succeeds they are sent once more, and fail."""
    rows = [(f"u{i}", "fcm", "t") for i in range(40)]
    for i in range(20):
        local.faults.next("error_503", times=100, subscriber_id=f"u{2 * i}")
    report = await bulk.register(rows, concurrency=1, stop_after=100)
    assert (report.done, report.failed, report.requests) == (20, 20, 40 + 20)


@pytest.mark.parametrize("way", ["register", "stream"])
async def test_a_retry_opens_no_file(
    local: LocalNovu, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Where connections have taken all that a process may have open, calls are still repeated."""

    class NoFileLeft:
        def find_spec(self, name: str, *_: object) -> None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), name)

    for name in [name for name in sys.modules if name.partition(".")[0] == "tenacity"]:
        monkeypatch.delitem(sys.modules, name)

    async def rows() -> Any:
        monkeypatch.setattr(sys, "meta_path", [NoFileLeft()])
        yield ("u", "fcm", "t")

    local.faults.next("error_503", retry_after=0)
    retries = RetryConfig("backoff", BackoffStrategy(1, 10, 1.5, 60_000), True)
    async with Novu(local.api_key, server_url=local.url, retries=retries) as novu:
        if way == "register":
            assert (await novu.bulk.register(rows())).done == 1
        else:
            assert [outcome.status async for outcome in novu.bulk.stream(rows())] == ["done"]


async def test_every_request_is_counted(local: LocalNovu) -> None:
    """Retries too, and tokens that were sent again."""
    local.faults.next("error_503", times=5, retry_after=0)
    local.faults.next("overwritten", times=3)
    retries = RetryConfig("backoff", BackoffStrategy(1, 10, 1.5, 60_000), True)
    async with Novu(local.api_key, server_url=local.url, retries=retries) as novu:
        rows = [(f"u{i}", "fcm", "t") for i in range(30)]
        report = await novu.bulk.register(rows, concurrency=4)
    assert (report.done, report.requests) == (30, len(local.requests))
    assert report.requests >= 38


async def test_requests_of_rows_that_failed_are_counted() -> None:
    """Creating a subscriber is one, and so is asking for an integration that is not there."""
    async with (
        LocalNovu(subscribers=[]) as local,
        Novu(api_key=local.api_key, server_url=local.url) as novu,
    ):
        rows = [(f"u{i}", "fcm", "t", "fmc") for i in range(5)]
        report = await novu.bulk.register(rows, on_missing_subscriber="create")
        assert (report.failed, report.requests) == (5, len(local.requests))


async def test_trouble_that_stays_is_the_rows_own(bulk: Bulk, local: LocalNovu) -> None:
    """What fails again is failed, as retryable; the others are done."""
    local.faults.next("error_503", times=100, subscriber_id="u7")
    local.faults.next("overwritten", times=100, subscriber_id="u9")
    rows = [(f"u{i}", "fcm", "t") for i in range(50)]
    report = await bulk.register(rows, concurrency=2)
    assert (report.done, report.failed) == (48, 2)
    assert [(one.reason, one.retryable) for one in report.failures] == [
        ("acknowledged but not stored", True),
        ("status 503", True),
    ]


async def test_an_answer_that_is_too_large_is_told_as_such(local: LocalNovu) -> None:
    """It is an answer, and the same for each try: the row is not sent once more."""
    local.faults.next("oversized_reply", times=100)
    async with Novu(local.api_key, server_url=local.url, max_reply_bytes=10_000) as novu:
        report = await novu.bulk.register([("u", "fcm", "t"), ("v", "fcm", "t")])
    (failed,) = report.failures
    assert (failed.count, failed.retryable) == (2, False)
    assert "max_reply_bytes" in failed.reason
    assert len(local.requests) == 2


async def test_progress_adds_up(bulk: Bulk) -> None:
    """Each phase is told, and the last figures are the report's."""
    seen: list[Progress] = []
    rows = [("u", "fcm", "t"), ("u", "fcm", "t"), ("", "fcm", "t"), ("v", "fcm", "t")]
    report = await bulk.register(rows, progress=seen.append, verify=True)
    phases = list(dict.fromkeys(progress.phase for progress in seen))
    assert phases == ["reading", "merging", "sending", "verifying"]
    sent = [progress for progress in seen if progress.phase == "sending"][-1]
    assert (sent.rows, sent.done, sent.invalid, sent.duplicates, sent.waiting) == (4, 2, 1, 1, 0)
    assert sent.requests == 2
    assert seen[-1].requests == report.requests == 4


async def test_an_error_in_the_progress_callback_is_raised(bulk: Bulk) -> None:
    """It is the caller's own, and comes as it is."""

    def fail(progress: Progress) -> None:
        if progress.phase == "sending":
            raise RuntimeError("display is gone")

    with pytest.raises(RuntimeError, match="display is gone"):
        await bulk.register([("u", "fcm", "t")], progress=fail)


async def test_a_progress_callback_that_would_have_to_be_awaited_is_refused(
    bulk: Bulk, local: LocalNovu
) -> None:
    """It would never run; nor would what is no function."""

    async def show(progress: Progress) -> None:
        raise AssertionError

    class Display:
        async def __call__(self, progress: Progress) -> None:
            raise AssertionError

    wrong: Any
    for wrong in (show, Display(), partial(show), 7):
        with pytest.raises(InvalidRequestError, match="progress must be a function that is not"):
            await bulk.register([("u", "fcm", "t")], progress=wrong)
        with pytest.raises(InvalidRequestError, match="progress must be a function that is not"):
            await bulk.plan([("u", "fcm", "t")], progress=wrong)
    assert local.requests == []


async def test_failures_that_cannot_be_written_hide_no_error(bulk: Bulk, tmp_path: Path) -> None:
    """What went wrong first is raised, with a note about the file."""
    folder = tmp_path / "folder"
    folder.mkdir()

    def fail(progress: Progress) -> None:
        if progress.phase == "sending":
            shutil.rmtree(folder, ignore_errors=True)
            raise RuntimeError("display is gone")

    with pytest.raises(RuntimeError, match="display is gone") as caught:
        await bulk.register([("u", "", "t")], failures=folder / "failed.csv", progress=fail)
    (note,) = caught.value.__notes__
    assert "failed.csv cannot be written: No such file or directory" in note


@pytest.mark.parametrize("kept", [True, False])
async def test_failures_that_cannot_be_written_at_the_end_cost_no_report(
    bulk: Bulk, tmp_path: Path, kept: bool
) -> None:
    """The error has it, and a job file still has the rows."""
    folder, job = tmp_path / "folder", tmp_path / "job" if kept else None
    folder.mkdir()
    rows = [("u", "fcm", "t"), ("u", "", "t")]

    def remove(progress: Progress) -> None:
        shutil.rmtree(folder, ignore_errors=True)

    failures = folder / "failed.csv"
    with pytest.raises(BulkError, match=r"failed\.csv cannot be written") as caught:
        await bulk.register(rows, job=job, failures=failures, progress=remove)
    report = caught.value.report
    assert (report.done, report.invalid, report.failures_path) == (1, 1, None)
    assert isinstance(caught.value.__cause__, ConfigurationError)
    assert ("run it again with another failures file" in str(caught.value)) == kept
    if kept:
        report = await bulk.register(None, job=job, failures=tmp_path / "failed.csv")
        assert (report.done, report.requests) == (1, 1)
        assert len((tmp_path / "failed.csv").read_text().splitlines()) == 2


async def test_why_a_job_was_stopped_is_told_though_failures_cannot_be_written(
    local: LocalNovu, tmp_path: Path
) -> None:
    """The first cause comes first, and the report says how far the job came."""
    folder = tmp_path / "folder"
    folder.mkdir()

    def remove(progress: Progress) -> None:
        shutil.rmtree(folder, ignore_errors=True)

    async with Novu("wrong", server_url=local.url) as novu:
        rows = [("u", "fcm", "t"), ("u", "", "t")]
        with pytest.raises(BulkError, match=r"^stopped: .*failed\.csv cannot be wri") as caught:
            await novu.bulk.register(rows, failures=folder / "failed.csv", progress=remove)
    assert isinstance(caught.value.__cause__, AuthenticationError)
    assert (caught.value.report.waiting, caught.value.report.invalid) == (1, 1)


async def test_async_iterables_are_read(bulk: Bulk, local: LocalNovu) -> None:
    """Rows may come from an async generator."""

    async def rows() -> object:
        for i in range(1200):
            yield ("u", "fcm", f"t{i % 90}")
            if i % 500 == 0:
                await asyncio.sleep(0)

    report = await bulk.register(rows())  # type: ignore[arg-type]
    assert (report.done, report.duplicates) == (90, 1110)
    assert len(local.device_tokens("u", "fcm")) == 90


async def test_an_error_of_the_source_sends_nothing(bulk: Bulk, local: LocalNovu) -> None:
    """The input is read to its end before the first request."""

    def rows() -> object:
        yield ("u", "fcm", "t")
        raise LookupError("database is gone")

    with pytest.raises(LookupError):
        await bulk.register(rows())  # type: ignore[arg-type]
    assert local.requests == []


@pytest.mark.parametrize(
    ("records", "options", "argument"),
    [
        ([], {"operation": "upsert"}, "operation"),
        ([], {"concurrency": 0}, "concurrency"),
        ([], {"stop_after": True}, "stop_after"),
        ([], {"patience": "60"}, "patience"),
        ([], {"patience": -1}, "patience"),
        ([], {"patience": math.nan}, "patience"),
        ([], {"grace": None}, "grace"),
        ([], {"grace": True}, "grace"),
        ([], {"on_missing_subscriber": "ignore"}, "on_missing_subscriber"),
        ([], {"on_missing_subscriber": "create", "operation": "delete"}, "on_missing_subscriber"),
        (None, {}, "records"),
        (7, {}, "records"),
        ("missing.csv", {}, "records"),
    ],
)
async def test_wrong_arguments_are_refused(
    bulk: Bulk, records: object, options: dict[str, object], argument: str
) -> None:
    """Before anything is read or sent, with the name of the argument."""
    with pytest.raises(InvalidRequestError) as caught:
        await bulk.register(records, **options)  # type: ignore[arg-type]
    assert caught.value.argument == argument


async def test_without_records_a_job_file_is_needed(bulk: Bulk) -> None:
    """The message names both, and no file that the caller has never heard of."""
    for call in (bulk.register, bulk.verify):
        with pytest.raises(InvalidRequestError, match="or a job file to go on with") as caught:
            await call(None)
        assert caught.value.argument == "records"


async def test_a_plan_refuses_what_the_job_would(bulk: Bulk) -> None:
    """The options are checked together, as they are for a job."""
    with pytest.raises(InvalidRequestError, match="only append creates subscribers"):
        await bulk.plan([], operation="remove", on_missing_subscriber="create")
    assert (await bulk.plan([("u", "fcm", "t")], on_missing_subscriber="create")).ok


async def test_nothing_to_do_is_done(bulk: Bulk, write: Write) -> None:
    """An empty iterable, or a header without rows, is a job that is finished."""
    assert (await bulk.register([])).ok
    report = await bulk.register(read_file(write("subscriber_id,provider_id,token\n")))
    assert (report.ok, report.rows) == (True, 0)


async def test_no_task_thread_or_file_is_left(bulk: Bulk, tmp_path: Path) -> None:
    """After a job only what was asked for is there."""
    tasks = asyncio.all_tasks()
    await bulk.register([("u", "fcm", "t")], job=tmp_path / "job")
    left = asyncio.all_tasks() - tasks
    assert not [task for task in left if "bulk" in repr(task.get_coro())]
    assert not [thread for thread in threading.enumerate() if "bulk" in thread.name]
    assert os.listdir(tmp_path) == ["job"]


@pytest.mark.parametrize("operation", ["append", "replace"])
async def test_one_subscriber_with_very_many_rows(operation: Operation) -> None:
    """More rows than a page of the job file has: all are stored, in order, none twice."""
    async with (
        LocalNovu(era="2024") as local,
        Novu(api_key=local.api_key, server_url=local.url) as novu,
    ):
        rows = [("u", "fcm", f"t{i}") for i in range(5000)] + [("v", "fcm", "t")]
        report = await novu.bulk.register(rows, operation=operation)
        assert report.done == 5001
        assert local.device_tokens("u", "fcm") == [f"t{i}" for i in range(5000)]


async def test_what_is_not_the_api_is_waited_for() -> None:
    """Where something else answers, as during maintenance, no rows are burnt: they wait."""

    async def redirect(_: web.BaseRequest) -> web.Response:
        return web.Response(status=302, headers={"Location": "http://127.0.0.1/soon"}, text="soon")

    async with (
        test_utils.RawTestServer(redirect) as server,
        Novu("key", server_url=f"http://127.0.0.1:{server.port}") as novu,
    ):
        with pytest.raises(BulkError) as caught:
            await novu.bulk.register([(f"u{n}", "fcm", f"t{n}") for n in range(500)])
    report = caught.value.report
    assert report is not None
    assert (report.done, report.failed, report.waiting) == (0, 0, 500)
