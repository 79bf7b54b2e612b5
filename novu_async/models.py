"""Requests and answers as attrs classes, named as the API's contract names them.

Device tokens and webhook URLs show up in a repr as fingerprints only. The error classes are here
too, because callers of the official SDK look for them in `models`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from attrs import define, field

from novu_async._mappings import HeaderDict, is_flag_set
from novu_async._secrets import describe_tokens, describe_type, describe_url
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


def _describe_credentials(value: object) -> str:
    return repr(value) if isinstance(value, ChannelCredentials) else describe_type(value)


def _describe_channels(value: object) -> str:
    if not isinstance(value, list):
        return describe_type(value)
    known = (
        repr(one) if isinstance(one, ChannelSettingsDto) else describe_type(one) for one in value
    )
    return f"[{', '.join(known)}]"


ChannelCredentialsDto = ChannelCredentials
"""The name that the API's contract gives to the same fields in answers."""


@define(kw_only=True)
class UpdateSubscriberChannelRequestDto:
    """The body of update and append.

    Without `integration_identifier` the API takes the newest active integration of the provider.
    """

    provider_id: str
    credentials: ChannelCredentials = field(repr=_describe_credentials)
    integration_identifier: str | None = None


@define(kw_only=True)
class ChannelSettingsDto:
    """One channel of a subscriber: the credentials for one integration of one provider.

    The API lists `integration_identifier` in its contract but never sends it back.
    """

    provider_id: str = ""
    credentials: ChannelCredentials = field(factory=ChannelCredentials, repr=_describe_credentials)
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
    channels: list[ChannelSettingsDto] = field(factory=list, repr=_describe_channels)
    topics: list[str] | None = None
    is_online: bool | None = None
    last_online_at: str | None = None
    data: Mapping[str, Any] | None = None
    v: float | None = None
    additional_properties: Mapping[str, Any] = field(factory=dict, repr=False)


class _Response:
    """What every call returns: the headers, and whether the answer was a stored one."""

    # no __dict__: tools that show the variables of an object would show tokens
    __slots__ = ("__weakref__", "_came", "_headers")

    def __init__(self, headers: Mapping[str, str | Sequence[str]] | None = None) -> None:
        self._came = headers or {}
        self._headers: HeaderDict[list[str]] | None = None

    @property
    def headers(self) -> HeaderDict[list[str]]:
        """The headers of the answer, each with all its values in order; by a name in any case."""
        if self._headers is None:
            self._headers = HeaderDict()
            for name, value in self._came.items():
                values = [value] if isinstance(value, str) else value
                self._headers.setdefault(name.lower(), []).extend(values)
        return self._headers

    @property
    def replayed(self) -> bool:
        """True where the API repeated an answer stored under the idempotency key: nothing new was
        written, and the answer may be about another subscriber (the API ignores the path)."""
        return any(map(is_flag_set, self.headers.get("idempotency-replay", [])))

    def _value(self) -> tuple[Any, ...]:
        return (self.headers,)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Response) or type(other) is not type(self):
            return NotImplemented
        return self._value() == other._value()

    __hash__ = None  # type: ignore[assignment]

    def __getstate__(self) -> tuple[Any, dict[str, Any]]:
        own, slots = cast("Any", super()).__getstate__()
        # what came with the answer may be a view that cannot be pickled
        return own, {**slots, "_came": {}, "_headers": self.headers}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _SubscriberResponse(_Response):
    """The answer of update and append; `result` is decoded when it is first read.

    For a fake give `result`, and `headers` where they matter.
    """

    __slots__ = ("_decode", "_result", "body")

    def __init__(
        self,
        body: bytes = b"",
        headers: Mapping[str, str | Sequence[str]] | None = None,
        *,
        decode: Callable[[bytes], SubscriberResponseDto] | None = None,
        result: SubscriberResponseDto | None = None,
    ) -> None:
        super().__init__(headers)
        self.body = body
        self._decode = decode
        self._result = result

    @property
    def result(self) -> SubscriberResponseDto:
        """The subscriber after the write.

        Never raises: a field of an unexpected type is kept as it came, and an answer that cannot be
        read at all gives a subscriber with empty fields (`body` has the bytes).
        """
        if self._result is None:
            self._result = self._decode(self.body) if self._decode else SubscriberResponseDto()
        return self._result

    def _value(self) -> tuple[Any, ...]:
        return self.headers, self.body, self.result

    def __repr__(self) -> str:
        return f"{type(self).__name__}(result={self.result!r})"


class SubscribersControllerUpdateSubscriberChannelResponse(_SubscriberResponse):
    """The answer of `credentials.update`."""

    __slots__ = ()


class SubscribersControllerModifySubscriberChannelResponse(_SubscriberResponse):
    """The answer of `credentials.append`."""

    __slots__ = ()


class SubscribersControllerDeleteSubscriberCredentialsResponse(_Response):
    """The answer of `credentials.delete`: status 204, no content."""

    __slots__ = ()


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
