"""Hostile rows and files: each costs itself only; no job dies, hangs, or writes to another URL."""

import gzip
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chaos_harness import FIGURES, make_client
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from novu_async.bulk import read_file, read_rows
from novu_async.bulk.records import Invalid, Row, convert
from novu_async.cli._program import program
from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio

GOOD = ("good", "fcm", "t")
HEADER = b"subscriber_id,provider_id,token\n"
JSON_ROW = b'{"subscriber_id":"good","provider_id":"fcm","token":"t"}\n'


class Wordless:
    """An object that has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def looped() -> dict[str, Any]:
    """Make a row that holds itself."""
    row: dict[str, Any] = {"subscriber_id": "loop", "provider_id": "fcm", "token": "t"}
    row["more"] = row
    return row


def nested(depth: int) -> list[Any]:
    """Make a list in a list in a list."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


HOSTILE_ROWS: list[tuple[str, Any]] = [
    ("an id of 5,000 digits", (10**5000, "fcm", "t")),
    ("a token of 5,000 digits", ("u", "fcm", 10**5000)),
    ("an object without a text", ("u", "fcm", Wordless())),
    ("an object without a text beside the row",
     {"subscriber_id": "", "provider_id": "fcm", "token": "t", "more": Wordless()}),
    ("a key without a text", {"subscriber_id": "", Wordless(): 1}),
    ("half of a pair in an id", ("u\ud800", "fcm", "t")),
    ("half of a pair in a token", ("u", "fcm", "t\udfff")),
    ("half of a pair in a column", {"subscriber_id": "", "provider_id": "fcm", "\ud800": "\ud800"}),
    ("a nested token", ("u", "fcm", nested(100_000))),
    ("nan as an id", (float("nan"), "fcm", "t")),
    ("true as an id", (True, "fcm", "t")),
    ("bytes", (b"u", b"fcm", b"t")),
    ("NUL in an id", ("u\0", "fcm", "t")),
    ("a line break in an id", ("u\r\nX-A: b", "fcm", "t")),
    ("a folder", ("..", "fcm", "t")),
    ("a folder as provider", ("u", "..", "t")),
    ("None", None),
    ("a text", "u,fcm,t"),
    ("a number", 7),
    ("an empty tuple", ()),
    ("five values", ("u", "fcm", "t", None, "more")),
    ("a class", Wordless),
    ("a token of 200 KB", ("u", "fcm", "t" * 200_000)),
    ("a webhook and a token",
     {"subscriber_id": "u", "provider_id": "slack", "token": "t", "webhook_url": "h"}),
]  # fmt: skip


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
async def test_hostile_rows_cost_themselves_only(suffix: str, tmp_path: Path) -> None:
    """Between good rows, in a job and in a stream: they are named, the good ones are stored."""
    rows = [("first", "fcm", "t"), *(row for _, row in HOSTILE_ROWS), GOOD]
    async with LocalNovu() as local, make_client(local) as novu:
        failed = tmp_path / f"failed.{suffix}"
        report = await novu.bulk.register(rows, job=tmp_path / "job", failures=failed)
        assert (report.done, report.failed + report.invalid) == (2, len(HOSTILE_ROWS))
        fed_back = list(read_file(failed).rows("append"))
        assert len(fed_back) >= len(HOSTILE_ROWS)
        texts = {"u", "nan", "True", "b'u'", 'X-A: b"'}  # of what was no text, or was two lines
        assert {row.subscriber_id for row in fed_back if isinstance(row, Row)} <= texts
        streamed = [outcome async for outcome in novu.bulk.stream(rows)]
        assert sorted(one.line for one in streamed if one.ok) == [1, len(rows)]
        assert set(local.subscribers) == {"first", "good"}
        assert {request.subscriber_id for request in local.requests} <= {"first", "good", "u"}
    FIGURES.hostile += len(HOSTILE_ROWS)


HOSTILE_FILES: list[tuple[str, bytes]] = [
    ("a header of 1,000 columns", HEADER[:-1] + b",x" * 1000 + b"\ngood,fcm,t" + b"," * 1000),
    ("rows of 100,000 commas", HEADER + (b"," * 100_000 + b"\n") * 5 + b"good,fcm,t"),
    ("quotes on every line", HEADER + b'"u,fcm,t\n' * 5_000 + b"good,fcm,t"),
    ("quotes in pairs", HEADER + b'""""""""\n' * 5_000 + b"good,fcm,t"),
    ("quotes without end", HEADER + b"good,fcm,t\n" + b'u,fcm,"' + b"x\n" * 20_000),
    ("formulas", HEADER + b"good,fcm,t\n=cmd|'/C calc'!A0,fcm,@SUM(1)\n"),
    ("escapes of a terminal", HEADER + b"good,fcm,t\nu\x1b[2J,fcm,t\n"),
    ("latin-1", HEADER + b"good,fcm,t\ncaf\xe9,fcm,t\n"),
    ("a NUL on every line", HEADER + b"u\0,fcm,t\n" * 1000 + b"good,fcm,t"),
    ("mixed newlines", HEADER + b"good,fcm,t\r\r\n\n\r\n\ru,fcm,t\x0b\x0c"),
    ("separators of Unicode", HEADER + "good,fcm,t\nu\u2028,fcm,t\u2029".encode()),
    ("marks in the middle", HEADER + "good,fcm,t\n\ufeffu,fcm,t\n".encode()),
    ("deep JSON", JSON_ROW + b'{"a":' * 50_000 + b"}" * 50_000 + b"\n"),
    ("lists without end", JSON_ROW + b"{" + b"[" * 900_000 + b"\n"),
    ("a number of 100,000 digits", JSON_ROW + b'{"subscriber_id":' + b"9" * 100_000 + b"}\n"),
    ("keys twice", JSON_ROW[:-2] + b',"subscriber_id":"good","token":"t"}\n'),
    ("100,000 keys", JSON_ROW + json.dumps({f"k{i}": i for i in range(50_000)}).encode()),
    ("a row of many names", JSON_ROW.replace(b"{", b'{"__proto__":{},"reason":"x","line":5,')),
    ("NaN", JSON_ROW + b'{"subscriber_id":NaN,"provider_id":Infinity}\n'),
    ("half of a pair", JSON_ROW + b'{"subscriber_id":"\\ud800","provider_id":"fcm","token":"t"}\n'),
    ("gzip in gzip", gzip.compress(gzip.compress(HEADER + b"good,fcm,t"))),
    ("gzip with rubbish behind", gzip.compress(HEADER + b"good,fcm,t") + b"rubbish"),
    ("gzip that is cut off", gzip.compress(HEADER + b"good,fcm,t\n" * 5000)[:-20]),
    ("a brace and nothing", b"{"),
    ("only commas", b",,,,\n,,,,\n"),
    ("only a header", HEADER),
    ("a header twice", HEADER + HEADER + b"good,fcm,t"),
    ("an image", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 50),
    ("a Parquet file that is none", b"PAR1" + b"\0" * 100 + b"PAR1"),
]


@pytest.mark.parametrize(
    "content", [row[1] for row in HOSTILE_FILES], ids=[row[0] for row in HOSTILE_FILES]
)
def test_hostile_files_through_the_program(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A summary or one line that says what is wrong; good rows are stored, and no others."""
    monkeypatch.chdir(tmp_path)
    Path("input").write_bytes(content)
    with LocalNovu.in_thread() as local:
        environment = {"NOVU_API_KEY": local.api_key, "NOVU_SERVER_URL": local.url}
        runner = CliRunner(env=environment)
        done = runner.invoke(program, ["register", "input", "--failures", "failed"])
        assert done.exit_code in (0, 1, 2), done.exception
        assert done.exception is None or isinstance(done.exception, SystemExit)
        assert "\x1b" not in done.output
        if done.exit_code == 2:
            assert done.stderr.count("\n") <= 3
            assert local.requests == []
        else:
            assert local.device_tokens("good", "fcm") in (["t"], [])
            written = {request.subscriber_id for request in local.requests}
            assert len(written) <= 3
            assert all(r.path.endswith("/credentials") for r in local.requests)
        again = runner.invoke(program, ["register", "-", "--dry-run"], input=content)
        assert again.exit_code in (0, 1, 2), again.exception


@pytest.mark.parametrize("line", [b"x" * 60_000_000, b'{"a":"' + b"x" * 60_000_000])
async def test_hostile_files_that_grow_when_unpacked(line: bytes, tmp_path: Path) -> None:
    """Sixty megabytes of one line in 60 KB: it is passed over, and takes no memory."""
    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        start = JSON_ROW if line.startswith(b"{") else HEADER + b"good,fcm,t\n"
        file.write(start + line + b"\n" + (JSON_ROW if line.startswith(b"{") else b"v,fcm,t\n"))
    async with LocalNovu() as local, make_client(local) as novu:
        tracemalloc.start()
        report = await novu.bulk.register(path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert report.invalid == 1
        assert local.device_tokens("good", "fcm") == ["t"]
        assert peak < 20_000_000


async def test_hostile_iterables_end_a_job_with_their_own_error() -> None:
    """An iterable that breaks, or that changes while it is read, is told as it is."""

    def break_off() -> Iterator[Any]:
        yield GOOD
        raise RecursionError("too deep")

    async with LocalNovu() as local, make_client(local) as novu:
        with pytest.raises(RecursionError, match="too deep"):
            await novu.bulk.register(break_off())
        assert local.requests == []


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(
    ["subscriber_id", "provider_id", "token", "integration_identifier", "webhook_url", "channel"]
)
items = (
    values
    | st.tuples(values, values, values)
    | st.tuples(st.just("u"), st.sampled_from(["fcm", "slack"]), values, values)
    | st.dictionaries(names | st.text(max_size=3), values, max_size=7)
    | st.fixed_dictionaries({"subscriber_id": st.just("u"), "provider_id": values, "token": values})
)


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(items, st.sampled_from(["append", "replace", "remove", "delete", "verify"]))
def test_hostile_items_of_any_type_are_rows_or_invalid(item: Any, operation: Any) -> None:
    """Any object is a row that was checked, or one invalid row with a reason of one line."""
    row = convert(1, item, read_rows([]).columns, operation)
    repr(row)
    if isinstance(row, Row):
        assert row.subscriber_id.strip()
        assert operation == "delete" or row.token or row.webhook_url
    else:
        assert isinstance(row, Invalid)
        assert row.reason
        assert len(row.reason.splitlines()) == 1
