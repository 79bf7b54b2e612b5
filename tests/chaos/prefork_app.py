"""A WSGI application whose client is made, and used, before gunicorn forks its workers."""

import os
from collections.abc import Callable, Iterable
from typing import Any

from novu_sync import Novu

novu = Novu()
novu.subscribers.device_tokens.add("parent", "fcm", f"parent-{os.getpid()}")


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Add the token that the path names, and say which worker did it."""
    token = environ["PATH_INFO"].strip("/")
    novu.subscribers.device_tokens.add("shared", "fcm", token)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
