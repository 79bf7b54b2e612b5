"""Pure reading of the channels in an answer, and pure arithmetic on device tokens.

A channel is the pair of provider and integration. Concurrent first writes leave several elements
for one pair, and subscribers written in bulk have elements without an integration. They are read as
their union, because pushes go to the tokens of all of them.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from attrs import field, frozen

from novu_async import _json
from novu_async._secrets import describe_tokens

SAFE_BODY_BYTES = 90_000
"""Lists of tokens are split below this; the server refuses bodies over 102,400 bytes."""

_MAX_CHARACTER_BYTES = 6
"""What one character of a text takes in JSON at most: `\\u001f`."""


@frozen
class Target:
    """The channel that a call is about, as its caller named it."""

    subscriber_id: str
    provider_id: str
    integration_identifier: str | None = None


@frozen
class Channel:
    """What an answer says about one channel.

    `device_tokens` are unique and in the server's order; `duplicates` counts the elements that no
    write reaches: further ones of the same pair, and those without an integration, which alone have
    the `integration_id` ""; `others` are the other credentials of all of them, the first element's
    first, by the API's names.
    """

    integration_id: str
    device_tokens: tuple[str, ...] = field(repr=describe_tokens)
    duplicates: int = 0
    others: Mapping[str, Any] = field(factory=dict, eq=False, repr=False)


def parse_channels(body: bytes, provider_id: str) -> list[Channel] | None:
    """Read the channels of one provider, one for each integration, in the server's order.

    None where the answer is no subscriber: what is cut off must not pass for an empty channel.
    """
    document = _json.document_of(body)
    if not isinstance(document, dict):
        return None
    elements = document.get("channels")
    if not isinstance(elements, list | None):
        return None
    found: dict[str, list[Mapping[str, Any]]] = {}
    for element in elements or ():
        if isinstance(element, dict) and element.get("providerId") == provider_id:
            credentials = element.get("credentials")
            found.setdefault(str(element.get("_integrationId") or ""), []).append(
                credentials if isinstance(credentials, dict) else {}
            )
    return [_unite_elements(integration_id, same) for integration_id, same in found.items()]


def _unite_elements(integration_id: str, elements: list[Mapping[str, Any]]) -> Channel:
    tokens = dict.fromkeys(chain.from_iterable(map(_tokens_of, elements)))
    others: dict[str, Any] = {}
    for credentials in elements:
        others = {**credentials, **others}
    others.pop("deviceTokens", None)
    reached = 1 if integration_id else 0
    return Channel(integration_id, tuple(tokens), len(elements) - reached, others)


def adopt(channels: list[Channel], integration_id: str | None) -> list[Channel]:
    """Count what has no integration to this one, the provider's newest: pushes go through it."""
    united = [one for one in channels if one.integration_id in ("", integration_id)]
    if integration_id is None or all(one.integration_id for one in united):
        return channels
    others: dict[str, Any] = {}
    for one in united:
        others = {**one.others, **others}
    tokens = tuple(unite(*(one.device_tokens for one in united)))
    adopted = Channel(integration_id, tokens, sum(one.duplicates for one in united), others)
    return [*(one for one in channels if one not in united), adopted]


def _tokens_of(credentials: Mapping[str, Any]) -> list[str]:
    tokens = credentials.get("deviceTokens")
    return [t for t in tokens if isinstance(t, str)] if isinstance(tokens, list) else []


def unite(*lists: Iterable[str]) -> list[str]:
    """Return every token once, in the order of its first appearance."""
    return list(dict.fromkeys(chain.from_iterable(lists)))


def without(tokens: Iterable[str], removed: Iterable[str]) -> list[str]:
    """Return the tokens that are not among the removed ones, in their order."""
    gone = set(removed)
    return [token for token in tokens if token not in gone]


def split_by_size(tokens: list[str]) -> Iterator[list[str]]:
    """Split a list so that a body takes the JSON of each part; at least one part."""
    if sum(map(len, tokens)) * _MAX_CHARACTER_BYTES + 3 * len(tokens) <= SAFE_BODY_BYTES:
        yield tokens  # nearly always, and known without encoding each token
        return
    part: list[str] = []
    size = 0
    for token in tokens:
        cost = len(_json.dumps(token)) + 1
        if part and size + cost > SAFE_BODY_BYTES:
            yield part
            part, size = [], 0
        part.append(token)
        size += cost
    yield part
