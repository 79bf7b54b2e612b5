"""Register, append and delete Novu subscriber credentials: awaited here, blocking in novu_sync.

Every public name is here; each is imported when it is first used, so that importing the package
costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from novu_async._version import __version__ as __version__

if TYPE_CHECKING:
    from novu_async import errors as errors
    from novu_async import models as models
    from novu_async import providers as providers
    from novu_async import testing as testing
    from novu_async import utils as utils
    from novu_async._pacing import RateLimit as RateLimit
    from novu_async._retry import BackoffStrategy as BackoffStrategy
    from novu_async._retry import RetryConfig as RetryConfig
    from novu_async.client import Novu as Novu
    from novu_async.client import Subscribers as Subscribers
    from novu_async.credentials import Credentials as Credentials
    from novu_async.device_tokens import DeviceTokens as DeviceTokens
    from novu_async.device_tokens import DeviceTokensResult as DeviceTokensResult
    from novu_async.errors import APIConnectionError as APIConnectionError
    from novu_async.errors import APIError as APIError
    from novu_async.errors import APITimeoutError as APITimeoutError
    from novu_async.errors import AuthenticationError as AuthenticationError
    from novu_async.errors import BulkError as BulkError
    from novu_async.errors import ClientClosedError as ClientClosedError
    from novu_async.errors import ConfigurationError as ConfigurationError
    from novu_async.errors import ConflictError as ConflictError
    from novu_async.errors import DeviceTokenLimitError as DeviceTokenLimitError
    from novu_async.errors import DeviceTokensNotStoredError as DeviceTokensNotStoredError
    from novu_async.errors import ErrorDto as ErrorDto
    from novu_async.errors import IdempotencyKeyReusedError as IdempotencyKeyReusedError
    from novu_async.errors import IntegrationNotFoundError as IntegrationNotFoundError
    from novu_async.errors import InvalidRequestError as InvalidRequestError
    from novu_async.errors import LegacyValidationError as LegacyValidationError
    from novu_async.errors import NovuError as NovuError
    from novu_async.errors import PayloadTooLargeError as PayloadTooLargeError
    from novu_async.errors import PermissionDeniedError as PermissionDeniedError
    from novu_async.errors import RateLimitError as RateLimitError
    from novu_async.errors import RequestInfo as RequestInfo
    from novu_async.errors import ServerError as ServerError
    from novu_async.errors import SubscriberNotFoundError as SubscriberNotFoundError
    from novu_async.errors import ValidationErrorDto as ValidationErrorDto
    from novu_async.models import ChannelCredentials as ChannelCredentials
    from novu_async.models import ChannelSettingsDto as ChannelSettingsDto
    from novu_async.models import SubscriberResponseDto as SubscriberResponseDto
    from novu_async.models import (
        SubscribersControllerDeleteSubscriberCredentialsResponse as SubscribersControllerDeleteSubscriberCredentialsResponse,
    )
    from novu_async.models import (
        SubscribersControllerModifySubscriberChannelResponse as SubscribersControllerModifySubscriberChannelResponse,
    )
    from novu_async.models import (
        SubscribersControllerUpdateSubscriberChannelResponse as SubscribersControllerUpdateSubscriberChannelResponse,
    )
    from novu_async.models import (
        SubscribersV1ControllerDeleteSubscriberCredentialsResponse as SubscribersV1ControllerDeleteSubscriberCredentialsResponse,
    )
    from novu_async.models import (
        SubscribersV1ControllerModifySubscriberChannelResponse as SubscribersV1ControllerModifySubscriberChannelResponse,
    )
    from novu_async.models import (
        SubscribersV1ControllerUpdateSubscriberChannelResponse as SubscribersV1ControllerUpdateSubscriberChannelResponse,
    )
    from novu_async.models import (
        UpdateSubscriberChannelRequestDto as UpdateSubscriberChannelRequestDto,
    )
    from novu_async.providers import ChatOrPushProviderEnum as ChatOrPushProviderEnum
    from novu_async.providers import (
        UpdateSubscriberChannelRequestDtoProviderID as UpdateSubscriberChannelRequestDtoProviderID,
    )

_MODULES = ("errors", "models", "providers", "testing", "utils")
_HOMES = {
    "_pacing": ("RateLimit",),
    "_retry": (
        "BackoffStrategy",
        "RetryConfig",
    ),
    "client": (
        "Novu",
        "Subscribers",
    ),
    "credentials": ("Credentials",),
    "device_tokens": (
        "DeviceTokens",
        "DeviceTokensResult",
    ),
    "errors": (
        "APIConnectionError",
        "APIError",
        "APITimeoutError",
        "AuthenticationError",
        "BulkError",
        "ClientClosedError",
        "ConfigurationError",
        "ConflictError",
        "DeviceTokenLimitError",
        "DeviceTokensNotStoredError",
        "ErrorDto",
        "IdempotencyKeyReusedError",
        "IntegrationNotFoundError",
        "InvalidRequestError",
        "LegacyValidationError",
        "NovuError",
        "PayloadTooLargeError",
        "PermissionDeniedError",
        "RateLimitError",
        "RequestInfo",
        "ServerError",
        "SubscriberNotFoundError",
        "ValidationErrorDto",
    ),
    "models": (
        "ChannelCredentials",
        "ChannelSettingsDto",
        "SubscriberResponseDto",
        "SubscribersControllerDeleteSubscriberCredentialsResponse",
        "SubscribersControllerModifySubscriberChannelResponse",
        "SubscribersControllerUpdateSubscriberChannelResponse",
        "SubscribersV1ControllerDeleteSubscriberCredentialsResponse",
        "SubscribersV1ControllerModifySubscriberChannelResponse",
        "SubscribersV1ControllerUpdateSubscriberChannelResponse",
        "UpdateSubscriberChannelRequestDto",
    ),
    "providers": (
        "ChatOrPushProviderEnum",
        "UpdateSubscriberChannelRequestDtoProviderID",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_MODULES, *_HOME_OF]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
