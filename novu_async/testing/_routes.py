"""From method and raw path to a route and its parameters. Pure.

Fixed parts match in any case, one trailing slash is allowed, and a parameter is any non-empty
segment, percent-decoded once. The path is never normalised: `..` is a subscriber like any other.
"""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from attrs import frozen

from novu_async.testing._answers import ApiError, Era

_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ROUTES_2024: Final = (
    ("GET", "v1/subscribers", "list_subscribers"),
    ("POST", "v1/subscribers", "create_subscriber"),
    ("POST", "v1/subscribers/bulk", "bulk_create"),
    ("GET", "v1/subscribers/:", "get_subscriber"),
    ("PUT", "v1/subscribers/:", "update_subscriber"),
    ("DELETE", "v1/subscribers/:", "delete_subscriber"),
    ("PUT", "v1/subscribers/:/credentials", "update_credentials"),
    ("PATCH", "v1/subscribers/:/credentials", "append_credentials"),
    ("DELETE", "v1/subscribers/:/credentials/:", "delete_credentials"),
    ("GET", "v1/integrations", "list_integrations"),
    ("GET", "v1/integrations/active", "list_active_integrations"),
)
_ROUTES_2026: Final = (
    *_ROUTES_2024,
    ("POST", "v2/subscribers", "create_subscriber_v2"),
    ("GET", "v2/subscribers/:", "get_subscriber_v2"),
    ("PATCH", "v2/subscribers/:", "patch_subscriber_v2"),
    ("DELETE", "v2/subscribers/:", "delete_subscriber_v2"),
)


@frozen
class Route:
    """Hold the name of what is called, and the decoded parameters in order of the path."""

    name: str
    parameters: tuple[str, ...]


def find_route(era: Era, method: str, target: str, prefix: str = "") -> Route:
    """Find what a request calls. HEAD counts as GET.

    Raises ApiError: 404 `Cannot PUT /...` when nothing is there, 400 when a parameter is not
    valid percent-encoded UTF-8.
    """
    segments = _split_path(target, prefix)
    wanted = "GET" if method == "HEAD" else method
    for served, pattern, name in _ROUTES_2024 if era == "2024" else _ROUTES_2026:
        parts = pattern.split("/")
        if served == wanted and _matches(parts, segments):
            found = [s for part, s in zip(parts, segments, strict=True) if part == ":"]
            return Route(name, tuple(map(_decode, found)))
    raise ApiError(404, f"Cannot {method} {target}")


def split_target(target: str) -> tuple[str, str]:
    """Split a request target into path and query; a full URL loses its origin."""
    if not target.startswith("/") and "://" in target:
        target = "/" + target.partition("://")[2].partition("/")[2]
    path, _, query = target.partition("#")[0].partition("?")
    return path, query


def _split_path(target: str, prefix: str) -> list[str]:
    """Split a path below the prefix; nothing is left of one that is not below it."""
    path, _ = split_target(target)
    if not path.startswith(prefix + "/"):
        return []
    return path[len(prefix) + 1 :].removesuffix("/").split("/")


def _matches(parts: list[str], segments: list[str]) -> bool:
    return len(parts) == len(segments) and all(
        segment != "" if part == ":" else part == segment.lower()
        for part, segment in zip(parts, segments, strict=True)
    )


def _decode(segment: str) -> str:
    if "%" not in segment:
        return segment
    if not _BAD_ESCAPE.search(segment):
        try:
            return unquote_to_bytes(segment).decode()
        except UnicodeDecodeError:
            pass
    raise ApiError(400, f"Failed to decode param '{segment}'")


def find_subscriber_id(target: str) -> str | None:
    """Give the decoded subscriber id in a target, whatever comes before it; None without one."""
    segments = split_target(target)[0].split("/")
    for version, resource, segment in zip(segments, segments[1:], segments[2:], strict=False):
        if version.lower() in ("v1", "v2") and resource.lower() == "subscribers" and segment:
            try:
                return _decode(segment)
            except ApiError:
                return segment
    return None
