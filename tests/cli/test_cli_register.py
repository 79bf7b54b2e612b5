"""register, verify and job show, against a LocalNovu."""

import csv
import errno
import gzip
import json
import os
import re
import shlex
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cli_program import Run, list_names

from novu_async.bulk.loader import DONE
from novu_async.testing import LocalNovu

MIXED = b"""subscriber_id,provider_id,token
u1,fcm,token-one
u1,fcm,token-two
u1,fcm,token-one
u2,apns,
u2
\xff\xfe,fcm,token-three
u3,expo,"token-never-closed
u4,expo,token-four
"""


def _row(table: str, label: str) -> int:
    found = re.search(rf"^{label} +([\d,]+)", table, re.MULTILINE)
    assert found, table
    return int(found[1].replace(",", ""))


def test_summary_counts_every_row(run: Run, server: LocalNovu, tmp_path: Path) -> None:
    """The table counts all rows, and a broken line loses nothing but itself."""
    (tmp_path / "in.csv").write_bytes(MIXED)
    done = run("register", "in.csv")
    assert done.status == 1
    figures = {"rows read": 8, "invalid": 4, "duplicates": 1, "tokens stored": 3, "failed": 0}
    assert {label: _row(done.out, label) for label in figures} == figures
    assert _row(done.out, "requests sent") == len(server.requests) == 2
    assert "token must not be empty" in done.out
    assert "line 5" in done.out
    assert server.device_tokens("u1", "fcm") == ["token-one", "token-two"]
    assert server.device_tokens("u4", "expo") == ["token-four"]
    assert "token-" not in done.out + done.err


def test_all_stored_is_zero(run: Run, write_tokens: Callable[..., Path], tmp_path: Path) -> None:
    """Where every row is stored the status is 0, and no file is left beside the input."""
    write_tokens(20)
    assert run("register", "tokens.csv").status == 0
    assert list_names(tmp_path) == {"tokens.csv"}


def test_failed_rows_can_be_fed_back(run: Run, tmp_path: Path) -> None:
    """The failures file has the input's columns, the reason, and is an input itself."""
    (tmp_path / "in.csv").write_text("subscriber_id,provider_id,token\nold,fcm,one\nnew,fcm,two\n")
    with LocalNovu.in_thread(subscribers=["old"]) as strict:
        done = run("register", "in.csv", "--server-url", strict.url)
        assert done.status == 1
        assert "1 row to put right: see in.failed.csv" in done.err
        assert "no such subscriber" in done.out
        assert "run this again with in.failed.csv --on-missing create" in done.err
        with open(tmp_path / "in.failed.csv") as file:
            (failed,) = csv.DictReader(file)
        assert (failed["subscriber_id"], failed["token"]) == ("new", "two")
        assert failed["reason"].startswith("no such subscriber")
        assert failed["retryable"] == "false"
        strict.add_subscriber("new")
        again = run("register", "in.failed.csv", "--server-url", strict.url)
        assert again.status == 0
        assert strict.device_tokens("new", "fcm") == ["two"]


def test_failures_of_failures_do_not_overwrite(run: Run, tmp_path: Path) -> None:
    """Rows that fail twice go to a file of their own."""
    (tmp_path / "in.failed.csv").write_text("subscriber_id,provider_id,token\nu1,fcm,\n")
    assert run("register", "in.failed.csv").status == 1
    assert "in.failed-2.csv" in list_names(tmp_path)


def test_inputs_of_one_name_keep_their_failures(run: Run, tmp_path: Path) -> None:
    """What failed of one file is still there when another of the same name was registered."""
    for day, token in (("mon", ""), ("tue", ""), ("wed", "good")):
        (tmp_path / day).mkdir()
        rows = f"subscriber_id,provider_id,token\n{day},fcm,{token}\n"
        (tmp_path / day / "in.csv").write_text(rows)
    assert run("register", "mon/in.csv").status == 1
    again = run("register", "tue/in.csv")
    assert "in.failed.csv was there from an earlier run: it is in.failed.old.csv now" in again.err
    for _ in range(2):
        assert run("register", "wed/in.csv").status == 0
    assert "mon" in (tmp_path / "in.failed.old.csv").read_text()
    assert "tue" in (tmp_path / "in.failed.old2.csv").read_text()
    assert list_names(tmp_path) == {"mon", "tue", "wed", "in.failed.old.csv", "in.failed.old2.csv"}


def test_a_refused_run_leaves_the_failures_of_an_earlier_one(run: Run, tmp_path: Path) -> None:
    """A mistyped column is told before anything is read; what is to be put right stays in place."""
    (tmp_path / "in.csv").write_text("subscriber_id,provider_id,token\nu1,fcm,\n")
    assert run("register", "in.csv").status == 1
    refused = run("register", "in.csv", "--map", "token=toekn")
    assert refused.status == 2
    assert "in.failed" not in refused.err
    assert list_names(tmp_path) == {"in.csv", "in.failed.csv"}


def test_failures_do_not_replace_the_output(start: Any, tmp_path: Path) -> None:
    """The file that takes what the program prints, also under the name /dev/stdout."""
    (tmp_path / "in.csv").write_text("subscriber_id,provider_id,token\nu1,fcm,\n")
    with open(tmp_path / "out", "w") as out:
        process = start("register", "in.csv", "--failures", "out", stdout=out)
        said = process.stderr.read()
    assert process.wait() == 2
    assert "out cannot be written: this program's output goes there" in said
    assert list_names(tmp_path) == {"in.csv", "out"}


def test_failures_that_cannot_be_written_at_the_end(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report is printed all the same, and the command that is printed writes them elsewhere."""
    (tmp_path / "in.csv").write_text("subscriber_id,provider_id,token\nu1,fcm,one\nu2,fcm,\n")

    def fail(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr("novu_async.bulk.failures._replace", fail)
        full.setattr("sys.argv", ["novu-credentials", "register", "in.csv"])
        done = run("register", "in.csv")
    assert done.status == 2
    assert (_row(done.out, "tokens stored"), _row(done.out, "invalid")) == (1, 1)
    first, second = done.err.splitlines()
    assert "in.failed.csv cannot be written: No space left on device" in first
    assert first.endswith("run it again with another --failures")
    assert second.startswith("in.csv.job is kept; to write them: ")
    assert second.endswith(" register in.csv --failures FILE")
    again = run("register", "in.csv", "--failures", "other.csv")
    assert again.status == 1
    assert list_names(tmp_path) == {"in.csv", "other.csv"}
    assert "u2,fcm,," in (tmp_path / "other.csv").read_text()


def test_many_reasons_add_up(run: Run, tmp_path: Path) -> None:
    """What the list has no room for is in its last line, for people and for programs."""
    short = ["u,fcm," + "x," * width for width in range(1, 26) for _ in range(2)]
    (tmp_path / "in.csv").write_text("subscriber_id,provider_id,token\n" + "\n".join(short))
    done = run("register", "in.csv")
    assert _row(done.out, "invalid") == 50
    assert re.search(r"^  other reasons +10  lines 4, 5, 6, \.\.\.$", done.out, re.MULTILINE)
    for options in ((), ("--dry-run",)):
        report = json.loads(run("register", "in.csv", "--json", *options).out)
        assert sum(one["count"] for one in report["invalid_reasons"]) == report["invalid"] == 50


def test_only_retryable(run: Run, server: LocalNovu, tmp_path: Path) -> None:
    """--only-retryable passes over rows that cannot succeed as they are."""
    header = "subscriber_id,provider_id,token,reason,retryable\n"
    (tmp_path / "in.csv").write_text(f"{header}u1,fcm,one,x,true\nu2,fcm,two,x,false\n")
    assert run("register", "in.csv", "--only-retryable").status == 0
    assert set(server.subscribers) == {"u1"}


def test_only_retryable_of_a_query(run: Run, server: LocalNovu, tmp_path: Path) -> None:
    """It goes for the rows of a query as for those of a file."""
    pytest.importorskip("duckdb")
    header = "subscriber_id,provider_id,token,reason,retryable\n"
    (tmp_path / "in.csv").write_text(f"{header}u1,fcm,one,x,true\nu2,fcm,two,x,false\n")
    assert run("register", "--select", "from 'in.csv'", "--only-retryable").status == 0
    assert set(server.subscribers) == {"u1"}


def test_columns_by_otherlist_names(run: Run, server: LocalNovu, tmp_path: Path) -> None:
    """--map and --provider read an export as it is."""
    (tmp_path / "in.csv").write_text("user;push_token;note\nu1;one;x\n")
    options = ("--map", "subscriber_id=user", "--map", "token=push_token", "--provider", "fcm")
    assert run("register", "in.csv", *options).status == 0
    assert server.device_tokens("u1", "fcm") == ["one"]


@pytest.mark.parametrize("packed", [False, True])
def test_json_lines_from_standard_input(run: Run, server: LocalNovu, packed: bool) -> None:
    """`-` reads CSV, JSON Lines and gzip of both from standard input."""
    line = json.dumps({"subscriber_id": "u1", "provider_id": "fcm", "token": "one"}).encode()
    assert run("register", "-", stdin=gzip.compress(line) if packed else line).status == 0
    assert server.device_tokens("u1", "fcm") == ["one"]


def test_select(run: Run, server: LocalNovu, tmp_path: Path) -> None:
    """--select reads the rows of a query over files."""
    pytest.importorskip("duckdb")
    (tmp_path / "in.csv").write_text("user_id,token\nu1,one\n")
    sql = "select user_id as subscriber_id, 'fcm' as provider_id, token from 'in.csv'"
    assert run("register", "--select", sql).status == 0
    assert server.device_tokens("u1", "fcm") == ["one"]


@pytest.mark.parametrize(
    ("operation", "left"), [("replace", ["two"]), ("remove", ["one"]), ("delete", [])]
)
def test_operations(
    run: Run, server: LocalNovu, tmp_path: Path, operation: str, left: list[str]
) -> None:
    """--operation replaces, removes or deletes in place of appending."""
    run("append", "u1", "fcm", "one", "two")
    (tmp_path / "in.csv").write_text("subscriber_id,provider_id,token\nu1,fcm,two\n")
    assert run("register", "in.csv", "--operation", operation).status == 0
    assert server.device_tokens("u1", "fcm") == left


def test_missing_subscribers_are_created(run: Run, write_tokens: Callable[..., Path]) -> None:
    """--on-missing create registers unknown subscribers."""
    write_tokens(3)
    with LocalNovu.in_thread(subscribers=[]) as strict:
        options = ("--on-missing", "create", "--server-url", strict.url)
        assert run("register", "tokens.csv", *options).status == 0
        assert len(strict.subscribers) == 3


def test_dry_run_sends_nothing(run: Run, server: LocalNovu, tmp_path: Path) -> None:
    """--dry-run needs no key, sends nothing, and says what a run would take."""
    rows = "".join(f"u1,fmc,token-{i}\n" for i in range(101))
    content = f"subscriber_id,provider_id,token\n{rows}u2,fcm,shared\nu3,fcm,shared\nu4,fcm,\n"
    (tmp_path / "in.csv").write_text(content)
    done = run("register", "in.csv", "--dry-run", NOVU_API_KEY="")
    assert done.status == 1
    assert (_row(done.out, "rows read"), _row(done.out, "requests")) == (104, 3)
    assert "unknown provider fmc in 101 rows: did you mean fcm?" in done.out
    assert "1 channel beyond 100 tokens, such as fmc of u1 with 101" in done.out
    assert "1 token under several subscribers, such as #" in done.out
    assert re.search(r"^  free +20/s +0\.0 s$", done.out, re.MULTILINE)
    assert "shared" not in done.out
    assert server.requests == []
    assert list_names(tmp_path) == {"in.csv"}


def test_verify_names_what_is_missing(
    run: Run, server: LocalNovu, write_tokens: Callable[..., Path], tmp_path: Path
) -> None:
    """verify reads back, writes nothing, and puts what is missing into a failures file."""
    write_tokens(3)
    run("register", "tokens.csv")
    assert run("verify", "tokens.csv").status == 0
    run("delete", "user-1", "fcm")
    sent = len(server.requests)
    done = run("verify", "tokens.csv")
    assert done.status == 1
    assert (_row(done.out, "tokens found stored"), _row(done.out, "not stored")) == (2, 1)
    assert "user-1" in (tmp_path / "tokens.verify.failed.csv").read_text()
    assert {one.method for one in server.requests[sent:]} == {"GET"}


def test_verify_after_register(run: Run, write_tokens: Callable[..., Path]) -> None:
    """register --verify reads back what it wrote."""
    write_tokens(5)
    done = run("register", "tokens.csv", "--verify")
    assert done.status == 0
    assert _row(done.out, "read back") == 5


def test_json_summary(run: Run, write_tokens: Callable[..., Path]) -> None:
    """--json prints one object, and nothing else, on standard output."""
    write_tokens(5)
    report: dict[str, Any] = json.loads(run("register", "tokens.csv", "--json").out)
    assert (report["rows"], report["done"], report["ok"], report["job"]) == (5, 5, True, None)
    plan = json.loads(run("register", "tokens.csv", "--dry-run", "--json").out)
    assert (plan["requests"], plan["ok"]) == (5, True)


def test_named_job_is_kept(run: Run, server: LocalNovu, write_tokens: Callable[..., Path]) -> None:
    """A job file with a name of the user's stays; the same command again sends nothing."""
    write_tokens(5)
    assert run("register", "tokens.csv", "--job", "my.job").status == 0
    sent = len(server.requests)
    again = run("register", "tokens.csv", "--job", "my.job")
    assert again.status == 0
    assert "my.job was begun before" in again.err
    assert "another API key" not in again.err
    other = run("register", "tokens.csv", "--job", "my.job", NOVU_API_KEY="another-key")
    assert "the job had another API key before" in other.err
    assert len(server.requests) == sent
    shown = run("job", "show", "my.job")
    assert shown.status == 0
    assert _row(shown.out, "tokens stored") == 5
    assert json.loads(run("job", "show", "my.job", "--json").out)["done"] == 5


def test_job_of_another_input_is_refused(run: Run, write_tokens: Callable[..., Path]) -> None:
    """A job file does not go on with another input, and the message says what to do."""
    write_tokens(5)
    write_tokens(6, "other.csv")
    run("register", "tokens.csv", "--job", "my.job")
    done = run("register", "other.csv", "--job", "my.job")
    assert done.status == 2
    assert "another input" in done.err
    assert "--job" in done.err


def test_stop_in_the_middle_is_told(run: Run, tmp_path: Path) -> None:
    """A job that cannot go on stops, saved, and says why and which command goes on."""
    rows = [f"a{i},fcm,token-{i}\n" for i in range(20)]
    rows += [f"b{i},apns,token-{i}\n" for i in range(500)]
    (tmp_path / "in.csv").write_text("subscriber_id,provider_id,token\n" + "".join(rows))
    with LocalNovu.in_thread(integrations=["fcm"]) as local:
        options = ("--concurrency", "4", "--server-url", local.url)
        done = run("register", "in.csv", *options)
        assert done.status == 1
        assert "activate an integration" in done.err
        assert "to go on: " in done.err
        assert _row(done.out, "tokens stored") == 20
        assert _row(done.out, "waiting") > 0
        local.add_integration("apns")
        assert run("register", "in.csv", *options).status == 0
        assert len(local.subscribers) == 520
    assert list_names(tmp_path) == {"in.csv"}


def test_stop_while_reading_back_is_told(run: Run, write_tokens: Callable[..., Path]) -> None:
    """Nothing waits to be sent then, and no failures are missing, but the command goes on."""
    write_tokens(3)
    run("register", "tokens.csv", "--job", "my.job")
    command = ("register", "tokens.csv", "--job", "my.job", "--verify")
    stopped = run(*command, NOVU_API_KEY="wrong")
    assert stopped.status == 2
    assert "to go on: " in stopped.err
    assert "--failures" not in stopped.err
    assert _row(run(*command).out, "read back") == 3


def test_the_command_that_goes_on_can_be_typed(
    run: Run, write_tokens: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each word is quoted by itself, also where the program was run as a module."""
    write_tokens(3, "my tokens.csv")
    arguments = ["register", "my tokens.csv", "--job", "my.job"]
    run(*arguments)
    monkeypatch.setattr("sys.argv", ["/lib/novu_async/cli/__main__.py", *arguments, "--verify"])
    stopped = run(*arguments, "--verify", NOVU_API_KEY="wrong")
    command = stopped.err.partition("to go on: ")[2]
    python = Path(sys.executable).name
    assert shlex.split(command) == [python, "-m", "novu_async.cli", *arguments, "--verify"]


def test_the_integration_that_is_missing_is_named(
    run: Run, write_tokens: Callable[..., Path]
) -> None:
    """Also where nothing of the job could be done; the API names the provider only."""
    write_tokens(30)
    done = run("register", "tokens.csv", "--integration-identifier", "fcm-eu")
    assert done.status == 1
    assert "(provider_id fcm, integration_identifier fcm-eu); 0 rows are done" in done.err
    assert "activate an integration" in done.err


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (["-"], "stdin"),
        (["in.csv"], "in.csv"),
        (["--select", "select * from 'in.csv'"], "select"),
    ],
)
def test_a_job_alone_keeps_the_names_of_its_source(
    run: Run, tmp_path: Path, source: list[str], name: str
) -> None:
    """Going on with --job only ends as the first command would have: with no job file left."""
    if source[0] == "--select":
        pytest.importorskip("duckdb")
    rows = [f"a{i},fcm,token-{i}\n" for i in range(20)] + ["z,fcm,\n"]
    rows += [f"b{i},apns,token-{i}\n" for i in range(30)]
    text = "subscriber_id,provider_id,token\n" + "".join(rows)
    (tmp_path / "in.csv").write_text(text)
    with LocalNovu.in_thread(integrations=["fcm"]) as local:
        options = ("--concurrency", "1", "--server-url", local.url)
        stopped = run("register", *source, *options, stdin=text)
        job, failures = f"{name}.job", f"{name.removesuffix('.csv')}.failed"
        failures += ".csv" if name == "in.csv" else ""
        assert f"1 row to put right: see {failures}" in stopped.err
        assert list_names(tmp_path) == {"in.csv", job, failures}
        stopped = run("register", "--job", job, *options, NOVU_API_KEY="wrong")
        assert stopped.status == 2
        assert job in list_names(tmp_path)
        local.add_integration("apns")
        done = run("register", "--job", job, *options)
        assert f"1 row to put right: see {failures}" in done.err
        assert len(local.subscribers) == 50
    assert list_names(tmp_path) == {"in.csv", failures}


def test_a_file_whose_name_looks_like_a_query_is_a_file(run: Run, tmp_path: Path) -> None:
    """Going on with the job alone names the failures after it, as the first command did."""
    (tmp_path / "from x.csv").write_text("subscriber_id,provider_id,token\nu,fcm,\n")
    for source in (["from x.csv"], []):
        done = run("register", *source, "--job", "my.job")
        assert "1 row to put right: see from x.failed.csv" in done.err


def test_a_job_alone_of_a_name_of_the_users_is_kept(
    run: Run, write_tokens: Callable[..., Path], tmp_path: Path
) -> None:
    """Only the name that the program would have chosen is its own."""
    write_tokens(3)
    run("register", "tokens.csv", "--job", "my.job")
    assert run("register", "--job", "my.job").status == 0
    assert list_names(tmp_path) == {"tokens.csv", "my.job"}


def test_job_show_says_how_much_is_read_back(
    run: Run, write_tokens: Callable[..., Path], tmp_path: Path
) -> None:
    """A verification that was interrupted, or runs, has something left to do."""
    write_tokens(5)
    run("register", "tokens.csv", "--job", "my.job", "--verify")
    assert "nothing waits" in run("job", "show", "my.job").out
    with closing(sqlite3.connect(tmp_path / "my.job", isolation_level=None)) as db:
        db.execute("UPDATE rows SET state = ? WHERE id > 2", (DONE,))
    shown = run("job", "show", "my.job").out
    assert "read back: 2 of 5 rows" in shown
    assert "nothing waits" not in shown
