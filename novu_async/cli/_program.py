"""The group of all commands, and the way every one of them ends."""

import sys
from functools import partial
from typing import Any, NoReturn

import click

from novu_async._version import __version__
from novu_async.cli._credentials import append, delete, show, update
from novu_async.cli._demo import demo
from novu_async.cli._errors import MISUSED, run_guarded
from novu_async.cli._job import job
from novu_async.cli._options import example
from novu_async.cli._output import say
from novu_async.cli._register import register, verify
from novu_async.cli._serve import serve
from novu_async.cli._tokens import tokens


class Program(click.Group):
    """A group whose errors are one line each, and whose commands return their exit status."""

    def main(self, *args: Any, **options: Any) -> NoReturn:
        """Run and exit."""
        options["standalone_mode"] = False
        sys.exit(run_guarded(partial(super().main, *args, **options)))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order in which they are added below."""
        return list(self.commands)


@click.group(
    cls=Program,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=example("novu-credentials serve --port 3999"),
)
@click.version_option(__version__, prog_name="novu-credentials")
@click.pass_context
def program(ctx: click.Context) -> int:
    """Register, append and delete Novu subscriber credentials, one by one or by the million.

    The API key comes from NOVU_API_KEY or --api-key-file. Exit status: 0 all is done, 1 some rows
    failed or the API refused, 2 wrong usage or configuration, 130 interrupted.
    """
    if ctx.invoked_subcommand is None:
        say(ctx.get_help())
        ctx.exit(MISUSED)
    return 0


for command in (register, verify, job, update, append, delete, show, tokens, serve, demo):
    program.add_command(command)
