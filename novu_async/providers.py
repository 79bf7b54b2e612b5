"""The provider ids of chat and push channels, and which credential each of them is delivered with.

Source: the `ChatOrPushProviderEnum` of the API's contract (version 3.18.1, 2026). The API takes new
ids faster than SDKs are released, so an id that is not listed here is sent as it is; the API
answers 422 (400 before 2025) when it does not know it either.
"""

import difflib
from enum import StrEnum

__all__ = [
    "CHAT_PROVIDERS",
    "PUSH_PROVIDERS",
    "ChatOrPushProviderEnum",
    "UpdateSubscriberChannelRequestDtoProviderID",
    "is_known",
    "is_push",
    "nearest_provider",
]


class UpdateSubscriberChannelRequestDtoProviderID(StrEnum):
    """The providers that a subscriber's credentials can belong to; each member is its id."""

    SLACK = "slack"
    DISCORD = "discord"
    MSTEAMS = "msteams"
    WEBEX_MESSAGING = "webex-messaging"
    MATTERMOST = "mattermost"
    RYVER = "ryver"
    ZULIP = "zulip"
    GRAFANA_ON_CALL = "grafana-on-call"
    GETSTREAM = "getstream"
    ROCKET_CHAT = "rocket-chat"
    WHATSAPP_BUSINESS = "whatsapp-business"
    LINE = "line"
    CHAT_WEBHOOK = "chat-webhook"
    NOVU_SLACK = "novu-slack"
    TELEGRAM = "telegram"
    SENDBLUE = "sendblue"
    NOVU_WEB_CHAT = "novu-web-chat"
    FCM = "fcm"
    APNS = "apns"
    EXPO = "expo"
    ONE_SIGNAL = "one-signal"
    PUSHPAD = "pushpad"
    PUSH_WEBHOOK = "push-webhook"
    PUSHER_BEAMS = "pusher-beams"
    APPIO = "appio"


ChatOrPushProviderEnum = UpdateSubscriberChannelRequestDtoProviderID
"""The name that the API's contract gives to the same list since 2025."""

PUSH_PROVIDERS = frozenset(
    {"fcm", "apns", "expo", "one-signal", "pushpad", "push-webhook", "pusher-beams", "appio"}
)
"""Providers that deliver to `device_tokens`; for OneSignal, Pusher Beams, Pushpad and Appio these
are player or user ids."""

_KNOWN = frozenset(ChatOrPushProviderEnum)

CHAT_PROVIDERS = _KNOWN - PUSH_PROVIDERS
"""Providers that deliver to a `webhook_url`, a phone number or a connection made elsewhere."""


def is_known(provider_id: str) -> bool:
    """Tell whether a provider id is in the API's list, as this version has it."""
    return provider_id in _KNOWN


def is_push(provider_id: str) -> bool:
    """Tell whether a provider is known to deliver to device tokens."""
    return provider_id in PUSH_PROVIDERS


def nearest_provider(provider_id: str) -> str | None:
    """Return the known id that an unknown one most resembles, or None where none is close."""
    known = [member.value for member in ChatOrPushProviderEnum]
    close = difflib.get_close_matches(provider_id.lower().replace("_", "-"), known, n=1)
    return close[0] if close and close[0] != provider_id else None
