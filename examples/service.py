"""A FastAPI service whose users register their devices; one client serves all requests.

pip install novu-async 'fastapi[standard]'
NOVU_API_KEY=... fastapi run examples/service.py
curl -X PUT localhost:8000/users/user-42/devices/token-1
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from novu_async import (
    DeviceTokenLimitError,
    InvalidRequestError,
    Novu,
    NovuError,
    SubscriberNotFoundError,
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the client with the service, and close it with it."""
    async with Novu() as novu:
        app.state.device_tokens = novu.subscribers.device_tokens
        yield


app = FastAPI(lifespan=lifespan)


@app.exception_handler(NovuError)
async def explain(_: Request, error: NovuError) -> JSONResponse:
    """Tell the caller what is wrong with the request; all else may pass."""
    if isinstance(error, InvalidRequestError):
        return JSONResponse({"detail": str(error)}, 422)
    if isinstance(error, DeviceTokenLimitError):
        return JSONResponse({"detail": "this user has too many devices"}, 409)
    return JSONResponse({"detail": "try again later"}, 503)


@app.put("/users/{user_id}/devices/{token}", status_code=204)
async def add_device(user_id: str, token: str, request: Request) -> None:
    """Store the token; a user that Novu does not know yet is created."""
    tokens = request.app.state.device_tokens
    await tokens.add(user_id, "fcm", token, on_missing_subscriber="create")


@app.delete("/users/{user_id}/devices/{token}", status_code=204)
async def remove_device(user_id: str, token: str, request: Request) -> None:
    """Remove the token; one that is not there counts as removed."""
    with suppress(SubscriberNotFoundError):
        await request.app.state.device_tokens.remove(user_id, "fcm", token)
