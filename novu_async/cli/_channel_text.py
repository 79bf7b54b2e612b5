"""Channels and device tokens as text and as JSON, secrets as fingerprints unless asked for."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from novu_async.cli._output import count

if TYPE_CHECKING:
    from novu_async.models import ChannelSettingsDto

_SHOWN_TOKENS = 3


def show_secret(secret: Any, *, reveal: bool) -> str:
    """Return a secret as it is, or its fingerprint."""
    from novu_async._secrets import fingerprint

    return str(secret) if reveal else fingerprint(str(secret))


def describe_tokens(tokens: Iterable[Any], *, reveal: bool) -> str:
    """Say how many device tokens there are, and which."""
    shown = [show_secret(token, reveal=reveal) for token in tokens]
    number = count(len(shown), "device token")
    if reveal:
        return "\n  ".join([number, *shown])
    more = [] if len(shown) <= _SHOWN_TOKENS else ["..."]
    return " ".join([number, *shown[:_SHOWN_TOKENS], *more])


def describe_channel(channel: "ChannelSettingsDto", *, reveal: bool) -> str:
    """Describe one channel in a line, or with `reveal` in one line and one more for each token."""
    credentials = channel.credentials
    parts = [channel.provider_id]
    if credentials.webhook_url is not None:
        parts.append(f"webhook URL {show_secret(credentials.webhook_url, reveal=reveal)}")
    if credentials.channel is not None:
        parts.append(f"channel {credentials.channel}")
    parts.append(f"integration {channel.integration_id or 'unknown'}")
    if credentials.device_tokens:
        parts.append(describe_tokens(credentials.device_tokens, reveal=reveal))
    elif credentials.webhook_url is None:
        parts.append("no device tokens")
    return "  ".join(parts)


def channel_as_json(channel: "ChannelSettingsDto", *, reveal: bool) -> dict[str, Any]:
    """Return what `describe_channel` says, for programs."""
    credentials = channel.credentials
    url = credentials.webhook_url
    return {
        "provider_id": channel.provider_id,
        "integration_id": channel.integration_id,
        "device_tokens": [
            show_secret(token, reveal=reveal) for token in credentials.device_tokens or ()
        ],
        "webhook_url": None if url is None else show_secret(url, reveal=reveal),
        "channel": credentials.channel,
    }
