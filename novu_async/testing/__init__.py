"""LocalNovu: the Novu API's real behaviour in one process, to test against and to develop with.

    from novu_async.testing import LocalNovu

    async with LocalNovu() as local:
        async with Novu(api_key=local.api_key, server_url=local.url) as novu:
            await novu.subscribers.credentials.append("u1", {...})
        assert local.device_tokens("u1", "fcm") == ["token"]

`LocalNovu.in_thread()` does the same for code without an event loop. `local.requests` holds what
arrived, `local.subscribers` what is stored, `local.faults` what shall go wrong. The fixtures of
`novu_async.testing.pytest_plugin` need no import.

It behaves as a running API was measured to behave (`era="2024"`: the community API of October
2024) or as the API's public source and SDK say it does since (`era="2026"`, the default).

| what | how it is reproduced |
|---|---|
| order of checks | body, route, key, rate limit, idempotency, validation, use case |
| PUT credentials | replaces `deviceTokens`; `webhookUrl` and `channel` stay unless given |
| PATCH credentials | appends; an absent or null list wipes the tokens, `[]` clears them |
| DELETE credentials | 204 for any provider; all channels of the provider go |
| odd tokens | "abc" is stored as letters, numbers and nulls as they are; 5 is a 500 |
| other credentials | accepted and dropped |
| integration | the newest active one of the provider, or that of the identifier |
| races | 50 concurrent PATCHes lose tokens and double channels; not if `atomic=True` |
| subscribers, v1 | create (also with `channels`), bulk, get, list, update, delete |
| subscribers, v2 | 2026 only: create with `failIfExists`, get, patch, delete; `v2_channels` |
| integrations | list, list active |
| errors, 2024 | `message` is text, a list or an object; 400 for validation; 500 if too large |
| errors, 2026 | `ctx`; 422 with `errors`; 413; unknown providers; more than 100 tokens |
| 400 here, 404 there | unknown subscriber: 400 on PUT and PATCH, 404 on DELETE and GET |
| authentication | every text of the 401; a bare key is echoed in the message |
| request bodies | JSON, forms, gzip, charsets of UTF, 102,400 bytes |
| paths | decoded once, never normalised; any case; a trailing slash; 431 above 16 KB |
| replies | ETag, gzip from 1 KB, security headers, keep-alive of 61 s, HEAD |
| stale reads, 2024 | GET v1 is cached; one beside a write can leave the old state there |
| rate limit | token bucket with delayed refill and burst; its headers; bulk costs 100 |
| idempotency | keys ignore the path; errors are replayed for 24 h, in either known way |
| abandoned requests | carried out all the same |

| what | not reproduced; instead |
|---|---|
| topics, workflows, messages, preferences, online status, search | 404, an unknown route |
| sending, and tokens that vanish after a failed push | use `add_subscriber` |
| several environments, users, quotas, service-account keys | all `api_keys` are equal |
| jitter of 5 % on stored times, cache expiry after two hours | exact times, no expiry |
| the rule for subscriber ids of v2 | any id is accepted |
| the words of Node's JSON parser, 304, deflated replies, preflight requests | plainer answers |
| TLS, HTTP/2, proxies | plain HTTP/1.1; see `faults` |
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from novu_async.testing.faults import FAULT_KINDS, Fault, FaultKind, Faults
    from novu_async.testing.requests import RecordedRequest
    from novu_async.testing.server import DEFAULT_API_KEY, LocalNovu

__all__ = [
    "DEFAULT_API_KEY",
    "FAULT_KINDS",
    "Fault",
    "FaultKind",
    "Faults",
    "LocalNovu",
    "RecordedRequest",
]

_HOMES = {
    "DEFAULT_API_KEY": "server",
    "FAULT_KINDS": "faults",
    "Fault": "faults",
    "FaultKind": "faults",
    "Faults": "faults",
    "LocalNovu": "server",
    "RecordedRequest": "requests",
}


def __getattr__(name: str) -> Any:
    """Import on first use: pytest loads this package at every start, for the plugin in it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
