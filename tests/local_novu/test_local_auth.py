"""Authentication, its texts, and what comes before it."""

from typing import Any

import pytest
from raw_http import send

from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio

PATH = "/v1/subscribers/u1/credentials"
BODY = {"providerId": "fcm", "credentials": {"deviceTokens": ["a"]}}

REFUSED = [
    (None, "Missing authorization header", True),
    ("", "Missing authorization header", True),
    ("ApiKey wrong", "API Key not found", True),
    ("ApiKey  good", "API Key not found", True),
    ("ApiKey", "Unauthorized", False),
    ("Bearer good", "Unauthorized", False),
    ("apikey good", 'Invalid authentication scheme: "apikey"', True),
    ("good", 'Invalid authentication scheme: "good"', True),
]


@pytest.mark.parametrize("era", ["2024", "2026"])
@pytest.mark.parametrize(("header", "message", "named"), REFUSED)
async def test_a_wrong_key_is_401(era: Any, header: str | None, message: str, named: bool) -> None:
    """Each way of getting the header wrong has its own text; a bare key comes back in it."""
    headers = {} if header is None else {"Authorization": header}
    async with LocalNovu(era=era, api_keys=["good"]) as local:
        reply = await send(local, "PUT", PATH, body=BODY, headers=headers, key=None)
        assert local.subscribers == {}
    error = {"error": "Unauthorized"} if named else {}
    assert reply.status == 401
    assert {**reply.json, "timestamp": ""} == {
        **error,
        "statusCode": 401,
        "timestamp": "",
        "path": PATH,
        "message": message,
        **({"ctx": {**error, "statusCode": 401}} if era == "2026" else {}),
    }


async def test_each_of_several_keys_is_accepted() -> None:
    """All keys given belong to the one environment; the first is `api_key`."""
    async with LocalNovu(api_keys=["one", "two"]) as local:
        assert local.api_key == "one"
        for key in ("one", "two"):
            assert (await send(local, "PUT", PATH, body=BODY, key=key)).status == 200


async def test_the_key_is_checked_before_the_body_is_validated() -> None:
    """A valid request line with an invalid body and no key is 401."""
    async with LocalNovu() as local:
        assert (await send(local, "PUT", PATH, body={}, key=None)).status == 401
