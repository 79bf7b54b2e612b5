"""update, append, delete and show: the API's own calls, one subscriber at a time."""

from typing import TYPE_CHECKING, Any

import click

from novu_async.cli._connection import Connection
from novu_async.cli._errors import FAILED, complain
from novu_async.cli._options import (
    TOKENS_HELP,
    combine,
    connects,
    example,
    gather_tokens,
    json_option,
    names_channel,
    reveal_option,
    takes_tokens,
)
from novu_async.cli._output import count, echo, echo_json

if TYPE_CHECKING:
    from novu_async import SubscriberResponseDto


_takes_credentials = combine(
    connects,
    names_channel,
    takes_tokens,
    json_option,
    click.option(
        "--webhook-url", metavar="URL", help="Webhook URL of a chat provider; `-` reads it."
    ),
    click.option("--channel", help="Channel or room, for providers that need one."),
)

_UPDATE_HELP = f"""Set the credentials of one channel.

Its device tokens are replaced by these. A webhook URL or channel that is not given stays as it is.
{TOKENS_HELP}"""

_APPEND_HELP = f"""Add device tokens to one channel; those it has stay.
{TOKENS_HELP}"""


@click.command(
    help=_UPDATE_HELP,
    short_help="Set the credentials of one channel.",
    epilog=example("printf 'token-1\\ntoken-2\\n' | novu-credentials update user-42 fcm -"),
)
@_takes_credentials
def update(**options: Any) -> int:
    return _write("update", **options)


@click.command(
    help=_APPEND_HELP,
    short_help="Add device tokens to one channel.",
    epilog=example("echo token-3 | novu-credentials append user-42 fcm -"),
)
@_takes_credentials
def append(**options: Any) -> int:
    return _write("append", **options)


def _write(
    verb: str,
    *,
    subscriber_id: str,
    provider_id: str,
    integration_identifier: str | None,
    tokens: tuple[str, ...],
    tokens_file: str | None,
    webhook_url: str | None,
    channel: str | None,
    as_json: bool,
    connection: Connection,
) -> int:
    from novu_async.cli._run import run

    given = gather_tokens(tokens, tokens_file)
    credentials: dict[str, Any] = {"device_tokens": given} if given else {}
    if webhook_url is not None:
        credentials["webhook_url"] = _read_text() if webhook_url == "-" else webhook_url
    if channel is not None:
        credentials["channel"] = channel
    if not credentials:
        raise click.UsageError("give a TOKEN, --tokens-file or --webhook-url")
    request: dict[str, Any] = {"provider_id": provider_id, "credentials": credentials}
    if integration_identifier is not None:
        request["integration_identifier"] = integration_identifier

    async def call() -> "SubscriberResponseDto":
        async with connection.open() as novu:
            method = getattr(novu.subscribers.credentials, verb)
            return (await method(subscriber_id, request)).result  # type: ignore[no-any-return]

    return _report_write(run(call()), subscriber_id, provider_id, given, as_json=as_json)


def _read_text() -> str:
    with click.open_file("-", encoding="utf-8-sig") as file:
        text: str = file.read()
    return text.strip()


def _report_write(
    subscriber: "SubscriberResponseDto",
    subscriber_id: str,
    provider_id: str,
    tokens: list[str],
    *,
    as_json: bool,
) -> int:
    from novu_async.cli._channel_text import channels_of, tokens_of

    _print_channels(subscriber_id, subscriber, provider_id, reveal=False, as_json=as_json)
    held = {
        token
        for channel in channels_of(subscriber)
        if channel.provider_id == provider_id
        for token in tokens_of(channel.credentials)
        if isinstance(token, str)
    }
    missing = len(set(tokens) - held)
    if missing:
        complain(
            f"{count(missing, 'device token')} acknowledged but not stored: another writer was "
            "faster; run it again, or use `novu-credentials tokens add`, which checks"
        )
        return FAILED
    return 0


@click.command(
    short_help="Remove a provider from a subscriber.",
    epilog=example("novu-credentials delete user-42 fcm"),
)
@connects
@click.argument("subscriber_id")
@click.argument("provider_id")
@json_option
def delete(subscriber_id: str, provider_id: str, as_json: bool, connection: Connection) -> None:
    """Remove all channels of a provider from a subscriber.

    All of them, where it has several integrations; to empty one use `tokens clear`. Removing what
    is not there succeeds.
    """
    from novu_async.cli._run import run

    async def call() -> None:
        async with connection.open() as novu:
            await novu.subscribers.credentials.delete(subscriber_id, provider_id)

    run(call())
    if as_json:
        echo_json({"subscriber_id": subscriber_id, "provider_id": provider_id, "deleted": True})
    else:
        echo(f"{subscriber_id} has no {provider_id} channel any more")


@click.command(
    short_help="Show the channels of a subscriber.",
    epilog=example("novu-credentials show user-42"),
)
@connects
@click.argument("subscriber_id")
@reveal_option
@json_option
def show(subscriber_id: str, reveal: bool, as_json: bool, connection: Connection) -> None:
    """Show the channels of a subscriber, with fingerprints in place of tokens and URLs."""
    from novu_async.cli._run import run

    async def call() -> "SubscriberResponseDto":
        async with connection.open() as novu:
            return await novu.subscribers.retrieve(subscriber_id)

    _print_channels(subscriber_id, run(call()), None, reveal=reveal, as_json=as_json)


def _print_channels(
    subscriber_id: str,
    subscriber: "SubscriberResponseDto",
    provider_id: str | None,
    *,
    reveal: bool,
    as_json: bool,
) -> None:
    """Print the channels of one provider, or of all."""
    from novu_async.cli._channel_text import channel_as_json, channels_of, describe_channel

    channels = [one for one in channels_of(subscriber) if provider_id in (None, one.provider_id)]
    if as_json:
        shown = [channel_as_json(channel, reveal=reveal) for channel in channels]
        echo_json({"subscriber_id": subscriber_id, "channels": shown})
        return
    for channel in channels:
        echo(describe_channel(channel, reveal=reveal))
    if not channels:
        echo(f"{subscriber_id} has no channels")
