"""The API's three calls on a subscriber's credentials: see `novu_async.credentials`."""

from novu_async import credentials as awaited
from novu_sync._blocking import Resource, blocking

__all__ = ["Credentials"]


class Credentials(Resource):
    __doc__ = awaited.Credentials.__doc__

    update = blocking(awaited.Credentials.update)
    append = blocking(awaited.Credentials.append)
    delete = blocking(awaited.Credentials.delete)
