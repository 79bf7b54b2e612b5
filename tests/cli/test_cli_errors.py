"""Bad input: one line that says what to do, status 2, and no traceback."""

import asyncio
import socket
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cli_program import Run, list_names

from novu_async.cli import _connection

GOOD = b"subscriber_id,provider_id,token\nu1,fcm,t1\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["frob"], "No such command 'frob'"),
        (["register"], "give FILE"),
        (["register", "a.csv", "--frob"], "No such option '--frob'"),
        (["register", "a.csv", "--map", "token"], "--map takes FIELD=COLUMN"),
        (["register", "a.csv", "--map", "frob=x"], "'frob' is no field of a row"),
        (["register", "a.csv", "--concurrency", "0"], "--concurrency"),
        (["register", "a.csv", "--failures", "./a.csv"], "would overwrite the input"),
        (["register", "a.csv", "--failures", ""], "the failures file needs a name"),
        (["register", "a.csv", "--failures", "/"], "the failures file needs a name"),
        (["register", "a.csv", "--job", ""], "the job file needs a name"),
        (["register", "a.csv", "--job", "."], "the job file needs a name"),
        (["register", "--job", "gone.job"], "gone.job does not exist"),
        (["register", "--job", ""], "job file does not exist"),
        (["register", "--job", "."], "job file . does not exist"),
        (["register", "a.csv", "--operation", "remove", "--on-missing", "create"], "append"),
        (
            ["register", "a.csv", "--dry-run", "--operation", "remove", "--on-missing", "create"],
            "only append creates subscribers, not remove",
        ),
        (["append", "u1", "fcm"], "give a TOKEN"),
        (["append", "u1", "fcm", ""], "must not be empty"),
        (["append", "u1", "fcm", "--tokens-file", "gone"], "gone: No such file"),
        (["append", "u1", "fcm", "--tokens-file", "bytes"], "bytes is not UTF-8"),
        (["show", ".."], "subscriber_id"),
        (["show", "u1", "--server", "us", "--server-url", "http://x"], "not both"),
        (["show", "u1", "--server-url", "localhost"], "--server-url must look like"),
        (["show", "u1", "--api-key-file", "gone"], "gone: No such file"),
        (["show", "u1", "--api-key-file", "empty"], "empty is empty"),
        (["show", "u1", "--api-key-file", "."], "directory"),
        (["job", "show", "gone.job"], "gone.job does not exist"),
        (["job", "show", "a.csv"], "not a job file"),
        (["serve", "--seed", "gone"], "seed file gone: No such file"),
        (["serve", "--seed", "a.csv"], "not JSON"),
        (["serve", "--host", "203.0.113.1"], "choose another --host or --port"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage(run: Run, tmp_path: Path, arguments: list[str], said: str) -> None:
    """Every mistake on the command line is told in one line, with status 2."""
    (tmp_path / "a.csv").write_bytes(GOOD)
    (tmp_path / "empty").write_bytes(b"\n")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\xfd")
    done = run(*arguments)
    assert done.status == 2
    assert done.out == ""
    assert said in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"a,b\n1,2\n", "--map"),
        ("subscriber_id,provider_id,token\n".encode("utf-16"), "UTF-8"),
        (b"\xff\xff\xff\n", "UTF-8"),
        (b"PK\x03\x04zip", "unpack"),
        (b"[{}]", "JSON"),
    ],
)
def test_unusable_file(run: Run, tmp_path: Path, content: bytes | None, said: str) -> None:
    """A file that is no use as a whole is told in one line, and leaves nothing behind."""
    if content is not None:
        (tmp_path / "input.csv").write_bytes(content)
    done = run("register", "input.csv")
    assert done.status == 2
    assert done.err.count("\n") == 1
    assert "input.csv" in done.err
    assert said in done.err
    assert list_names(tmp_path) <= {"input.csv"}


def test_directory_as_a_file(run: Run) -> None:
    """A directory in place of a file is told in one line."""
    done = run("register", ".")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "directory" in done.err


@pytest.mark.parametrize(
    "command", [["register", "a.csv"], ["show", "u1"], ["tokens", "list", "u1", "fcm"]]
)
def test_wrong_key(run: Run, tmp_path: Path, command: list[str]) -> None:
    """A refused key is told at once, with where to look; it leaves no job file."""
    (tmp_path / "a.csv").write_bytes(GOOD)
    done = run(*command, NOVU_API_KEY="wrong-key-of-somebody")
    assert done.status == 2
    assert "check NOVU_API_KEY" in done.err
    assert "wrong-key" not in done.err
    assert done.err.count("\n") == 1
    assert list_names(tmp_path) == {"a.csv"}


def test_wrong_key_and_invalid_rows(run: Run, tmp_path: Path) -> None:
    """The failures file that is left is named, as where a job stops later."""
    (tmp_path / "a.csv").write_bytes(GOOD + b"u2,fcm,\n")
    done = run("register", "a.csv", NOVU_API_KEY="wrong-key-of-somebody")
    assert done.status == 2
    assert "check NOVU_API_KEY" in done.err
    assert done.err.endswith("1 row to put right: see a.failed.csv\n")
    assert list_names(tmp_path) == {"a.csv", "a.failed.csv"}


def test_no_key(run: Run) -> None:
    """Without a key the message names the ways to give one."""
    done = run("show", "u1", NOVU_API_KEY="")
    assert done.status == 2
    assert "set NOVU_API_KEY, or give --api-key-file" in done.err


@pytest.mark.parametrize("command", [["register", "a.csv"], ["show", "u1"]])
def test_no_server(
    run: Run, tmp_path: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is not there is told within seconds, and leaves no job file."""
    monkeypatch.setattr("novu_async.cli._connection._PAUSES", (0.001, None))
    (tmp_path / "a.csv").write_bytes(GOOD)
    done = run(*command, "--server-url", "http://127.0.0.1:9")
    assert done.status == 2
    assert "cannot connect to http://127.0.0.1:9: Connection refused; check" in done.err
    assert done.err.count("\n") == 1
    assert list_names(tmp_path) == {"a.csv"}


def test_no_tls(run: Run) -> None:
    """What TLS says is told as it is, at once, and where an authority may be named."""

    def answer(listening: socket.socket) -> None:
        with listening.accept()[0] as connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as plain:
        threading.Thread(target=answer, args=(plain,)).start()
        done = run("show", "u1", "--server-url", f"https://127.0.0.1:{plain.getsockname()[1]}")
    assert done.status == 2
    assert "wrong version number" in done.err
    assert "SSL_CERT_FILE" in done.err


def test_no_proxy_there(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that is not there is told within seconds, as that, and without its password."""
    monkeypatch.setattr(_connection, "_PAUSES", (None,))
    proxy = {"http_proxy": "http://me:pass-word@127.0.0.1:9", "no_proxy": ""}
    done = run("show", "u1", "--server-url", "http://novu.invalid", **proxy)
    assert done.status == 2
    assert "cannot connect to http://127.0.0.1:9: Connection refused; check the proxy" in done.err
    assert "pass-word" not in done.err


def test_one_address_of_several_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others of its name are tried too."""
    with (
        socket.create_server(("127.0.0.1", 0)) as alive,
        socket.socket() as dead,
        socket.socket() as waiting,
    ):
        port = alive.getsockname()[1]
        try:
            dead.bind(("127.0.0.2", port))
        except OSError:
            pytest.skip("this system has one address of its own only")
        dead.listen(0)
        waiting.connect(("127.0.0.2", port))  # the next one gets no answer

        def look_up(*_: Any, **__: Any) -> list[Any]:
            where = (("127.0.0.2", port), ("127.0.0.1", port))
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in where]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        url = urlsplit(f"http://novu.localhost:{port}")
        asyncio.run(asyncio.wait_for(_connection._check_reachable(url, ""), 5))


def test_refused_by_the_api(run: Run) -> None:
    """What the API refuses is told in its words, with status 1."""
    done = run("append", "u1", "fmc", "one")
    assert done.status == 1
    assert "did you mean 'fcm'?" in done.err
