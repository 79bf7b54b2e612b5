"""The blocking client against LocalNovu."""

import asyncio
import gc
import os
import sqlite3
import subprocess
import sys
import threading
import warnings
from collections import OrderedDict, UserDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from textwrap import dedent
from typing import Any, NoReturn
from unittest import mock

import aiohttp
import pytest

import novu_async
import novu_sync
from novu_sync import BackoffStrategy, Novu, RetryConfig, errors
from novu_sync.bulk import DeviceToken, Progress
from novu_sync.testing import LocalNovu

SUBSCRIBER = {"provider_id": "fcm", "credentials": {"device_tokens": ["token-1"]}}


@pytest.fixture
def server() -> Iterator[LocalNovu]:
    with LocalNovu.in_thread() as local:
        yield local


@pytest.fixture
def client(server: LocalNovu) -> Iterator[Novu]:
    with Novu(api_key=server.api_key, server_url=server.url) as novu:
        yield novu


def records(count: int, per_subscriber: int = 2) -> list[DeviceToken]:
    return [DeviceToken(f"user-{i // per_subscriber}", "fcm", f"token-{i}") for i in range(count)]


def stored(server: LocalNovu) -> int:
    return sum(len(server.device_tokens(subscriber, "fcm")) for subscriber in server.subscribers)


def test_the_three_calls(server: LocalNovu, client: Novu) -> None:
    """update, append and delete write what they say, and return the API's answer."""
    credentials = client.subscribers.credentials
    updated = credentials.update("user-1", SUBSCRIBER)
    assert updated.result.subscriber_id == "user-1"
    credentials.append(
        subscriber_id="user-1",
        update_subscriber_channel_request_dto={
            "provider_id": novu_sync.UpdateSubscriberChannelRequestDtoProviderID.FCM,
            "credentials": {"device_tokens": ["token-2"]},
        },
        retries=RetryConfig("backoff", BackoffStrategy(1, 50, 1.1, 100), False),
    )
    assert server.device_tokens("user-1", "fcm") == ["token-1", "token-2"]
    credentials.delete(subscriber_id="user-1", provider_id="fcm")
    assert server.device_tokens("user-1", "fcm") == []


def test_the_verbs_for_tokens(server: LocalNovu, client: Novu) -> None:
    """The verbs of device_tokens do the same as awaited."""
    tokens = client.subscribers.device_tokens
    tokens.add("user-1", "fcm", ["a", "b"])
    tokens.rotate("user-1", "fcm", "a", "c")
    tokens.remove("user-1", "fcm", "b")
    assert tokens.list("user-1", "fcm").device_tokens == ("c",)
    assert client.subscribers.retrieve("user-1").subscriber_id == "user-1"
    tokens.clear("user-1", "fcm")
    assert server.device_tokens("user-1", "fcm") == []


def test_errors_are_the_api_s_own(server: LocalNovu) -> None:
    """Errors arrive with the classes of the package, under either name."""
    with (
        Novu(api_key="wrong", server_url=server.url) as client,
        pytest.raises(errors.AuthenticationError) as caught,
    ):
        client.subscribers.credentials.delete("user-1", "fcm")
    assert isinstance(caught.value, novu_sync.models.ErrorDto)
    assert caught.value.status_code == 401


def test_a_refused_request_names_its_argument(client: Novu) -> None:
    """What is refused before it is sent is refused here too."""
    with pytest.raises(errors.InvalidRequestError, match="subscriber_id"):
        client.subscribers.credentials.delete("..", "fcm")


def test_fifty_threads_add_to_one_subscriber(server: LocalNovu, client: Novu) -> None:
    """50 threads that add a token each to one subscriber lose none."""

    def add(number: int) -> None:
        client.subscribers.device_tokens.add("user-1", "fcm", [f"token-{number}"])

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(add, range(50)))
    tokens = server.device_tokens("user-1", "fcm")
    assert sorted(tokens) == sorted(f"token-{number}" for number in range(50))


def test_two_hundred_threads(server: LocalNovu, client: Novu) -> None:
    """200 threads share one client; every write is stored."""

    def add(number: int) -> None:
        client.subscribers.credentials.append(f"user-{number}", SUBSCRIBER)

    with ThreadPoolExecutor(200) as pool:
        list(pool.map(add, range(400)))
    assert stored(server) == 400


def test_a_method_can_be_replaced_on_one_client(client: Novu) -> None:
    """As tests of a user's own code do with `mock.patch.object`; it is undone at the end."""
    subscribers = client.subscribers
    for group, method in (
        (subscribers.credentials, "update"),
        (subscribers.device_tokens, "add"),
        (subscribers, "retrieve"),
        (client.bulk, "register"),
    ):
        with mock.patch.object(group, method, return_value="faked"):
            assert getattr(group, method)("user-1") == "faked"
        assert getattr(group, method).__self__ is group


def test_the_other_kind_of_with_names_the_way_out() -> None:
    """`with` for the awaited client and `async with` for the blocking one say what to write."""
    awaited: Any = novu_async.Novu(api_key="key")
    blocking: Any = Novu(api_key="key")
    with pytest.raises(errors.ConfigurationError, match=r"needs `async with`.*novu_sync"), awaited:
        pass

    async def enter() -> None:
        async with blocking:
            pass

    with pytest.raises(errors.ConfigurationError, match=r"needs `with`.*novu_async"):
        asyncio.run(enter())


def test_inside_a_running_loop(client: Novu) -> None:
    """A notebook cell can call."""

    async def cell() -> Any:
        return client.subscribers.credentials.update("user-1", SUBSCRIBER)

    assert asyncio.run(cell()).result.subscriber_id == "user-1"


def test_an_aiohttp_session_is_refused(server: LocalNovu) -> None:
    """A session of another event loop cannot be used, and the message says what can."""

    async def make() -> None:
        async with aiohttp.ClientSession() as session:
            Novu(api_key="key", session=session)

    with pytest.raises(errors.ConfigurationError, match="max_connections"):
        asyncio.run(make())


def test_a_wrong_setting_is_refused_at_once() -> None:
    """The constructor checks its arguments, without starting anything."""
    with pytest.raises(errors.ConfigurationError, match="server"):
        Novu(api_key="key", server="mars")
    with pytest.raises(TypeError, match="sever"):
        Novu(api_key="key", sever="eu")  # type: ignore[call-arg]


def test_repr_shows_no_key(server: LocalNovu) -> None:
    """Neither the client nor what belongs to it shows the key."""
    novu = Novu(api_key="very-secret", server_url=server.url)
    shown = repr([novu, vars(novu), vars(novu._bridge), novu.subscribers])
    assert server.url in repr(novu)
    assert "very-secret" not in shown


def test_use_after_close(server: LocalNovu) -> None:
    """A closed client says so."""
    with Novu(api_key=server.api_key, server_url=server.url) as client:
        client.subscribers.credentials.update("user-1", SUBSCRIBER)
    client.close()
    with pytest.raises(errors.ClientClosedError):
        client.subscribers.credentials.update("user-1", SUBSCRIBER)


def test_one_warning_for_a_client_never_closed(server: LocalNovu) -> None:
    """A client with open connections that is dropped warns once, and says where it was made."""
    client = Novu(api_key=server.api_key, server_url=server.url)
    client.subscribers.credentials.update("user-1", SUBSCRIBER)
    keeper = client._bridge._portal._keeper  # type: ignore[union-attr]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del client
        gc.collect()
        keeper.join(10)
        gc.collect()
    assert [warning.category for warning in caught] == [ResourceWarning]
    assert f"made at {__file__}:" in str(caught[0].message)


def test_nothing_is_left_behind(server: LocalNovu) -> None:
    """Closing a client ends its threads and closes its descriptors."""
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with Novu(api_key=server.api_key, server_url=server.url) as client:
            client.subscribers.credentials.update("user-1", SUBSCRIBER)
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 5  # the server's ends, still closing


class TestBulk:
    """Bulk jobs in blocking code."""

    @pytest.mark.parametrize("phase", ["reading", "sending"])
    def test_sys_exit_in_progress_exits(self, client: Novu, tmp_path: Path, phase: str) -> None:
        """The call raises it, and the next one goes on with the job."""

        def leave(progress: Progress) -> None:
            if progress.phase == phase:
                sys.exit(3)

        job = tmp_path / "job"
        with pytest.raises(SystemExit) as caught:
            client.bulk.register(records(10), job=job, progress=leave)
        assert caught.value.code == 3
        assert client.bulk.register(records(10), job=job).done == 10

    @pytest.mark.parametrize("verb", ["register", "stream"])
    def test_sys_exit_in_an_observer_exits(self, server: LocalNovu, verb: str) -> None:
        """It ends no event loop: the client's next call works."""

        class Leaving(novu_async.Observer):
            is_armed = True

            def attempt(self, attempt: novu_async.AttemptInfo) -> AbstractContextManager[object]:
                if self.is_armed:
                    sys.exit(3)
                return super().attempt(attempt)

        observer = Leaving()
        with Novu(server.api_key, server_url=server.url, observer=observer) as client:
            with pytest.raises(SystemExit) as caught:
                list(getattr(client.bulk, verb)(records(3)))
            assert caught.value.code == 3
            observer.is_armed = False
            assert client.subscribers.device_tokens.add("user-1", "fcm", "t").change == "stored"

    def test_register(self, server: LocalNovu, client: Novu) -> None:
        """A list is registered, and the report counts it."""
        report = client.bulk.register(records(200))
        assert (report.rows, report.done) == (200, 200)
        assert stored(server) == 200

    def test_register_from_a_generator_in_this_thread(
        self, server: LocalNovu, client: Novu
    ) -> None:
        """A generator runs in the caller's thread, where it may block and call the client."""
        threads = set()

        def make() -> Iterator[DeviceToken]:
            client.subscribers.credentials.update("user-0", SUBSCRIBER)
            for record in records(3_000):
                threads.add(threading.get_ident())
                yield record

        assert client.bulk.register(make()).done == 3_000
        assert threads == {threading.get_ident()}

    def test_register_from_a_database_cursor(self, server: LocalNovu, client: Novu) -> None:
        """The rows of a cursor, which SQLite ties to its thread, are registered by column name."""
        database = sqlite3.connect(":memory:")
        database.execute("create table devices (provider_id, token, subscriber_id)")
        rows = [(r.provider_id, r.token, r.subscriber_id) for r in records(2_500)]
        database.executemany("insert into devices values (?, ?, ?)", rows)
        report = client.bulk.register(database.execute("select * from devices"))
        database.close()
        assert report.done == 2_500
        assert stored(server) == 2_500

    def test_records_that_can_be_awaited_too_are_read_in_this_thread(
        self, server: LocalNovu, client: Novu
    ) -> None:
        """So does a queryset of Django see the transaction that this thread has open."""

        class Both:
            def __iter__(self) -> Iterator[DeviceToken]:
                assert threading.current_thread() is threading.main_thread()
                return iter(records(3))

            def __aiter__(self) -> NoReturn:
                raise AssertionError

        assert client.bulk.register(Both()).done == 3
        assert len(list(client.bulk.stream(Both()))) == 3

    @pytest.mark.parametrize("kind", [list, dict, OrderedDict, UserDict])
    def test_one_object_for_all_rows(self, server: LocalNovu, client: Novu, kind: Any) -> None:
        """Records may all come in one object, which is filled again for each."""

        def make() -> Iterator[Any]:
            row = ["", "fcm", ""] if kind is list else kind(provider_id="fcm")
            names: Any = (0, 2) if kind is list else ("subscriber_id", "token")
            for record in records(50):
                row[names[0]], row[names[1]] = record.subscriber_id, record.token
                yield row

        assert client.bulk.plan(make()).duplicates == 0
        assert client.bulk.register(make()).done == 50
        assert stored(server) == 50
        assert all(outcome.ok for outcome in client.bulk.stream(make(), operation="remove"))
        assert stored(server) == 0

    def test_stream(self, server: LocalNovu, client: Novu) -> None:
        """Every row of a stream gets its outcome, from a list and from a generator."""
        outcomes = list(client.bulk.stream(records(500)))
        outcomes += client.bulk.stream(record for record in records(500))
        assert len(outcomes) == 1_000
        assert all(outcome.ok for outcome in outcomes)

    def test_a_stream_left_early(self, server: LocalNovu, client: Novu) -> None:
        """Breaking out of an endless stream stops it, and the client goes on."""

        def endless() -> Iterator[DeviceToken]:
            number = 0
            while True:
                number += 1
                yield DeviceToken(f"user-{number}", "fcm", "token")

        for outcome in client.bulk.stream(endless()):
            assert outcome.ok
            break
        seen = len(server.requests)
        client.subscribers.credentials.update("user-1", SUBSCRIBER)
        assert seen < 2_500

    def test_plan_needs_no_client(self) -> None:
        """A dry run works without a client, for iterables too."""
        assert novu_sync.bulk.plan(record for record in records(100)).rows == 100

    def test_an_error_in_the_records(self, client: Novu) -> None:
        """An exception raised by the caller's generator is raised from register."""

        def broken() -> Iterator[DeviceToken]:
            yield from records(3)
            raise LookupError("the database is gone")

        with pytest.raises(LookupError, match="the database is gone"):
            client.bulk.register(broken())


class TestProcesses:
    """Fork, exit and Ctrl-C with open connections to a server."""

    PREAMBLE = """
    import atexit, logging, multiprocessing, os, signal, sys, threading, warnings
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # a slow machine is no fault of ours
    from novu_sync import Novu
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # threads exist when forking
    novu = Novu(api_key=sys.argv[1], server_url=sys.argv[2])
    def write(subscriber, token="t"):
        credentials = {"provider_id": "fcm", "credentials": {"device_tokens": [token]}}
        novu.subscribers.credentials.append(subscriber, credentials)
    """

    def check(self, server: LocalNovu, script: str, output: str = "") -> None:
        """Run a script with warnings shown, and expect this output and no complaint."""
        command = [sys.executable, "-W", "always", "-X", "dev", "-c"]
        done = subprocess.run(
            [*command, dedent(self.PREAMBLE) + dedent(script), server.api_key, server.url],
            capture_output=True,
            text=True,
            timeout=50,
            cwd=Path(__file__).parents[2],
            check=False,
        )
        assert (done.stdout, done.stderr, done.returncode) == (output, "", 0)

    def test_fork_with_open_connections(self, server: LocalNovu) -> None:
        """Forked children open connections of their own; those of the parent stay as they are."""
        self.check(
            server,
            """
            write("before")
            for number in range(5):
                pid = os.fork()
                if pid == 0:
                    if number % 2:
                        write(f"child-{number}")
                        novu.close()
                    sys.exit(0)
                assert os.waitpid(pid, 0)[1] == 0
                write(f"parent-{number}")
            novu.close()
            """,
        )
        assert {"before", "child-1", "child-3", "parent-0", "parent-4"} <= set(server.subscribers)
        parents = [r.connection for r in server.requests if "child" not in (r.subscriber_id or "")]
        assert len(set(parents)) == 1

    def test_multiprocessing(self, server: LocalNovu) -> None:
        """The workers of a forked pool share a client that the module holds."""
        self.check(
            server,
            """
            write("parent")
            with multiprocessing.get_context("fork").Pool(4) as pool:
                pool.map(write, [f"worker-{number}" for number in range(40)])
            write("parent again")
            novu.close()
            """,
        )
        assert len(server.subscribers) == 42

    def test_exit_without_close(self, server: LocalNovu) -> None:
        """A script that forgets to close its client ends in silence but for one warning."""
        self.check(
            server,
            """
            warnings.filterwarnings("ignore", message="unclosed novu_sync.Novu, made at <string>")
            write("user-1")
            """,
        )

    def test_exit_with_daemon_threads_calling(self, server: LocalNovu) -> None:
        """Daemon threads that go on writing do not hold up the exit."""
        self.check(
            server,
            """
            warnings.filterwarnings("ignore", category=ResourceWarning)
            written = threading.Semaphore(0)
            def work(number):
                while True:
                    write(f"user-{number}")
                    written.release()
            for number in range(8):
                threading.Thread(target=work, args=[number], daemon=True).start()
            for _ in range(40):
                written.acquire()
            """,
        )

    def test_threads_that_outlive_the_main_thread(self, server: LocalNovu) -> None:
        """Ordinary threads write on after the main thread has ended, on new connections too."""
        self.check(
            server,
            """
            warnings.filterwarnings("ignore", category=ResourceWarning)
            by_name = Novu(sys.argv[1], server_url=sys.argv[2].replace("127.0.0.1", "localhost"))
            def work(number):
                threading.main_thread().join()
                write(f"user-{number}")
                by_name.subscribers.credentials.delete(f"user-{number}", "apns")
            write("user-0")
            by_name.subscribers.credentials.delete("user-0", "apns")
            for number in range(4):
                threading.Thread(target=work, args=[number]).start()
            """,
        )
        assert len(server.subscribers) == 4

    def test_a_name_server_that_does_not_answer(self, server: LocalNovu) -> None:
        """Neither Ctrl-C, nor close(), nor the exit waits for a host name to be resolved."""
        self.check(
            server,
            """
            import socket
            asked = threading.Event()
            def resolve(*args, **kwargs):
                asked.set()
                threading.Event().wait()
            def interrupt():
                asked.wait()
                os.kill(os.getpid(), signal.SIGINT)
            socket.getaddrinfo = resolve
            novu = Novu("key", server_url="https://novu.invalid")
            threading.Thread(target=interrupt, daemon=True).start()
            try:
                write("user-1")
            except KeyboardInterrupt:
                print("interrupted")
            novu.close()
            """,
            "interrupted\n",
        )
