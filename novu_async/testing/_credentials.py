"""How the API writes channels: read, merge in memory, overwrite, read again.

None of it is atomic. Between the steps other requests run, so concurrent writes to one subscriber
lose tokens and make duplicate channels, as they do at Novu; `Hop` is the pause between steps.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

from attrs import frozen

from novu_async.testing._answers import ApiError, Era, make_internal_error
from novu_async.testing._store import Document, Integration, Store

Hop = Callable[[], Awaitable[None]]
# The flag MAX_SUBSCRIBER_DEVICE_TOKENS_NUMBER of the API; none in 2024.
TOKEN_LIMIT: Final = 100


@frozen
class ChannelWrite:
    """Hold one request to write a channel; `append` is PATCH, otherwise PUT."""

    subscriber_id: str
    provider_id: str
    credentials: Mapping[str, Any]
    integration_identifier: str | None
    append: bool


async def write_channel(
    store: Store, era: Era, hop: Hop, write: ChannelWrite, subscriber: Document | None = None
) -> Document | None:
    """Carry out a PUT or PATCH of credentials and return the subscriber read afterwards.

    `subscriber` replaces the first read (creation with channels passes a copy read earlier).

    Raises ApiError: 400 for an unknown subscriber, then for a missing integration, then (2026)
    for too many tokens; 500 for tokens that cannot be iterated.
    """
    await hop()
    found = subscriber or store.find(write.subscriber_id)
    if found is None:
        raise ApiError(400, f"SubscriberId: {write.subscriber_id} not found")
    await hop()
    integration = _find_integration(store, write)
    sent = _pick_credentials(write.credentials)
    existing = _find_channel(found, integration)
    if existing is None or not _deep_equal(existing.get("credentials"), sent):
        credentials = sent if existing is None else _merge(existing, sent, append=write.append)
        _check_limit(era, credentials.get("deviceTokens", []))
        # The cached subscriber goes before the write: a reader in between caches the old one.
        store.cache.pop(write.subscriber_id, None)
        await hop()
        save = store.push_channel if existing is None else store.set_channel
        save(write.subscriber_id, _make_channel(integration, credentials))
    await hop()
    return store.documents.get(write.subscriber_id)


def _find_integration(store: Store, write: ChannelWrite) -> Integration:
    found = store.choose_integration(write.provider_id, write.integration_identifier)
    if found is None:
        environment = f"Subscribers environment ({store.environment_id})"
        text = f"{environment} do not have active {write.provider_id} integration."
        raise ApiError(400, text)
    return found


def _find_channel(subscriber: Document, integration: Integration) -> Document | None:
    for channel in subscriber["channels"]:
        if (
            channel.get("providerId") == integration.provider_id
            and channel.get("_integrationId") == integration.id
        ):
            found: Document = channel
            return found
    return None


def _merge(existing: Document, sent: dict[str, Any], *, append: bool) -> dict[str, Any]:
    """Put what was sent over what is stored; tokens that were not sent are wiped."""
    kept = existing.get("credentials") or {}
    tokens: list[Any] = []
    if sent.get("deviceTokens"):
        before = _spread(kept.get("deviceTokens")) if append else []
        tokens = _unique([*before, *sent["deviceTokens"]])
    return {**kept, **sent, "deviceTokens": tokens}


def _make_channel(integration: Integration, credentials: dict[str, Any]) -> Document:
    return {
        "_integrationId": integration.id,
        "providerId": integration.provider_id,
        "credentials": credentials,
    }


def _pick_credentials(given: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the three credentials that the API stores, unless null; the others vanish silently."""
    picked: dict[str, Any] = {}
    if given.get("webhookUrl") is not None:
        picked["webhookUrl"] = given["webhookUrl"]
    if given.get("deviceTokens") is not None:
        picked["deviceTokens"] = _unique(_spread(given["deviceTokens"]))
    if given.get("channel") is not None:
        picked["channel"] = given["channel"]
    return picked


def _spread(value: Any) -> list[Any]:
    """Iterate as JavaScript does: a string becomes its letters, a number or object fails."""
    if value is None:
        return []
    if not isinstance(value, list | str):
        raise make_internal_error()
    return list(value)


def _unique(values: Iterable[Any]) -> list[Any]:
    """Drop repeated strings, numbers and nulls; two objects are never the same."""
    seen: set[tuple[str, Any]] = set()
    kept: list[Any] = []
    for value in values:
        if not isinstance(value, dict | list):
            kind = "number" if type(value) in (int, float) else type(value).__name__
            if (kind, value) in seen:
                continue
            seen.add((kind, value))
        kept.append(value)
    return kept


def _deep_equal(one: Any, other: Any) -> bool:
    if one != other:
        return False
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _check_limit(era: Era, tokens: list[Any]) -> None:
    if era == "2026" and len(tokens) > TOKEN_LIMIT:
        count = len(tokens)
        limit = f"Maximum allowed tokens per subscriber channel is {TOKEN_LIMIT}"
        text = f"Device tokens limit exceeded. {limit}, but got {count} tokens."
        details = {"currentCount": count, "limit": TOKEN_LIMIT}
        raise ApiError(400, text, context=details)
