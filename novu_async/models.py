"""Requests and answers as attrs classes, named as the API's contract names them.

Device tokens and webhook URLs show up in a repr as fingerprints only. The error classes are here
too, because callers of the official SDK look for them in `models`.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from attrs import define, field

from novu_async._mappings import HeaderDict
from novu_async._secrets import describe_tokens, describe_url
from novu_async.errors import (
    APIError,
    ErrorDto,
    ErrorDtoData,
    NoResponseError,
    NovuError,
    ValidationErrorDto,
    ValidationErrorDtoData,
)
from novu_async.providers import (
    ChatOrPushProviderEnum,
    UpdateSubscriberChannelRequestDtoProviderID,
)

__all__ = [
    "APIError",
    "ChannelCredentials",
    "ChannelCredentialsDto",
    "ChannelSettingsDto",
    "ChatOrPushProviderEnum",
    "ErrorDto",
    "ErrorDtoData",
    "NoResponseError",
    "NovuError",
    "SubscriberResponseDto",
    "SubscribersControllerDeleteSubscriberCredentialsResponse",
    "SubscribersControllerModifySubscriberChannelResponse",
    "SubscribersControllerUpdateSubscriberChannelResponse",
    "SubscribersV1ControllerDeleteSubscriberCredentialsResponse",
    "SubscribersV1ControllerModifySubscriberChannelResponse",
    "SubscribersV1ControllerUpdateSubscriberChannelResponse",
    "UpdateSubscriberChannelRequestDto",
    "UpdateSubscriberChannelRequestDtoProviderID",
    "ValidationErrorDto",
    "ValidationErrorDtoData",
]


@define(kw_only=True)
class ChannelCredentials:
    """What a provider needs to reach one subscriber; None means "not given".

    The API stores `webhook_url`, `channel` and `device_tokens` only. It accepts the five fields of
    Grafana OnCall (`alert_uid` to `external_url`) and drops them without a word.
    """

    webhook_url: str | None = field(default=None, repr=describe_url)
    channel: str | None = None
    device_tokens: list[str] | None = field(default=None, repr=describe_tokens)
    alert_uid: str | None = None
    title: str | None = None
    image_url: str | None = None
    state: str | None = None
    external_url: str | None = None
    additional_properties: Mapping[str, Any] = field(factory=dict, repr=False)
    """Fields of an answer that this version does not know, as they came; never sent."""


ChannelCredentialsDto = ChannelCredentials
"""The name that the API's contract gives to the same fields in answers."""


@define(kw_only=True)
class UpdateSubscriberChannelRequestDto:
    """The body of update and append.

    Without `integration_identifier` the API takes the newest active integration of the provider.
    """

    provider_id: str
    credentials: ChannelCredentials
    integration_identifier: str | None = None


@define(kw_only=True)
class ChannelSettingsDto:
    """One channel of a subscriber: the credentials for one integration of one provider.

    The API lists `integration_identifier` in its contract but never sends it back.
    """

    provider_id: str = ""
    credentials: ChannelCredentials = field(factory=ChannelCredentials)
    integration_id: str = ""
    integration_identifier: str | None = None
    additional_properties: Mapping[str, Any] = field(factory=dict, repr=False)


@define(kw_only=True)
class SubscriberResponseDto:
    """A subscriber as the API stores it.

    Fields that an answer lacks have their defaults; `created_at` and `updated_at` are ISO 8601
    texts in UTC. `id` is the API's internal id and is not accepted in place of `subscriber_id`.
    """

    subscriber_id: str = ""
    organization_id: str = ""
    environment_id: str = ""
    deleted: bool = False
    created_at: str = ""
    updated_at: str = ""
    id: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None
    avatar: str | None = None
    locale: str | None = None
    timezone: str | None = None
    channels: list[ChannelSettingsDto] = field(factory=list)
    topics: list[str] | None = None
    is_online: bool | None = None
    last_online_at: str | None = None
    data: Mapping[str, Any] | None = None
    v: float | None = None
    additional_properties: Mapping[str, Any] = field(factory=dict, repr=False)


class _Response:
    """What every call returns: the headers, and whether the answer was a stored one."""

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        self._headers = headers or {}

    @cached_property
    def headers(self) -> HeaderDict[list[str]]:
        """The headers of the answer, each with all its values in order; by a name in any case."""
        collected: HeaderDict[list[str]] = HeaderDict()
        for name, value in self._headers.items():
            collected.setdefault(name.lower(), []).append(value)
        return collected

    @property
    def replayed(self) -> bool:
        """True where the API repeated an answer stored under the idempotency key: nothing new was
        written, and the answer may be about another subscriber (the API ignores the path)."""
        return "true" in self.headers.get("idempotency-replay", [])

    def __getstate__(self) -> dict[str, Any]:
        # what came with the answer may be a view that cannot be pickled
        return {**self.__dict__, "_headers": {}, "headers": self.headers}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _SubscriberResponse(_Response):
    """The answer of update and append; `result` is decoded when it is first read."""

    def __init__(
        self,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        decode: Callable[[bytes], SubscriberResponseDto],
    ) -> None:
        super().__init__(headers)
        self.body = body
        self._decode = decode

    @cached_property
    def result(self) -> SubscriberResponseDto:
        """The subscriber after the write.

        Never raises: a field of an unexpected type is kept as it came, and an answer that cannot be
        read at all gives a subscriber with empty fields (`body` has the bytes).
        """
        return self._decode(self.body)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(result={self.result!r})"


class SubscribersControllerUpdateSubscriberChannelResponse(_SubscriberResponse):
    """The answer of `credentials.update`."""


class SubscribersControllerModifySubscriberChannelResponse(_SubscriberResponse):
    """The answer of `credentials.append`."""


class SubscribersControllerDeleteSubscriberCredentialsResponse(_Response):
    """The answer of `credentials.delete`: status 204, no content."""


# The names of the same three classes in the contract since 2025.
SubscribersV1ControllerUpdateSubscriberChannelResponse = (
    SubscribersControllerUpdateSubscriberChannelResponse
)
SubscribersV1ControllerModifySubscriberChannelResponse = (
    SubscribersControllerModifySubscriberChannelResponse
)
SubscribersV1ControllerDeleteSubscriberCredentialsResponse = (
    SubscribersControllerDeleteSubscriberCredentialsResponse
)
