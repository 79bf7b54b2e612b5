"""The chat and push providers that the API knows, by channel type."""

from typing import Final

CHAT_PROVIDERS: Final = (
    "slack", "discord", "msteams", "mattermost", "ryver", "zulip", "grafana-on-call",
    "getstream", "rocket-chat", "whatsapp-business", "chat-webhook", "novu-slack",
    "webex-messaging", "line", "telegram", "sendblue", "novu-web-chat",
)  # fmt: skip
PUSH_PROVIDERS: Final = (
    "fcm", "apns", "expo", "one-signal", "pushpad", "push-webhook", "pusher-beams", "appio",
)  # fmt: skip
PROVIDERS: Final = frozenset(CHAT_PROVIDERS + PUSH_PROVIDERS)


def find_channel_type(provider_id: str) -> str:
    """Name the channel type of a provider: "push", "chat", or "email" for any other."""
    if provider_id in PUSH_PROVIDERS:
        return "push"
    return "chat" if provider_id in CHAT_PROVIDERS else "email"
