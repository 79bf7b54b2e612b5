"""Channels and device tokens as text and as JSON, secrets as fingerprints unless asked for."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from novu_async.cli._output import count

if TYPE_CHECKING:
    from novu_async.models import ChannelCredentials, ChannelSettingsDto, SubscriberResponseDto

_SHOWN_TOKENS = 3


def show_secret(secret: Any, *, reveal: bool) -> str:
    """Return a secret as it is, or its fingerprint."""
    from novu_async._secrets import fingerprint

    return str(secret) if reveal else fingerprint(str(secret))


def channels_of(subscriber: "SubscriberResponseDto") -> list["ChannelSettingsDto"]:
    """Return the channels without what is none: bulk writes store whatever they are given."""
    from novu_async.models import ChannelCredentials

    channels = subscriber.channels if isinstance(subscriber.channels, list) else []
    return [
        one for one in channels if isinstance(getattr(one, "credentials", None), ChannelCredentials)
    ]


def tokens_of(credentials: "ChannelCredentials") -> list[Any]:
    """Return the device tokens, if that is what there is."""
    return credentials.device_tokens if isinstance(credentials.device_tokens, list) else []


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
    parts = [str(channel.provider_id)]
    if credentials.webhook_url is not None:
        parts.append(f"webhook URL {show_secret(credentials.webhook_url, reveal=reveal)}")
    if credentials.channel is not None:
        parts.append(f"channel {credentials.channel}")
    parts.append(f"integration {channel.integration_id or 'unknown'}")
    if tokens := tokens_of(credentials):
        parts.append(describe_tokens(tokens, reveal=reveal))
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
        "device_tokens": [show_secret(token, reveal=reveal) for token in tokens_of(credentials)],
        "webhook_url": None if url is None else show_secret(url, reveal=reveal),
        "channel": credentials.channel,
    }
