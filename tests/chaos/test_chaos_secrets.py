"""One run through every path, with recognisable secrets: none of them is to be seen anywhere."""

import asyncio
import gc
import json
import logging
import os
import pickle
import stat
import warnings
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chaos_harness import BRIEF, FIGURES, FastClock, count_faults, make_client
from click.testing import CliRunner
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from raw_server import http, serve
from secret_search import HEADER, KEY, MARK, PASSWORD, TOKENS, WEBHOOK, Records, Search

import novu_sync
from novu_async import BulkError, ConfigurationError, Novu, NovuError
from novu_async.bulk import DeviceToken, WebhookUrl, read_outcomes
from novu_async.cli._program import program
from novu_async.otel import OpenTelemetryObserver
from novu_async.testing import FAULT_KINDS, FaultKind, LocalNovu

BOTH = {
    "provider_id": "zulip",
    "credentials": {"device_tokens": TOKENS[:3], "webhook_url": WEBHOOK},
}
SLACK = {"provider_id": "slack", "credentials": {"webhook_url": WEBHOOK, "title": "t"}}
TALKATIVE = (None, "drop_before_reply", "truncated_json", "error_500")
"""The faults under which asyncio is in debug mode, and tells of every single callback."""


@pytest.fixture
def search() -> Iterator[Search]:
    """Search the logs of everything at DEBUG, and all warnings, when the test has ended."""
    search, records, root = Search(), Records(), logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in ("aiohttp", "asyncio", None)}
    root.addHandler(records)
    for name in levels:
        logging.getLogger(name).setLevel(logging.DEBUG)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        yield search
        root.removeHandler(records)
        search.logged(records.records)
        records.records.clear()  # they hold errors, and with them clients that were forgotten
        gc.collect()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    for warning in warned:
        search.text("warning", f"{warning.message} {warning.source!r} {warning!r}")
    assert search.found == []


@pytest.fixture
def debugging() -> Iterator[None]:
    """Let asyncio tell of every callback that it runs."""
    os.environ["PYTHONASYNCIODEBUG"] = "1"
    yield
    del os.environ["PYTHONASYNCIODEBUG"]


def make_calls(novu: Any) -> list[Callable[[], Any]]:
    """List every call of a client, awaited or blocking; also some that are refused."""
    credentials, tokens = novu.subscribers.credentials, novu.subscribers.device_tokens
    options = {"http_headers": {"X-Gateway": HEADER}, "idempotency_key": "once"}
    return [
        lambda: credentials.append("u1", BOTH, **options),
        lambda: credentials.update("u1", BOTH),
        lambda: credentials.update("u1", SLACK),
        lambda: credentials.delete("u1", "slack"),
        lambda: tokens.add("u1", "fcm", TOKENS),
        lambda: tokens.replace("u1", "fcm", TOKENS[2:]),
        lambda: tokens.remove("u1", "fcm", TOKENS[3]),
        lambda: tokens.rotate("u1", "fcm", TOKENS[4], TOKENS[5]),
        lambda: tokens.list("u1", "fcm"),
        lambda: tokens.repair("u1", "fcm"),
        lambda: novu.subscribers.retrieve("u1"),
        lambda: tokens.clear("u1", "fcm"),
        lambda: credentials.append("u1", {**BOTH, "provider_id": "fmc"}),
        lambda: credentials.append("u1", {"provider_id": "fcm", "credentials": TOKENS}),
        lambda: credentials.append("u1", {"provider_id": "fcm", "credentials": {"tokens": TOKENS}}),
        lambda: tokens.add("u1", "fcm", [*TOKENS, None]),
        lambda: tokens.add("u1", "fcm", [TOKENS[0] * 20_000]),
        lambda: tokens.add("u1", "fcm", [TOKENS[0].encode()]),
        lambda: tokens.add("u1", "fcm", [f"{TOKENS[0]}-{i}" for i in range(101)]),
        lambda: credentials.append("u1", BOTH, http_headers={"X-Gateway": f"{HEADER}\n"}),
        lambda: credentials.append("u1", BOTH, server_url=f"http://user:{PASSWORD}@localhost"),
    ]


async def try_out(search: Search, where: str, call: Callable[[], Awaitable[Any]]) -> None:
    """Make a call, and look at its result or its error."""
    FIGURES.calls += 1
    try:
        result = await call()
    except NovuError as error:
        logging.getLogger("caller").exception("failed")
        search.error(where, error)
    else:
        search.value(where, result)
        if hasattr(result, "result"):
            search.value(where, result.result)


async def try_all(search: Search, local: LocalNovu, fault: FaultKind | None) -> None:
    """Make every call under a fault, in debug mode, with spans."""
    if asyncio.get_running_loop().get_debug():
        asyncio.get_running_loop().slow_callback_duration = 0
    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    options: dict[str, Any] = {"headers": {"X-Gateway": HEADER}, "timeout": 10.0, "retries": BRIEF}
    if fault is not None and fault.startswith("stall"):
        options |= {"timeout": 0.05, "retries": None}
    novu = make_client(local, observer=OpenTelemetryObserver(provider), **options)
    async with novu:
        search.value("client", novu)
        for attribute in (novu._pipeline, novu._pipeline.settings, novu.subscribers, novu.bulk):
            search.value("client", attribute)
        for number, call in enumerate(make_calls(novu)):
            local.add_subscriber("u1", channels=make_channels())
            if fault is not None:
                local.faults.next(fault, times=3, retry_after=0, size_bytes=200_000)
            await try_out(search, f"{fault} {number}", call)
            local.faults.stop()
        for task in asyncio.all_tasks():
            search.value("task", task)
    count_faults(local)
    for span in spans.get_finished_spans():
        search.text("span", span.to_json())


def check_variables(search: Search) -> None:
    """Of the variables of a traceback, those of aiohttp hold the key; ours hold the arguments."""
    assert search.in_locals
    assert [where for where in search.in_locals if where.startswith("key: novu_")] == []


def make_channels() -> list[dict[str, Any]]:
    """Make the duplicate channels that a race leaves."""
    return [{"providerId": "fcm", "credentials": {"deviceTokens": TOKENS[i:9]}} for i in range(2)]


@pytest.mark.parametrize("fault", [None, *FAULT_KINDS])
def test_no_secret_of_a_call_is_seen(fault: FaultKind | None, search: Search) -> None:
    """Results, errors, tracebacks, pickles, spans, warnings, logs: fingerprints at the most."""

    async def main() -> None:
        async with LocalNovu(api_keys=[KEY]) as local:
            await try_all(search, local, fault)

    asyncio.run(main(), debug=fault in TALKATIVE)
    check_variables(search)


ECHO = f"{KEY} {TOKENS[0]} {TOKENS[2]} {WEBHOOK}"
ECHOES = [
    http(json.dumps({"statusCode": 400, "message": [ECHO, ECHO]}).encode(), status="400 x"),
    http(json.dumps({"message": ECHO, "errors": {ECHO: [ECHO]}}).encode(), status="422 x"),
    http(f"<html>{ECHO * 500}</html>".encode(), status="502 x"),
    http(f"<html>{ECHO}</html>".encode(), content_type="text/html"),
    http(json.dumps({"message": "x" * 480 + ECHO}).encode(), status="500 x"),
    f"HTTP/1.1 200 {ECHO}\r\nno header {ECHO}\r\n\r\n".encode(),
    f"{ECHO}\r\n\r\n".encode(),
]


@pytest.mark.parametrize("answer", ECHOES, ids=range(len(ECHOES)))
def test_no_secret_that_a_server_echoes_is_seen(answer: bytes, search: Search) -> None:
    """An API, or a proxy before it, that repeats in its error what it was sent."""

    async def main() -> None:
        async with serve(answer) as server, Novu(KEY, server_url=server.url, retries=None) as novu:
            await try_out(search, "echo", lambda: novu.subscribers.credentials.append("u1", BOTH))

    asyncio.run(main(), debug=True)


@pytest.mark.parametrize("era", ["2024", "2026"])
def test_no_secret_of_a_wrong_key_is_seen(era: Any, search: Search) -> None:
    """A server that does not know the key may echo it."""

    async def main() -> None:
        async with LocalNovu(era=era) as local, Novu(KEY, server_url=local.url) as novu:
            for call in make_calls(novu):
                await try_out(search, "wrong key", call)

    asyncio.run(main(), debug=True)


def test_no_secret_of_a_call_that_is_cut_off_is_seen(search: Search) -> None:
    """Cancelled, closed and forgotten calls, and clients that are dropped while open."""

    async def main(ending: str) -> None:
        async with LocalNovu(api_keys=[KEY], latency=0.002) as local:
            novu = Novu(KEY, server_url=local.url)
            calls = [asyncio.ensure_future(call()) for call in make_calls(novu)]
            await asyncio.sleep(0.01)
            for task in calls[:: 2 if ending == "cancelled" else 99]:
                task.cancel()
            if ending == "closed":
                await novu.aclose()
            results = await asyncio.gather(*calls, return_exceptions=True)
            for result in results:
                if isinstance(result, Exception):
                    search.error(ending, result)
            if ending == "cancelled":
                await novu.aclose()

    for ending in ("cancelled", "closed"):
        asyncio.run(main(ending), debug=True)
    logging.disable()  # pytest keeps the records, and with their errors the client
    try:
        asyncio.run(main("forgotten"), debug=True)
    finally:
        logging.disable(logging.NOTSET)
    gc.collect()  # what is forgotten warns now


@pytest.mark.parametrize("job", [True, False], ids=["job", "stream"])
@pytest.mark.parametrize("trouble", ["none", "faults", "no server", "wrong key"])
def test_no_secret_of_a_job_is_seen(
    job: bool, trouble: str, search: Search, tmp_path: Path
) -> None:
    """Reports, outcomes, progress and errors of bulk jobs; the files are their owner's alone."""
    path = write_input(tmp_path)

    async def main() -> None:
        async with (
            LocalNovu(api_keys=["another"] if trouble == "wrong key" else [KEY]) as local,
            Novu(KEY, server_url=local.url, retries=BRIEF) as novu,
        ):
            novu._pipeline.clock = FastClock()
            if trouble == "faults":
                local.faults.random(
                    0.3, seed=1, kinds=["html_error", "truncated_json", "error_500"]
                )
            if trouble == "no server":
                await local.aclose()
            await (run_job if job else run_stream)(search, novu, path)
            FIGURES.faults.update(local.faults.injected)

    asyncio.run(main(), debug=True)


def write_input(folder: Path) -> Path:
    """Write rows that are stored, refused, broken and duplicate."""
    path = folder / "input.csv"
    rows = [f"u{i},fcm,{token},," for i, token in enumerate(TOKENS)]
    rows += [f"u0,slack,,{WEBHOOK},", f"u0,fcm,{TOKENS[0]},,", f"u0,fmc,{TOKENS[1]},,"]
    rows += [
        f'"{TOKENS[0]}',
        f",,{TOKENS[0]},,",
        f"u1,fcm,{TOKENS[0]},{WEBHOOK},",
        f"u1,{TOKENS[0]}",
    ]
    path.write_text("subscriber_id,provider_id,token,webhook_url,more\n" + "\n".join(rows))
    return path


async def run_job(search: Search, novu: Novu, path: Path) -> None:
    """Run a job with everything that a job can tell, and look at it."""
    job, failed = path.with_suffix(".job"), path.with_suffix(".failed")

    def watch(progress: object) -> None:
        search.value("progress", progress)

    try:
        report = await novu.bulk.register(
            path, job=job, failures=failed, progress=watch, verify=True, patience=0.1
        )
    except BulkError as error:
        search.error("job", error)
        report = error.report
    search.value("report", report)
    search.text("report, pickle", repr(pickle.dumps(report)))
    for outcome in read_outcomes(job):
        search.value("outcome", outcome)
    for file in path.parent.iterdir():
        if file != path:
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    search.value("dry run", await novu.bulk.plan(path))


async def run_stream(search: Search, novu: Novu, path: Path) -> None:
    """Stream a file, and look at every outcome."""
    records = [DeviceToken("u", "fcm", TOKENS[0]), WebhookUrl("u", "slack", WEBHOOK)]
    for source in (path, records):
        try:
            async for outcome in novu.bulk.stream(source, patience=0.1):
                search.value("outcome", outcome)
        except BulkError as error:
            search.error("stream", error)


def test_no_secret_of_blocking_code_is_seen(search: Search, debugging: None) -> None:
    """The same calls through novu_sync, whose loop is in debug mode too."""
    with (
        LocalNovu.in_thread(api_keys=[KEY]) as local,
        novu_sync.Novu(KEY, server_url=local.url, retries=BRIEF) as novu,
    ):
        local.faults.random(0.2, seed=4)
        search.value("client", novu)
        for call in make_calls(novu):
            FIGURES.calls += 1
            try:
                search.value("blocking", call())
            except NovuError as error:
                search.error("blocking", error)
        count_faults(local)
    check_variables(search)


@pytest.mark.parametrize(
    "arguments",
    [
        {"timeout": -1},
        {"api_key": f"{KEY}\n"},
        {"secret_key": KEY, "server": "mars"},
        {"api_key": KEY, "secret_key": "another"},
        {"api_key": KEY, "session": "none"},
        {"timeout": -1, "proxy": f"http://me:{PASSWORD}@p:1", "headers": {"X-Gate": HEADER}},
        {"api_key": lambda: {}["no such key"]},
    ],
    ids=lambda arguments: "+".join(arguments),
)
@pytest.mark.parametrize("make", [Novu, novu_sync.Novu], ids=["awaited", "blocking"])
def test_no_secret_of_a_client_that_cannot_be_made_is_seen(
    search: Search, monkeypatch: pytest.MonkeyPatch, make: Any, arguments: dict[str, Any]
) -> None:
    """Nor among the variables of the traceback, which had the whole environment."""
    monkeypatch.setenv("NOVU_API_KEY", KEY)
    with pytest.raises((ConfigurationError, KeyError)) as caught:
        make(**arguments)
    search.error("client", caught.value)
    assert not search.in_locals


COMMANDS = [
    (["append", "u1", "fcm", "-"], "\n".join(TOKENS)),
    (["append", "u1", "fcm", "-", "--json"], TOKENS[0]),
    (["update", "u1", "fcm", "-"], TOKENS[0]),
    (["update", "u1", "slack", "--webhook-url", "-"], WEBHOOK),
    (["update", "u1", "slack", "--webhook-url", "-", "--json"], WEBHOOK),
    (["show", "u1"], ""),
    (["show", "u1", "--json"], ""),
    (["tokens", "add", "u1", "fcm", "-"], TOKENS[3]),
    (["tokens", "remove", "u1", "fcm", "-", "--json"], TOKENS[3]),
    (["tokens", "list", "u1", "fcm"], ""),
    (["tokens", "clear", "u1", "fcm"], ""),
    (["register", "input.csv", "--failures", "failed.csv", "--job", "named.job"], ""),
    (["register", "input.csv", "--json"], ""),
    (["register", "input.csv", "--dry-run"], ""),
    (["register", "-"], f"{TOKENS[0]},{TOKENS[1]}\n"),
    (["verify", "input.csv"], ""),
    (["job", "show", "named.job"], ""),
    (["job", "show", "input.csv"], ""),
    (["delete", "u1", "slack"], ""),
    (["append", "u1", "fmc", "-"], TOKENS[0]),
    (["append", "u1", "fcm", "-"], "\x00" + TOKENS[0] * 20_000),
    (["append", "u1", "fcm", "-", "--api-key-file", "two-lines"], TOKENS[0]),
]


@pytest.mark.parametrize("trouble", [None, "redirect", "key"])
def test_no_secret_of_a_command_is_seen(
    trouble: Any, search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What novu-credentials prints on either stream, when it works and when it does not."""
    monkeypatch.chdir(tmp_path)
    write_input(tmp_path)
    (tmp_path / "two-lines").write_text(f"{KEY}\n{KEY}\n")
    with LocalNovu.in_thread(api_keys=["another" if trouble == "key" else KEY]) as local:
        environment = {"NOVU_API_KEY": KEY, "NOVU_SERVER_URL": local.url}
        for arguments, stdin in COMMANDS:
            if trouble not in (None, "key"):
                local.faults.next(trouble)
            done = CliRunner(env=environment).invoke(program, arguments, input=stdin)
            assert done.exit_code in (0, 1, 2), arguments
            search.text(" ".join(arguments), done.output)
            search.text(" ".join(arguments), done.stderr)
            FIGURES.calls += 1


@pytest.mark.parametrize(
    ("server_url", "warns"),
    [
        ("http://novu.example", True),
        ("http://10.0.0.7:3000/prefix", True),
        ("http://localhost.example", True),
        ("https://novu.example", False),
        ("http://localhost:3000", False),
        ("http://novu.localhost", False),
        ("http://127.0.0.2:3000", False),
        ("http://[::1]:3000", False),
    ],
)
def test_a_key_in_clear_text_is_warned_of(
    server_url: str, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A client of a plain http server that is another machine says so, once."""
    Novu(KEY, server_url=server_url)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * warns
    assert all(server_url in record.getMessage() for record in caplog.records)


async def fail(secret: str) -> None:
    """Raise an error that shows a secret."""
    raise NovuError(f"failed with {secret}")


def test_the_search_finds_what_there_is_to_find() -> None:
    """A secret in an error, half of one in a log record, and one in a variable."""
    found = FIGURES.secrets, FIGURES.texts
    search = Search()
    with pytest.raises(NovuError) as caught:
        asyncio.run(fail(KEY))
    search.error("error", caught.value)
    search.logged([logging.LogRecord("x", 10, "", 1, "%s", (TOKENS[0][:3],), None)])
    search.text("text", "nothing")
    assert {where.partition(":")[0] for where in search.found} >= {
        "error, NovuError, repr", "error, traceback", "error, pickle", "log x", "log x, record",
    }  # fmt: skip
    FIGURES.secrets, FIGURES.texts = found
    assert MARK in WEBHOOK


@pytest.mark.parametrize("make", [Novu, novu_sync.Novu])
def test_a_client_cannot_be_pickled(make: Any) -> None:
    """Its pickle would hold the key; what a worker process needs is a client of its own."""
    novu = make(KEY)
    for part in (novu, novu.subscribers, novu.subscribers.device_tokens, novu.bulk):
        with pytest.raises(TypeError, match="holds the API key") as caught:
            pickle.dumps(part)
        assert KEY not in str(caught.value)


def test_a_report_is_safe_to_keep_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The summary that --json prints has numbers, reasons and paths."""
    monkeypatch.chdir(tmp_path)
    with LocalNovu.in_thread() as local:
        environment = {"NOVU_API_KEY": local.api_key, "NOVU_SERVER_URL": local.url}
        path = write_input(tmp_path)
        done = CliRunner(env=environment).invoke(program, ["register", str(path), "--json"])
        assert json.loads(done.stdout)["rows"] == 19
