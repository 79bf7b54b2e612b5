"""The facts about each endpoint that the rest of the package acts on, in one table.

Source: the API's contract (3.18.1, 2026) and its behaviour since October 2024.
"""

from typing import Literal

from attrs import frozen


@frozen
class Endpoint:
    """One operation of the API.

    - `path`: a template; every placeholder takes one percent-encoded segment.
    - `paced`: it counts against the rate limit that the pace is learnt from; the API counts
      integrations in another category, with numbers of its own.
    - `answer`: what a read answers, in an envelope; None for a write, whose answer may be anything.
    - `takes_key`: the API reads an `Idempotency-Key`: POST and PATCH only, elsewhere it ignores it.

    Every operation here may be sent again: update replaces, append is a union of sets, delete and
    create of something that is already so change nothing.
    """

    name: str
    method: str
    path: str
    takes_key: bool = False
    paced: bool = True
    answer: Literal["subscriber", "list"] | None = None

    @property
    def writes(self) -> bool:
        """Whether it changes what is stored."""
        return self.method != "GET"


UPDATE = Endpoint("update", "PUT", "/v1/subscribers/{subscriber_id}/credentials")
APPEND = Endpoint("append", "PATCH", "/v1/subscribers/{subscriber_id}/credentials", takes_key=True)
DELETE = Endpoint("delete", "DELETE", "/v1/subscribers/{subscriber_id}/credentials/{provider_id}")

CREATE_SUBSCRIBER = Endpoint("create", "POST", "/v1/subscribers", takes_key=True)
"""Upserts, and applies `channels` one by one with the rules of append; deprecated since 2025."""

GET_SUBSCRIBER = Endpoint("get", "GET", "/v2/subscribers/{subscriber_id}", answer="subscriber")
"""Uncached, read from the primary; servers before 2025 answer 404 `Cannot GET`."""

GET_SUBSCRIBER_V1 = Endpoint("get", "GET", "/v1/subscribers/{subscriber_id}", answer="subscriber")
"""Cached for hours, and may be stale after a write that a read overlapped."""

LIST_INTEGRATIONS = Endpoint(
    "integrations", "GET", "/v1/integrations/active", paced=False, answer="list"
)
"""Each with `_id`, `identifier` and `providerId`."""

MAX_BODY_BYTES = 102_400
"""Larger bodies get 413, or 500 on servers before 2025 (measured: 102,400 passes)."""

MAX_IDEMPOTENCY_KEY_CHARACTERS = 255
"""A longer key gets 400."""
