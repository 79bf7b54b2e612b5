"""A FastAPI service whose users register their devices; one client serves all requests.

pip install novu-async 'fastapi[standard]'
NOVU_API_KEY=... fastapi run examples/service.py
curl -X PUT localhost:8000/users/user-42/devices/token-1
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request

from novu_async import APIConnectionError, InvalidRequestError, Novu, RateLimitError, ServerError


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the client with the service, and close it with it."""
    async with Novu() as novu:
        app.state.device_tokens = novu.subscribers.device_tokens
        yield


app = FastAPI(lifespan=lifespan)


@app.put("/users/{user_id}/devices/{token}", status_code=204)
async def add_device(user_id: str, token: str, request: Request) -> None:
    """Store the token; a user that Novu does not know yet is created."""
    tokens = request.app.state.device_tokens
    try:
        await tokens.add(user_id, "fcm", token, on_missing_subscriber="create")
    except InvalidRequestError as error:
        raise HTTPException(422, str(error)) from error
    except (APIConnectionError, RateLimitError, ServerError) as error:
        raise HTTPException(503, "try again later") from error


@app.delete("/users/{user_id}/devices/{token}", status_code=204)
async def remove_device(user_id: str, token: str, request: Request) -> None:
    """Remove the token; one that is not there counts as removed."""
    await request.app.state.device_tokens.remove(user_id, "fcm", token)
