"""What the API remembers under an Idempotency-Key. Pure: time is an argument.

A key is looked up for the whole organization: neither the method nor the path counts, only the
key and the body. Errors are kept like successes.
"""

import hashlib
from typing import Any, Final, Literal

from attrs import define, field

from novu_async.testing import _json_text
from novu_async.testing._answers import ApiError, Era, make_internal_error, make_unavailable_error

ReplayedErrors = Literal["original", "503"]
MAX_KEY_LENGTH: Final = 255
_STORED_SECONDS: Final = 24 * 3600
_MARKER_SECONDS: Final = 5 * 60
_DOCS: Final = "https://docs.novu.co/additional-resources/idempotency"


@define
class _Entry:
    body_hash: bytes
    expires: float
    result: bytes | ApiError | None = None


@define
class IdempotencyStore:
    """Keep results for 24 hours, and the mark of a request in progress for 5 minutes.

    `replayed_errors` is "original" (2024, and again since August 2026) or "503" for the two years
    between, when every remembered error was replayed as a bare 503.
    """

    era: Era
    replayed_errors: ReplayedErrors = "original"
    _entries: dict[str, _Entry] = field(factory=dict)

    def reset(self) -> None:
        """Forget every key."""
        self._entries.clear()

    def begin(self, key: str, body: Any, now: float) -> bytes | None:
        """Mark a key as in progress, or give the body to replay.

        Raises ApiError: 400 for a long key, 409 while the first request runs, 422 for another
        body, and the remembered error itself.
        """
        if len(key) > MAX_KEY_LENGTH:
            text = (
                f'idempotencyKey "{key}" has exceeded the maximum allowed length of 255 characters'
            )
            raise ApiError(400, text)
        body_hash = hashlib.blake2s(_json_text.dump(body)).digest()
        entry = self._entries.get(key)
        if entry is None or entry.expires <= now:
            self._entries[key] = _Entry(body_hash, now + _MARKER_SECONDS)
            return None
        return self._replay(key, entry, body_hash)

    def finish(self, key: str, result: bytes | ApiError, now: float) -> None:
        """Remember a result, success and error alike."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries[key] = _Entry(entry.body_hash, now + _STORED_SECONDS, result)

    def _replay(self, key: str, entry: _Entry, body_hash: bytes) -> bytes:
        echo = {"Idempotency-Key": key}
        if entry.result is None:
            text = f'Request with key "{key}" is currently being processed.'
            headers = {**echo, "Retry-After": "1", "Link": _DOCS}
            raise ApiError(409, f"{text} Please retry after 1 second", headers=headers)
        if entry.body_hash != body_hash:
            text = f'Request with key "{key}" is being reused for a different body'
            raise ApiError(422, text, headers={**echo, "Link": _DOCS})
        if isinstance(entry.result, ApiError):
            raise self._replay_error(entry.result, {**echo, "Idempotency-Replay": "true"})
        return entry.result

    def _replay_error(self, first: ApiError, headers: dict[str, str]) -> ApiError:
        if self.replayed_errors == "503":
            again = make_unavailable_error()
        elif first.status == 500:
            again = self._replay_internal_error()
        else:
            again = ApiError(
                first.status,
                first.message,
                context=first.context,
                errors=first.errors,
            )
        again.headers.update(headers)
        return again

    def _replay_internal_error(self) -> ApiError:
        """In 2024 a remembered 500 came back with an object where the message should be."""
        if self.era == "2026":
            return make_internal_error()
        return ApiError(500, {"message": "Internal Server Error", "statusCode": 500}, context={})
