"""Verbs for device tokens that cannot surprise: see `novu_async.device_tokens`."""

from novu_async import device_tokens as awaited
from novu_async.device_tokens import DeviceTokensResult
from novu_sync._blocking import Resource, blocking

__all__ = ["DeviceTokens", "DeviceTokensResult"]


class DeviceTokens(Resource):
    __doc__ = awaited.DeviceTokens.__doc__

    add = blocking(awaited.DeviceTokens.add)
    replace = blocking(awaited.DeviceTokens.replace)
    remove = blocking(awaited.DeviceTokens.remove)
    rotate = blocking(awaited.DeviceTokens.rotate)
    clear = blocking(awaited.DeviceTokens.clear)
    list = blocking(awaited.DeviceTokens.list)
    repair = blocking(awaited.DeviceTokens.repair)
