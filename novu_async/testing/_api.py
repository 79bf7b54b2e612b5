"""One request from its bytes to its answer, in the API's own order of checks.

Body parsing, routing, authentication, rate limit, idempotency, validation, use case. The order is
observable: malformed JSON without a key is 400 and not 401, a validation error costs a rate token
and is remembered under an idempotency key, and so on.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from attrs import define, evolve, field

from novu_async.testing import _json_text
from novu_async.testing._answers import (
    Answer,
    ApiError,
    Era,
    make_internal_error,
    make_plain_error,
    make_rate_limit_error,
    render_error,
)
from novu_async.testing._body import parse_body
from novu_async.testing._handlers import ENDPOINTS, Call, Endpoint
from novu_async.testing._http1 import RawRequest
from novu_async.testing._idempotency import IdempotencyStore
from novu_async.testing._rate_limit import RateLimiter
from novu_async.testing._routes import Route, find_route, find_subscriber_id, split_target
from novu_async.testing._store import Store, make_timestamp

_log: Final = logging.getLogger(__name__)
# Turns of the event loop that one database step takes: chosen so that the losses of 50 concurrent
# requests come out as measured at Novu.
_MOST_TURNS: Final = 4
_PAUSES_SEED: Final = 1
_IDEMPOTENT_METHODS: Final = ("POST", "PATCH")


@define
class Api:
    """Answer requests over a store; what is off (limits, idempotency) is None."""

    era: Era
    store: Store
    api_keys: frozenset[str]
    clock: Callable[[], float]
    limiter: RateLimiter | None = None
    idempotency: IdempotencyStore | None = None
    atomic: bool = False
    latency: float = 0.0
    prefix: str = ""
    has_v2_channels: bool = True
    _draw: random.Random = field(factory=lambda: random.Random(_PAUSES_SEED))  # noqa: S311
    _locks: dict[str, asyncio.Lock] = field(factory=dict)

    async def answer(self, request: RawRequest) -> Answer:
        """Answer one request; every error of the API is an answer, never an exception."""
        headers: dict[str, str] = {}
        try:
            status, body = await self._process(request, headers)
        except ApiError as error:
            error.headers = {**headers, **error.headers}
            return self.render_error(request, error)
        except Exception:
            # Whatever the real API does not handle is a 500 there; here it may be a defect.
            _log.exception("LocalNovu failed on %s %s", request.method, request.target)
            return self.render_error(request, make_internal_error())
        return Answer(status, body, tuple(headers.items()))

    async def answer_overwritten(self, request: RawRequest) -> Answer:
        """Answer a write of credentials that another process overwrites before it is read again."""
        subscriber_id = find_subscriber_id(request.target) or ""
        before = self.store.documents.get(subscriber_id)
        answer = await self.answer(request)
        if answer.status not in (200, 204) or subscriber_id not in self.store.documents:
            return answer  # refused, or about no subscriber
        self.store.put_back(subscriber_id, _find_provider_id(request), before)
        if answer.body is None:
            return answer
        return evolve(answer, body=_json_text.dump({"data": self.store.documents[subscriber_id]}))

    def render_error(self, request: RawRequest, error: ApiError) -> Answer:
        """Write an error of the API as the answer to a request."""
        now = make_timestamp(self.clock())
        return render_error(self.era, error, path=request.target, timestamp=now)

    async def _process(
        self, request: RawRequest, headers: dict[str, str]
    ) -> tuple[int, bytes | None]:
        body = parse_body(self.era, request.headers, request.body)
        route = find_route(self.era, request.method, request.target, self.prefix)
        endpoint = ENDPOINTS[route.name]
        self._authenticate(request.headers)
        self._charge(endpoint, headers)
        call = self._make_call(request, route, body)
        key = request.headers.get("idempotency-key", "")
        if self.idempotency is None or not key or request.method not in _IDEMPOTENT_METHODS:
            return endpoint.status, await self._run(endpoint, call)
        return endpoint.status, await self._run_once(self.idempotency, key, endpoint, call, headers)

    def _authenticate(self, headers: Mapping[str, str]) -> None:
        given = headers.get("authorization", "")
        if not given:
            raise ApiError(401, "Missing authorization header")
        scheme, _, key = given.partition(" ")
        if scheme == "Bearer" or (scheme == "ApiKey" and not key):
            raise make_plain_error(401, "Unauthorized")
        if scheme != "ApiKey":
            raise ApiError(401, f'Invalid authentication scheme: "{scheme}"')
        if key not in self.api_keys:
            raise ApiError(401, "API Key not found")

    def _charge(self, endpoint: Endpoint, headers: dict[str, str]) -> None:
        if self.limiter is None:
            return
        verdict = self.limiter.take(endpoint.category, bulk=endpoint.bulk, now=self.clock())
        headers.update(verdict.headers)
        if not verdict.allowed:
            raise make_rate_limit_error()

    def _make_call(self, request: RawRequest, route: Route, body: Any) -> Call:
        query = split_target(request.target)[1]
        parsed = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
        return Call(
            self.store,
            self.era,
            self._hop,
            route.parameters,
            body if isinstance(body, dict) else {},  # a list has none of the schema's fields
            parsed,
            self.has_v2_channels,
        )

    async def _hop(self) -> None:
        """Let other requests run, as they do while this one waits for the database.

        Some waits are longer than others, or all concurrent requests would go in step.
        """
        if self.latency:
            await asyncio.sleep(self.latency * 2 * self._draw.random())
            return
        for _ in range(self._draw.randrange(_MOST_TURNS)):
            await asyncio.sleep(0)

    async def _run(self, endpoint: Endpoint, call: Call) -> bytes | None:
        async with self._lock(call):
            result = await endpoint.handle(call)
        return None if result is None else _json_text.dump(result)

    def _lock(self, call: Call) -> AbstractAsyncContextManager[Any]:
        """Make the requests of one subscriber wait for each other, when atomic."""
        if not self.atomic or not call.subject:
            return nullcontext()
        return self._locks.setdefault(call.subject, asyncio.Lock())

    async def _run_once(
        self,
        memory: IdempotencyStore,
        key: str,
        endpoint: Endpoint,
        call: Call,
        headers: dict[str, str],
    ) -> bytes | None:
        stored = memory.begin(key, call.body, self.clock())
        headers["Idempotency-Key"] = key
        if stored is not None:
            headers["Idempotency-Replay"] = "true"
            return stored
        try:
            result = await self._run(endpoint, call)
        except ApiError as error:
            memory.finish(key, error, self.clock())
            raise
        except Exception:
            memory.finish(key, make_internal_error(), self.clock())
            raise
        memory.finish(key, result or b"", self.clock())
        return result

    def reset(self) -> None:
        """Forget buckets, idempotency keys and locks, and draw the same pauses again."""
        self._draw.seed(_PAUSES_SEED)
        self._locks.clear()
        if self.limiter is not None:
            self.limiter.reset()
        if self.idempotency is not None:
            self.idempotency.reset()


def _find_provider_id(request: RawRequest) -> str:
    """Find the provider of a write: in its body, or at the end of the path of a DELETE."""
    if request.method == "DELETE":
        return unquote(split_target(request.target)[0].rstrip("/").rpartition("/")[2])
    try:
        return str(_json_text.parse(request.body.decode())["providerId"])
    except (ValueError, LookupError, TypeError):
        return ""
