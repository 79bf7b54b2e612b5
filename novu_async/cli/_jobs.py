"""Running one bulk job: its display, its end, and what to type next."""

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from novu_async.cli._connection import Connection
from novu_async.cli._errors import (
    FAILED,
    EndedBySignalError,
    complain,
    describe,
    exit_status,
)
from novu_async.cli._files import STDIN, JobFiles
from novu_async.cli._output import count, echo, echo_json, say
from novu_async.cli._progress import open_display
from novu_async.cli._reports import as_json, format_report

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from novu_async.bulk import Progress, Report
    from novu_async.errors import BulkError

_GRACE_SECONDS = 10
_STOPPING = (
    f"stopping: what is in flight may take up to {_GRACE_SECONDS} s; Ctrl-C again ends at once"
)
_MIN_CONNECTIONS = 100


class Job(NamedTuple):
    """One bulk job as the options ask for it; `begin(bulk, progress=...)` starts it.

    `can_begin_again`: the rows can be read once more, and are not in the job file only.
    """

    begin: "Callable[..., Awaitable[Report]]"
    files: JobFiles
    source: str | None
    can_begin_again: bool
    connection: Connection
    concurrency: int
    share: float
    quiet: bool
    prints_json: bool


def run_job(job: Job) -> int:
    """Run a job, print its report, and return the exit status."""
    from novu_async.cli._run import run
    from novu_async.errors import BulkError

    was_begun = job.files.job.exists()
    kept = None if was_begun else job.files.keep_earlier_failures()
    try:
        with open_display(quiet=job.quiet) as display:
            report = run(_begin(job, display.show), on_signal=lambda: display.note(_STOPPING))
    except BulkError as error:
        _tell_kept(job, kept)
        return _end_stopped(job, error)
    except EndedBySignalError:
        _tell_kept(job, kept)
        _end_interrupted(job, was_begun=was_begun)
        raise
    except BaseException:  # refused before it began
        if kept is not None and not os.path.lexists(job.files.failures):
            kept.rename(job.files.failures)
        raise
    _tell_kept(job, kept)
    return _end_finished(job, report)


def _tell_kept(job: Job, kept: Path | None) -> None:
    if kept is not None:
        say(f"{job.files.failures} was there from an earlier run: it is {kept} now")


async def _begin(job: Job, show: "Callable[[Progress], None]") -> "Report":
    connections = max(_MIN_CONNECTIONS, job.concurrency)
    async with job.connection.open(share=job.share, max_connections=connections) as novu:
        return await job.begin(novu.bulk, progress=show)


def _end_finished(job: Job, report: "Report") -> int:
    job.files.remove_if_ours()
    _print(job, report)
    if report.resumed:
        say(f"{job.files.job} was begun before: the figures are of all its runs")
    _tell_other_keys(report)
    _tell_failures(report)
    return 0 if report.ok else FAILED


def _tell_other_keys(report: "Report") -> None:
    if report.other_keys:
        say(
            "the job had another API key before: if that is for another environment, what was done "
            "there is not done here"
        )


def _name_failures(report: "Report") -> None:
    if report.failures_path is not None:
        rows = count(report.failed + report.invalid, "row")
        say(f"{rows} to put right: see {report.failures_path}")


def _tell_failures(report: "Report") -> None:
    path = report.failures_path
    if path is None:
        return
    _name_failures(report)
    if report.operation == "append" and any(
        reason.reason == "no such subscriber" for reason in report.failures
    ):
        say(f"to create unknown subscribers: run this again with {path} --on-missing create")
    if any(reason.retryable for reason in report.failures) and report.operation != "verify":
        append = " --operation append" if report.operation == "replace" else ""
        say(f"some can succeed as they are: run this again with {path} --only-retryable{append}")


def _end_stopped(job: Job, error: "BulkError") -> int:
    """Tell why a job could not go on; one that did nothing leaves no job file behind."""
    from novu_async.errors import APIConnectionError, IntegrationNotFoundError, NovuError

    report: Report = error.report
    cause = error.__cause__ if isinstance(error.__cause__, NovuError) else error
    did_nothing = report.done == report.failed == 0 < report.waiting
    if did_nothing and (job.can_begin_again or job.source == STDIN):
        job.files.remove_if_ours()
        if job.prints_json:
            _print(job, report, error=describe(error))
        complain(describe(error if isinstance(cause, IntegrationNotFoundError) else cause))
        _name_failures(report)
        return exit_status(cause)
    _print(job, report, error=describe(error))
    complain(describe(error))
    _tell_other_keys(report)
    _name_failures(report)
    is_unwritten = report.failures_path is None and (report.failed or report.invalid)
    if is_unwritten and not report.waiting:
        say(f"{job.files.job} is kept; to write them: {_resume_command(job)} --failures FILE")
    else:
        say(f"to go on: {_resume_command(job)}")
    return FAILED if isinstance(cause, APIConnectionError) else exit_status(cause)


def _end_interrupted(job: Job, *, was_begun: bool) -> None:
    """Tell how far a job came, and how to go on."""
    import attrs

    from novu_async.bulk import read_job

    if not job.files.job.exists():
        say(f"interrupted before anything was sent; to begin again: {_same_command()}")
        return
    report = read_job(job.files.job)
    is_written = (report.failed or report.invalid) and job.files.failures.exists()
    report = attrs.evolve(
        report,
        resumed=was_begun,
        failures_path=str(job.files.failures) if is_written else None,
    )
    if report.done == report.failed == 0 and job.can_begin_again:
        job.files.remove_if_ours()
    _print(job, report, interrupted=True)
    _name_failures(report)
    if job.files.job.exists():
        say(f"interrupted, and saved; to go on: {_resume_command(job)}")
    else:
        say(f"interrupted before any row was done; to begin again: {_same_command()}")


def _print(job: Job, report: "Report", **more: Any) -> None:
    if job.prints_json:
        more["job"] = str(job.files.job) if job.files.job.exists() else None
        echo_json(as_json(report, **more))
    else:
        echo(format_report(report))


def _resume_command(job: Job) -> str:
    """Return the command that goes on; standard input is not needed again."""
    if job.source != STDIN:
        return _same_command()
    arguments = [argument for argument in sys.argv[1:] if argument != STDIN]
    if job.files.is_ours:
        arguments += ["--job", str(job.files.job)]
    return shlex.join([*called_as(), *arguments])


def _same_command() -> str:
    return shlex.join([*called_as(), *sys.argv[1:]])


def called_as() -> list[str]:
    """Return the words that this program was called by, as short as they can be."""
    called = Path(sys.argv[0])
    if called.name != "novu-credentials":
        return [Path(sys.executable).name, "-m", "novu_async.cli"]
    found = shutil.which(called.name)
    is_on_path = found is not None and os.path.realpath(found) == os.path.realpath(called)
    return [called.name if is_on_path else str(called)]
