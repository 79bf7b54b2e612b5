"""The names of `novu_async.providers`: the same objects."""

from novu_async.providers import (
    CHAT_PROVIDERS,
    PUSH_PROVIDERS,
    ChatOrPushProviderEnum,
    UpdateSubscriberChannelRequestDtoProviderID,
    is_push,
    nearest_provider,
)

__all__ = [
    "CHAT_PROVIDERS",
    "PUSH_PROVIDERS",
    "ChatOrPushProviderEnum",
    "UpdateSubscriberChannelRequestDtoProviderID",
    "is_push",
    "nearest_provider",
]
