"""Every failure becomes one line and one exit status, here and nowhere else."""

import re
from collections.abc import Callable
from typing import Any

import click

from novu_async.cli._output import bad, say

FAILED = 1
MISUSED = 2

_WORDS = {
    r"\bserver_url\b": "--server-url",
    r"unless they are mapped or constant": "or give --map and --provider",
    r"with a job file it could be gone on with": "run it with --job to be able to go on",
    r"on_missing_subscriber": "--on-missing",
    r"another failures file": "another --failures",
    r"may be given by ssl\b": "may be given by SSL_CERT_FILE",
    r"\bcheck proxy\b": "check the proxy of the environment",
    r"choose another job file": "delete it, or choose another with --job",
}
"""What messages call by its name in Python, and what it is called here."""


class EndedBySignalError(Exception):
    """The process was asked to end by a signal."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.exit_status = 128 + signum


def run_guarded(call: Callable[[], Any]) -> int:
    """Run a command and return its exit status; say in one line what went wrong.

    An error that is none of the package's own is a bug, and passes.
    """
    try:
        return call() or 0
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "novu-credentials"
        complain(f"{error.format_message().rstrip('.')} (see {path} --help)")
        return MISUSED
    except click.ClickException as error:
        complain(error.format_message())
        return MISUSED
    except EndedBySignalError as error:
        return error.exit_status
    except (click.Abort, KeyboardInterrupt):
        return 130
    except OSError as error:
        return _complain_of_system(error)
    except Exception as error:
        return _complain_of_ours(error)


def _complain_of_system(error: OSError) -> int:
    from novu_async.errors import NovuError

    if isinstance(error, NovuError):  # a timeout is both
        return _complain_of_ours(error)
    where = f"{error.filename}: " if error.filename else ""
    complain(f"{where}{error.strerror or error}")
    return MISUSED


def _complain_of_ours(error: Exception) -> int:
    from novu_async.errors import NovuError

    if not isinstance(error, NovuError):
        raise error
    complain(describe(error))
    return exit_status(error)


def complain(text: str) -> None:
    """Write an error to standard error, as one line."""
    say(f"{bad('error:')} {' '.join(text.split())}")


def describe(error: Exception) -> str:
    """Say what happened and what to do about it."""
    text = str(error)
    for name, option in _WORDS.items():
        text = re.sub(name, option, text)
    advice = _advise(error.__cause__ or error)
    return f"{text}; {advice}" if advice else text


def _advise(error: BaseException) -> str:
    from novu_async import errors

    if isinstance(error, errors.AuthenticationError):
        return (
            "check NOVU_API_KEY or --api-key-file, and --server: a key of one region is unknown "
            "in the other"
        )
    if isinstance(error, errors.IntegrationNotFoundError):
        return "activate an integration of this provider in Novu, or name an active one"
    if isinstance(error, errors.SubscriberNotFoundError):
        is_write = error.request is not None and error.request.method in ("PUT", "PATCH")
        advice = "create the subscriber first, as `tokens add --on-missing create` does"
        return advice if is_write else ""
    return ""


def exit_status(error: BaseException) -> int:
    """Return 2 where the configuration is wrong, 1 where a well-made call failed.

    A server that never answered counts as configuration: its address is most likely wrong.
    """
    from novu_async import errors

    misused = (
        errors.AuthenticationError,
        errors.PermissionDeniedError,
        errors.ConfigurationError,
        errors.InvalidRequestError,
        errors.APIConnectionError,
    )
    return MISUSED if isinstance(error, misused) else FAILED
