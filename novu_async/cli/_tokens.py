"""tokens add, replace, remove, clear, list and repair: verbs that check what is stored."""

from typing import TYPE_CHECKING, Any

import click

from novu_async.cli._options import (
    TOKENS_HELP,
    connects,
    example,
    gather_tokens,
    json_option,
    names_channel,
    reveal_option,
    takes_tokens,
)
from novu_async.cli._output import echo, echo_json

if TYPE_CHECKING:
    from novu_async import DeviceTokensResult
    from novu_async.cli._connection import Connection


@click.group(epilog=example("echo token-1 | novu-credentials tokens add user-42 fcm -"))
def tokens() -> None:
    """Change or list the device tokens of one channel.

    These verbs read the answer: nothing counts as stored that is not there.
    """


def _run(
    verb: str,
    *,
    subscriber_id: str,
    provider_id: str,
    as_json: bool,
    connection: "Connection",
    tokens: tuple[str, ...] | None = None,
    tokens_file: str | None = None,
    reveal: bool = False,
    **more: Any,
) -> None:
    """Call a verb, with device tokens where it takes some, and print what the channel holds."""
    from novu_async.cli._run import run

    where = (subscriber_id, provider_id)
    if tokens is not None:
        more["tokens"] = gather_tokens(tokens, tokens_file)
        if not more["tokens"]:
            raise click.UsageError("give a TOKEN, - or --tokens-file")

    async def call() -> "DeviceTokensResult":
        async with connection.open() as novu:
            method = getattr(novu.subscribers.device_tokens, verb)
            return await method(*where, **more)  # type: ignore[no-any-return]

    _print(run(call()), *where, reveal=reveal, as_json=as_json)


def _print(
    result: "DeviceTokensResult",
    subscriber_id: str,
    provider_id: str,
    *,
    reveal: bool,
    as_json: bool,
) -> None:
    from novu_async.cli._channel_text import describe_tokens, show_secret

    if not as_json:
        change = "" if result.change == "unchanged" else f"{result.change}: "
        holds = describe_tokens(result.device_tokens, reveal=reveal)
        echo(f"{change}{provider_id} of {subscriber_id} holds {holds}")
        return
    echo_json(
        {
            "subscriber_id": subscriber_id,
            "provider_id": provider_id,
            "change": result.change,
            "device_tokens": [show_secret(one, reveal=reveal) for one in result.device_tokens],
            "removed": len(result.removed),
            "integration_id": result.integration_id,
            "requests": result.requests,
        }
    )


@tokens.command(
    help=f"Add device tokens, and see to it that they are stored.\n{TOKENS_HELP}",
    short_help="Add device tokens.",
    epilog=example("echo token-1 | novu-credentials tokens add user-42 fcm -"),
)
@connects
@names_channel
@takes_tokens
@click.option(
    "--on-missing",
    "on_missing_subscriber",
    type=click.Choice(["raise", "create"]),
    default="raise",
    show_default=True,
    help="What to do where the subscriber does not exist.",
)
@json_option
def add(**options: Any) -> None:
    _run("add", **options)


@tokens.command(
    help=f"Make these the only device tokens.\n{TOKENS_HELP}",
    short_help="Make these the only device tokens.",
    epilog=example("printf 'token-1\\ntoken-2\\n' | novu-credentials tokens replace user-42 fcm -"),
)
@connects
@names_channel
@takes_tokens
@json_option
def replace(**options: Any) -> None:
    _run("replace", **options)


@tokens.command(
    help=f"Remove device tokens; what is not there counts as removed.\n{TOKENS_HELP}",
    short_help="Remove device tokens.",
    epilog=example("echo token-1 | novu-credentials tokens remove user-42 fcm -"),
)
@connects
@names_channel
@takes_tokens
@json_option
def remove(**options: Any) -> None:
    _run("remove", **options)


@tokens.command(epilog=example("novu-credentials tokens clear user-42 fcm"))
@connects
@names_channel
@json_option
def clear(**options: Any) -> None:
    """Erase all device tokens; the channel itself stays."""
    _run("clear", **options)


@tokens.command("list", epilog=example("novu-credentials tokens list user-42 fcm"))
@connects
@names_channel
@reveal_option
@json_option
def list_(**options: Any) -> None:
    """List the device tokens, as fingerprints."""
    _run("list", **options)


@tokens.command(epilog=example("novu-credentials tokens repair user-42 fcm"))
@connects
@names_channel
@json_option
def repair(**options: Any) -> None:
    """Merge the duplicate channels that earlier races have left.

    No token is lost, and nothing is written where there are none.
    """
    _run("repair", **options)
