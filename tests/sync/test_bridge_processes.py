"""The bridge at interpreter exit, after fork and under signals, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

PREAMBLE = """
import atexit, multiprocessing, os, signal, sys, threading, time, warnings
at_the_end = []
atexit.register(lambda: [work() for work in at_the_end])
from stub_core import Client
client = Client()
calls = client.calls
"""


def run(script: str, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run a script after the preamble; a script that hangs fails."""
    return subprocess.run(
        [sys.executable, *options, "-c", PREAMBLE + dedent(script)],
        capture_output=True,
        text=True,
        timeout=40,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": f"{Path(__file__).parent}{os.pathsep}."},
        check=False,
    )


def check(script: str, output: str = "", *options: str, status: int = 0) -> None:
    """Run a script and expect this output, this exit status, and silence on standard error."""
    done = run(script, *options)
    assert (done.stdout, done.stderr, done.returncode) == (output, "", status)


class TestExit:
    """Interpreter exit neither hangs nor prints."""

    def test_without_close_one_warning(self) -> None:
        """With warnings shown, a client that is open at exit is named once."""
        done = run('calls.echo("a")', "-W", "always::ResourceWarning")
        assert done.returncode == 0
        assert done.stderr.count("unclosed") == 1
        assert "unclosed novu_sync.Novu, made at stub_core.py:1" in done.stderr

    def test_the_core_is_closed_at_exit(self) -> None:
        """What the core holds is released at exit, after the functions that a program registers."""
        check(
            """
            calls.echo("a")
            core = client.bridge.core
            atexit.register(lambda: print("before", core.closed))
            at_the_end.append(lambda: print("after", core.closed))
            """,
            "before 0\nafter 1\n",
        )

    def test_with_a_call_in_a_daemon_thread(self) -> None:
        """A daemon thread in the middle of a call does not hold up the exit, nor complain."""
        check(
            """
            threading.Thread(target=calls.hang, daemon=True).start()
            client.bridge.core.under_way.wait()
            print("end")
            """,
            "end\n",
        )

    def test_with_daemon_threads_calling_all_the_time(self) -> None:
        """Daemon threads that call on and on are stopped with the interpreter."""
        check(
            """
            started = threading.Semaphore(0)
            def work():
                while True:
                    calls.echo("a")
                    started.release()
            for _ in range(8):
                threading.Thread(target=work, daemon=True).start()
            for _ in range(100):
                started.acquire()
            """
        )

    def test_a_daemon_thread_calling_too_late(self) -> None:
        """A daemon thread that calls when the client is closed at exit waits, and says nothing."""
        check(
            """
            calls.echo("a")
            late = threading.Event()
            def work():
                late.wait()
                calls.echo("late")
            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            at_the_end.append(lambda: (late.set(), thread.join(0.5), print(thread.is_alive())))
            """,
            "True\n",
        )

    def test_with_a_call_in_another_thread(self) -> None:
        """An ordinary thread finishes its calls, also those begun after the main thread ended."""
        check(
            """
            calls.echo("a")  # Python 3.12.1 starts no thread after the main one has ended
            def work():
                threading.main_thread().join()
                print(calls.echo("late"), flush=True)
            threading.Thread(target=work).start()
            """,
            "late\n",
        )

    def test_leaving_a_with_block_by_sys_exit(self) -> None:
        """`sys.exit` inside `with` closes the client and keeps its exit status."""
        check(
            """
            with client:
                threading.Thread(target=calls.hang, daemon=True).start()
                client.bridge.core.under_way.wait()
                threading.excepthook = lambda args: None
                sys.exit(3)
            """,
            status=3,
        )

    def test_with_a_stream_half_read(self) -> None:
        """A stream that a script leaves half read does not hold up the exit."""
        check(
            """
            stream = calls.stream(range(100_000))
            print(next(stream))
            """,
            "0\n",
        )

    def test_a_call_at_exit(self) -> None:
        """A function registered with atexit can still call."""
        check(
            """
            calls.echo("a")
            atexit.register(lambda: print(calls.echo("at exit")))
            """,
            "at exit\n",
        )


def test_nothing_is_imported_in_the_loops_thread() -> None:
    """A child that is forked meanwhile would wait for ever for that import to end."""
    check(
        """
        before = set(sys.modules)
        calls.echo("a")
        import novu_sync
        retries = novu_sync.RetryConfig("backoff", novu_sync.BackoffStrategy(1, 1, 1, 50))
        with novu_sync.Novu("key", server_url="http://127.0.0.1:9", retries=retries) as novu:
            try:
                novu.subscribers.create("u")
            except novu_sync.APIConnectionError as error:
                assert error.attempts > 1
        new = set(sys.modules) - before
        print(sorted(name for name in new if name.startswith(("anyio.", "tenacity"))))
        client.bridge.close()
        """,
        "[]\n",
    )


class TestSignals:
    """Ctrl-C from outside, at any moment."""

    def test_ctrl_c_at_random_moments(self) -> None:
        """200 interrupts while calling leave a client that works, with nothing left running."""
        check(
            """
            interrupts = answers = 0
            done = threading.Event()
            def press():
                for delay in range(200):
                    time.sleep(0.0005 + delay * 7 % 13 / 10_000)
                    os.kill(os.getpid(), signal.SIGINT)
                done.set()
            thread = threading.Thread(target=press, daemon=True)
            while not done.is_set():
                try:
                    if not thread.is_alive() and not done.is_set():
                        thread.start()
                    while not done.is_set():
                        answers += calls.echo("a") == "a"
                except KeyboardInterrupt:
                    interrupts += 1
                except RuntimeError:
                    pass
            assert calls.echo("next") == "next"
            portal = client.bridge._portal
            assert not portal._running and not portal._arrivals
            assert interrupts > 10 and answers > 10
            client.bridge.close()
            """
        )

    def test_ctrl_c_stops_a_waiting_script(self) -> None:
        """A script that waits for an answer ends on Ctrl-C with a traceback, at once."""
        done = run("calls.hang(interrupt=True)")
        assert done.stderr.rstrip().endswith("KeyboardInterrupt")
        assert done.returncode in (1, -2, 130)

    def test_exit_from_a_signal_handler(self) -> None:
        """A handler that raises SystemExit, as servers have, ends a waiting call."""
        check(
            """
            signal.signal(signal.SIGINT, lambda *args: sys.exit(7))
            calls.hang(interrupt=True)
            """,
            status=7,
        )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
class TestFork:
    """A child process starts with a loop of its own and leaves the parent's alone."""

    CHECK_CHILD = """
    warnings.simplefilter("ignore", DeprecationWarning)  # that threads exist when forking
    def in_child(work):
        pid = os.fork()
        if pid == 0:
            work()
            raise SystemExit(0)
        assert os.waitpid(pid, 0)[1] == 0, "the child failed"
    """

    def check(self, script: str, output: str = "") -> None:
        check(dedent(self.CHECK_CHILD) + dedent(script), output, "-W", "always::ResourceWarning")

    def test_before_first_use(self) -> None:
        """A client made before the fork works in both processes."""
        self.check(
            """
            def work():
                assert calls.echo("child") == "child"
                client.bridge.close()
            in_child(work)
            assert calls.echo("parent") == "parent"
            client.bridge.close()
            """
        )

    def test_after_first_use(self) -> None:
        """A client used before the fork starts afresh in the child; the parent's goes on."""
        self.check(
            """
            calls.echo("a")
            loop, core = client.bridge.core.loop, client.bridge.core
            def work():
                assert calls.echo("child") == "child"
                assert client.bridge.core is not core and client.bridge.core.loop is not loop
                client.bridge.close()
                assert core.closed == 0
            in_child(work)
            assert calls.echo("parent") == "parent"
            assert client.bridge.core is core and core.loop is loop
            client.bridge.close()
            assert core.closed == 1
            """
        )

    def test_a_child_that_does_not_use_it(self) -> None:
        """A child that ends without a call closes and warns of nothing."""
        self.check(
            """
            calls.echo("a")
            in_child(lambda: None)
            assert calls.echo("parent") == "parent"
            client.bridge.close()
            """
        )

    def test_while_other_threads_are_calling(self) -> None:
        """Children forked amid 8 calling threads all get their answers."""
        self.check(
            """
            calls.echo("a")
            stop = threading.Event()
            def call():
                while not stop.is_set():
                    assert calls.echo("thread") == "thread"
            threads = [threading.Thread(target=call) for _ in range(8)]
            for thread in threads:
                thread.start()
            def work():
                assert calls.echo("child") == "child"
                client.bridge.close()
            for _ in range(20):
                in_child(work)
            stop.set()
            for thread in threads:
                thread.join()
            client.bridge.close()
            """
        )

    def test_a_child_of_a_child(self) -> None:
        """The grandchild starts afresh as well."""
        self.check(
            """
            calls.echo("a")
            def work():
                calls.echo("child")
                in_child(lambda: (calls.echo("grandchild"), client.bridge.close()))
                assert calls.echo("child") == "child"
                client.bridge.close()
            in_child(work)
            client.bridge.close()
            """
        )

    def test_a_closed_client_stays_closed(self) -> None:
        """Forking does not open what was closed."""
        self.check(
            """
            from novu_async.errors import ClientClosedError
            client.bridge.close()
            def work():
                try:
                    calls.echo("child")
                except ClientClosedError:
                    return
                raise AssertionError
            in_child(work)
            """
        )

    def test_a_stream_stays_with_the_parent(self) -> None:
        """The child cannot go on with a stream of its parent: it gets an error, no deadlock."""
        self.check(
            """
            stream = calls.stream(range(5_000))
            first = next(stream)
            def work():
                try:
                    for _ in stream:
                        pass
                except RuntimeError as error:
                    assert "another process" in str(error)
                else:
                    raise AssertionError
            in_child(work)
            assert [first, *stream] == list(range(5_000))
            client.bridge.close()
            """
        )

    def test_records_that_fork(self) -> None:
        """The child cannot go on with the call that reads them; the parent's call goes on."""
        self.check(
            """
            def records():
                yield 1
                if os.fork():
                    os.wait()
                yield 2
            parent = os.getpid()
            for read in calls.count, lambda records: list(calls.stream(records)):
                try:
                    print(read(records()), flush=True)
                except RuntimeError as error:
                    assert "another process" in str(error) and os.getpid() != parent
                    os._exit(0)
            client.bridge.close()
            """,
            "2\n[1, 2]\n",
        )

    def test_multiprocessing(self) -> None:
        """Workers of multiprocessing's fork method can use the client of their parent."""
        self.check(
            """
            calls.echo("a")
            def work(queue, text):
                queue.put(calls.echo(text))
            context = multiprocessing.get_context("fork")
            queue = context.SimpleQueue()
            workers = [context.Process(target=work, args=(queue, text)) for text in "abc"]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
                assert worker.exitcode == 0
            print(*sorted(queue.get() for _ in workers))
            client.bridge.close()
            """,
            "a b c\n",
        )
