"""The documents behind LocalNovu: subscribers, their channels, and integrations.

Documents are never changed in place: a write makes a new one. So a document once read is a
snapshot, as it is for a process that reads a database, and other threads may look at any time.
"""

import itertools
import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from attrs import define, field, frozen

from novu_async.testing._providers import CHAT_PROVIDERS, PUSH_PROVIDERS, find_channel_type

Document = dict[str, Any]
PROFILE_FIELDS: Final = (
    "firstName", "lastName", "email", "phone", "avatar", "locale", "timezone", "data",
)  # fmt: skip


def make_timestamp(seconds: float) -> str:
    """Write a moment as the API does: ISO 8601 in UTC with milliseconds and a Z."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@frozen
class Integration:
    """Hold one integration; a later one of the same provider is preferred while it is active."""

    id: str
    provider_id: str
    identifier: str
    active: bool = True
    name: str = ""
    created_at: str = ""

    @property
    def channel(self) -> str:
        """Name the channel type: "push", "chat" or "email"."""
        return find_channel_type(self.provider_id)


@define
class Store:
    """Keep what the database keeps, and what the subscriber cache of 2024 keeps.

    `open` makes any subscriber exist on first use, unless it was deleted.
    """

    clock: Callable[[], float]
    open: bool = True
    organization_id: str = field(factory=lambda: secrets.token_hex(12))
    environment_id: str = field(factory=lambda: secrets.token_hex(12))
    documents: dict[str, Document] = field(factory=dict)
    cache: dict[str, Document] = field(factory=dict)
    integrations: list[Integration] = field(factory=list)
    _deleted: dict[str, Document] = field(factory=dict)
    _id_prefix: str = field(factory=lambda: secrets.token_hex(8))
    _id_numbers: "itertools.count[int]" = field(factory=itertools.count)

    def make_id(self) -> str:
        """Make a 24-digit hexadecimal id, rising within a run."""
        return f"{self._id_prefix}{next(self._id_numbers):08x}"

    def clear(self) -> None:
        """Drop all documents and integrations."""
        for part in (self.documents, self.cache, self._deleted):
            part.clear()
        self.integrations.clear()

    # Integrations

    def add_integration(
        self, provider_id: str, identifier: str | None, *, active: bool, name: str | None = None
    ) -> Integration:
        """Add an integration, newer than all others."""
        integration = Integration(
            self.make_id(),
            provider_id,
            identifier or self._make_identifier(provider_id),
            active,
            name or provider_id,
            make_timestamp(self.clock()),
        )
        self.integrations.append(integration)
        return integration

    def _make_identifier(self, provider_id: str) -> str:
        taken = {known.identifier for known in self.integrations}
        numbered = (f"{provider_id}-{number}" for number in itertools.count(2))
        return next(name for name in itertools.chain([provider_id], numbered) if name not in taken)

    def add_common_integrations(self) -> None:
        """Add one active integration of every push and chat provider, named like the provider."""
        for provider_id in CHAT_PROVIDERS + PUSH_PROVIDERS:
            self.add_integration(provider_id, provider_id, active=True)

    def choose_integration(self, provider_id: str, identifier: str | None) -> Integration | None:
        """Find the newest active integration of a provider, and of that identifier if given."""
        for integration in reversed(self.integrations):
            if (
                integration.provider_id == provider_id
                and integration.active
                and (not identifier or integration.identifier == identifier)
            ):
                return integration
        return None

    # Subscribers

    def find(self, subscriber_id: str) -> Document | None:
        """Read a subscriber as it is now; None when there is none."""
        document = self.documents.get(subscriber_id)
        if document is None and self.open and subscriber_id not in self._deleted:
            return self.create(subscriber_id, {})
        return document

    def create(self, subscriber_id: str, profile: Mapping[str, Any]) -> Document:
        """Insert a subscriber; one that exists is returned as it is (the index is unique)."""
        present = self.documents.get(subscriber_id)
        if present is not None:
            return present
        now = make_timestamp(self.clock())
        document: Document = {
            "_id": self.make_id(),
            "_organizationId": self.organization_id,
            "_environmentId": self.environment_id,
            "subscriberId": subscriber_id,
            **profile,
            "channels": [],
            "deleted": False,
            "createdAt": now,
            "updatedAt": now,
            "__v": 0,
        }
        document["id"] = document["_id"]
        self._deleted.pop(subscriber_id, None)
        self.documents[subscriber_id] = document
        return document

    def set_fields(self, subscriber_id: str, fields: Mapping[str, Any]) -> None:
        """Write fields of a subscriber, if it is still there."""
        document = self.documents.get(subscriber_id)
        if document is not None:
            now = make_timestamp(self.clock())
            self.documents[subscriber_id] = {**document, **fields, "updatedAt": now}

    def delete(self, subscriber_id: str) -> None:
        """Remove a subscriber; in open mode it stays removed until it is created again."""
        document = self.documents.pop(subscriber_id, None)
        if document is not None:
            self._deleted[subscriber_id] = document

    def is_deleted(self, subscriber_id: str) -> bool:
        """Say whether a subscriber was removed and not created again."""
        return subscriber_id in self._deleted

    def upsert(self, subscriber_id: str, fields: Mapping[str, Any]) -> bool:
        """Write fields of a subscriber that may be new or deleted; True when it was new."""
        known = subscriber_id in self.documents or subscriber_id in self._deleted
        deleted = self._deleted.pop(subscriber_id, None)
        if deleted is not None:
            self.documents[subscriber_id] = deleted
        if not known:
            self.create(subscriber_id, {})
        self.set_fields(subscriber_id, fields)
        return not known

    def slice(self, start: int, count: int) -> list[Document]:
        """List up to `count` subscribers from a place on, oldest first."""
        return list(itertools.islice(self.documents.values(), start, start + count))

    # Channels: each is one atomic write of the database, and none of them looks at what was read

    def push_channel(self, subscriber_id: str, channel: Document) -> None:
        """Append a channel, whatever channels are there by now."""
        document = self.documents.get(subscriber_id)
        if document is not None:
            self.set_fields(subscriber_id, {"channels": [*document["channels"], channel]})

    def set_channel(self, subscriber_id: str, channel: Document) -> None:
        """Overwrite the first channel of the same integration; do nothing when it is gone."""
        document = self.documents.get(subscriber_id)
        if document is None:
            return
        channels = list(document["channels"])
        for place, present in enumerate(channels):
            if present.get("_integrationId") == channel["_integrationId"]:
                channels[place] = channel
                self.set_fields(subscriber_id, {"channels": channels})
                return

    def pull_channels(self, subscriber_id: str, provider_id: str) -> None:
        """Remove every channel of a provider, whatever its integration."""
        document = self.documents.get(subscriber_id)
        if document is None:
            return
        kept = [one for one in document["channels"] if one.get("providerId") != provider_id]
        if len(kept) < len(document["channels"]):
            self.set_fields(subscriber_id, {"channels": kept})

    def put_back(self, subscriber_id: str, provider_id: str, before: Document | None) -> None:
        """Write a provider's channels as they were, as a process does that read them before."""
        document = self.documents.get(subscriber_id)
        if document is not None:
            old = before["channels"] if before is not None else []
            kept = [one for one in document["channels"] if one.get("providerId") != provider_id]
            mine = [one for one in old if one.get("providerId") == provider_id]
            self.set_fields(subscriber_id, {"channels": [*kept, *mine]})


def list_tokens(
    document: Document | None, provider_id: str, integration_ids: Iterable[str] | None
) -> list[Any]:
    """List the device tokens in all of a subscriber's channels of a provider."""
    tokens: list[Any] = []
    for channel in (document or {}).get("channels", ()):
        wanted = integration_ids is None or channel.get("_integrationId") in integration_ids
        if channel.get("providerId") == provider_id and wanted:
            tokens += channel.get("credentials", {}).get("deviceTokens") or []
    return tokens
