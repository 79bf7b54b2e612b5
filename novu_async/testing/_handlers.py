"""What each route does, from a checked body to the object that it answers."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from attrs import frozen

from novu_async.testing import _validation
from novu_async.testing._answers import (
    ApiError,
    Era,
    make_command_error,
    make_validation_error,
)
from novu_async.testing._credentials import ChannelWrite, Hop, write_channel
from novu_async.testing._store import PROFILE_FIELDS, Document, Integration, Store


@frozen
class Call:
    """Hold a request that passed every gate before validation."""

    store: Store
    era: Era
    hop: Hop
    parameters: tuple[str, ...]
    body: Mapping[str, Any]
    query: Mapping[str, str]
    has_v2_channels: bool = True

    @property
    def subscriber_id(self) -> str:
        """Give the decoded id of the path."""
        return self.parameters[0]

    @property
    def subject(self) -> str:
        """Give the id of the subscriber that the call is about; empty for lists and bulk."""
        if self.parameters:
            return self.subscriber_id
        given = self.body.get("subscriberId")
        return given.strip() if isinstance(given, str) else ""

    def check(self, objections: list[str]) -> None:
        """Raise the era's validation error when there is anything to object to."""
        if objections:
            raise make_validation_error(self.era, objections)


def _pick_profile(given: Mapping[str, Any]) -> Document:
    return {name: given[name] for name in PROFILE_FIELDS if name in given}


Handler = Callable[[Call], Awaitable[Any]]


@frozen
class Endpoint:
    """Hold how a route answers when it succeeds, and what it costs."""

    handle: Handler
    status: int = 200
    bulk: bool = False
    category: str = "configuration"


async def _update_credentials(call: Call) -> Any:
    return await _write_credentials(call, append=False)


async def _append_credentials(call: Call) -> Any:
    return await _write_credentials(call, append=True)


async def _write_credentials(call: Call, *, append: bool) -> Any:
    call.check(_validation.check_credentials(call.era, call.body))
    body = call.body
    write = ChannelWrite(
        call.subscriber_id,
        body["providerId"],
        body["credentials"],
        body.get("integrationIdentifier"),
        append,
    )
    return {"data": await write_channel(call.store, call.era, call.hop, write)}


async def _delete_credentials(call: Call) -> Any:
    """Answer 204 for any provider; only a missing subscriber is an error."""
    await _get_existing(call)
    call.store.cache.pop(call.subscriber_id, None)
    await call.hop()
    call.store.pull_channels(call.subscriber_id, call.parameters[1])
    return None


async def _get_existing(call: Call) -> Document:
    found = await _read(call, call.subscriber_id)
    if found is None:
        raise ApiError(404, f"Subscriber not found for id {call.subscriber_id}")
    return found


async def _read(call: Call, subscriber_id: str, *, create: bool = True) -> Document | None:
    """Read a subscriber through the cache of 2024; since 2025 there is none.

    The cache is filled with what was read before, so a reader that runs beside a write can
    leave the old state in it. `create` lets any subscriber exist on first use, where that is so.
    """
    cached = call.store.cache.get(subscriber_id) if call.era == "2024" else None
    if cached is not None:
        return cached
    found = call.store.find(subscriber_id) if create else call.store.documents.get(subscriber_id)
    await call.hop()
    if found is not None and call.era == "2024":
        call.store.cache[subscriber_id] = found
    return found


async def _get_subscriber(call: Call) -> Any:
    return {"data": await _get_existing(call)}


async def _list_subscribers(call: Call) -> Any:
    page, limit = _read_number(call, "page", 0), _read_number(call, "limit", 10)
    found = call.store.slice(page * limit, limit)
    # A full last page claims that there is more: the API does not look further.
    return {"page": page, "hasMore": len(found) == limit, "pageSize": limit, "data": found}


def _read_number(call: Call, name: str, default: int) -> int:
    text = call.query.get(name, "")
    return int(text) if text.isdecimal() else default


async def _create_subscriber(call: Call) -> Any:
    """Create or update; `channels` are applied one by one with the semantics of PATCH."""
    call.check(_validation.check_subscriber(call.era, call.body))
    subscriber_id = _trim_id(call)
    known = await _read(call, subscriber_id, create=False)
    profile = _pick_profile(call.body)
    channels = call.body.get("channels") or []
    if known is not None:
        written = await _update_known(call, subscriber_id, known, profile, channels)
    elif call.era == "2024" and call.store.is_deleted(subscriber_id):
        # The unique index counts it, the search afterwards does not find it.
        return {"data": None}
    else:
        written = call.store.create(subscriber_id, profile)
        call.store.cache.pop(subscriber_id, None)
        await _write_channels(call, subscriber_id, channels, None)
    # Since 2025 it is read again for the answer.
    return {"data": written if call.era == "2024" else call.store.documents.get(subscriber_id)}


def _trim_id(call: Call) -> str:
    subscriber_id = str(call.body["subscriberId"]).strip()
    if not subscriber_id:
        text = "subscriberId should not be empty"
        command = "CreateOrUpdateSubscriberCommand"
        raise make_command_error(call.era, command, "subscriberId", text, subscriber_id)
    return subscriber_id


async def _update_known(
    call: Call,
    subscriber_id: str,
    known: Document,
    profile: Mapping[str, Any],
    channels: list[Any],
) -> Document | None:
    """Write what changes.

    The answer is put together from the copy read before, hence with the old `updatedAt`, unless
    channels were given as well.
    """
    fields = _pick_changes(profile)
    await _write_channels(call, subscriber_id, channels, known)
    if all(known.get(name) == value for name, value in fields.items()):
        return known
    call.store.cache.pop(subscriber_id, None)
    await call.hop()
    call.store.set_fields(subscriber_id, fields)
    return call.store.documents.get(subscriber_id) if channels else {**known, **fields}


def _pick_changes(profile: Mapping[str, Any]) -> Document:
    """Null keeps a field, except `email`, which is stored as null."""
    return {k: v for k, v in profile.items() if v is not None or k == "email"}


async def _write_channels(
    call: Call, subscriber_id: str, channels: list[Any], known: Document | None
) -> None:
    for channel in channels:
        given = channel if isinstance(channel, dict) else {}
        write = ChannelWrite(
            subscriber_id,
            str(given.get("providerId")),
            given.get("credentials") or {},
            given.get("integrationIdentifier"),
            append=True,
        )
        await write_channel(call.store, call.era, call.hop, write, known)


async def _update_subscriber(call: Call) -> Any:
    # only here a blank email counts as none
    body = {**call.body, "email": None} if call.body.get("email") == "" else call.body
    call.check(_validation.check_profile(body))
    known = await _read(call, call.subscriber_id)
    if known is None:
        raise ApiError(400, f"SubscriberId: {call.subscriber_id} not found")
    profile = _pick_profile(body)
    channels = body.get("channels") or []
    return {"data": await _update_known(call, call.subscriber_id, known, profile, channels)}


async def _delete_subscriber(call: Call) -> Any:
    await _get_existing(call)
    call.store.cache.pop(call.subscriber_id, None)
    await call.hop()
    call.store.delete(call.subscriber_id)
    return {"data": {"acknowledged": True, "status": "deleted"}}


async def _bulk_create(call: Call) -> Any:
    """Upsert every item; `channels` are written as they came, replacing all others."""
    call.check(_validation.check_bulk(call.era, call.body))
    await call.hop()
    created: list[Document] = []
    updated: list[Document] = []
    for item in call.body["subscribers"]:
        fields = _pick_profile(item)
        if "channels" in item:
            fields["channels"] = item["channels"]
        is_new = call.store.upsert(item["subscriberId"], fields)
        (created if is_new else updated).append({"subscriberId": item["subscriberId"]})
    return {"data": {"updated": updated, "created": created, "failed": []}}


async def _create_subscriber_v2(call: Call) -> Any:
    """Create or update without channels; absent `data` overwrites what was stored with {}."""
    call.check(_validation.check_subscriber(call.era, call.body))
    subscriber_id = _trim_id(call)
    await call.hop()
    known = call.store.documents.get(subscriber_id)
    if known is not None and call.query.get("failIfExists") == "true":
        raise ApiError(409, f'Subscriber with id "{subscriber_id}" already exists')
    given = {k: call.body[k] for k in PROFILE_FIELDS if call.body.get(k) not in (None, "")}
    fields: Document = {**given, "data": given.get("data", {})}
    if known is None:
        call.store.create(subscriber_id, fields)
    else:
        call.store.set_fields(subscriber_id, fields)
    return {"data": _map_v2(call, call.store.documents[subscriber_id])}


async def _get_subscriber_v2(call: Call) -> Any:
    await call.hop()
    found = call.store.find(call.subscriber_id)
    if found is None:
        raise ApiError(404, f"Subscriber: {call.subscriber_id} was not found")
    return {"data": _map_v2(call, found)}


async def _patch_subscriber_v2(call: Call) -> Any:
    """Change fields; the answer shows the new values and the old `updatedAt`."""
    call.check(_validation.check_profile(call.body))
    await call.hop()
    known = call.store.find(call.subscriber_id)
    if known is None:
        raise ApiError(404, f"Subscriber {call.subscriber_id} was not found")
    fields = _pick_changes(_pick_profile(call.body))
    call.store.set_fields(call.subscriber_id, fields)
    return {"data": _map_v2(call, {**known, **fields})}


async def _delete_subscriber_v2(call: Call) -> Any:
    await call.hop()
    if call.store.find(call.subscriber_id) is None:
        raise ApiError(404, f"Subscriber: {call.subscriber_id} was not found")
    call.store.delete(call.subscriber_id)
    return {"data": {"acknowledged": True, "status": "deleted"}}


def _map_v2(call: Call, document: Document) -> Document:
    hidden = ("id", "__v") if call.has_v2_channels else ("id", "__v", "channels")
    shown = {name: value for name, value in document.items() if name not in hidden}
    return {"isOnline": None, "lastOnlineAt": None, **shown}


async def _list_integrations(call: Call) -> Any:
    return {"data": [_show_integration(call, one) for one in call.store.integrations]}


async def _list_active_integrations(call: Call) -> Any:
    active = [one for one in call.store.integrations if one.active]
    return {"data": [_show_integration(call, one) for one in active]}


def _show_integration(call: Call, integration: Integration) -> Document:
    shown: Document = {
        "_id": integration.id,
        "_environmentId": call.store.environment_id,
        "_organizationId": call.store.organization_id,
        "providerId": integration.provider_id,
        "channel": integration.channel,
        "name": integration.name,
        "identifier": integration.identifier,
        "active": integration.active,
        "primary": False,
        "priority": 0,
        "conditions": [],
        "deleted": False,
        "createdAt": integration.created_at,
        "updatedAt": integration.created_at,
        "__v": 0,
    }
    return shown if call.era == "2026" else {**shown, "credentials": {}, "id": integration.id}


ENDPOINTS: Final[Mapping[str, Endpoint]] = {
    "list_subscribers": Endpoint(_list_subscribers),
    "create_subscriber": Endpoint(_create_subscriber, 201),
    "bulk_create": Endpoint(_bulk_create, 201, bulk=True),
    "get_subscriber": Endpoint(_get_subscriber),
    "update_subscriber": Endpoint(_update_subscriber),
    "delete_subscriber": Endpoint(_delete_subscriber),
    "update_credentials": Endpoint(_update_credentials),
    "append_credentials": Endpoint(_append_credentials),
    "delete_credentials": Endpoint(_delete_credentials, 204),
    "list_integrations": Endpoint(_list_integrations, category="global"),
    "list_active_integrations": Endpoint(_list_active_integrations, category="global"),
    "create_subscriber_v2": Endpoint(_create_subscriber_v2, 201),
    "get_subscriber_v2": Endpoint(_get_subscriber_v2),
    "patch_subscriber_v2": Endpoint(_patch_subscriber_v2),
    "delete_subscriber_v2": Endpoint(_delete_subscriber_v2),
}
