"""The one cattrs converter: snake_case attrs classes to and from the API's camelCase JSON.

Answers are read leniently: what this version does not know goes to `additional_properties`, a value
of an unexpected type is kept as it came, null counts as absent.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from novu_async import _json
from novu_async.models import (
    ChannelCredentials,
    ChannelSettingsDto,
    SubscriberResponseDto,
    UpdateSubscriberChannelRequestDto,
)

Read = Callable[[Any, Any], Any]

_IRREGULAR = {
    "id": "_id",
    "organization_id": "_organizationId",
    "environment_id": "_environmentId",
    "integration_id": "_integrationId",
    "v": "__v",
}
_EXTRAS = "additional_properties"


def to_json_name(name: str) -> str:
    """Return the API's name of a field: `device_tokens` -> `deviceTokens`, `id` -> `_id`."""
    if name in _IRREGULAR:
        return _IRREGULAR[name]
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def json_names(cls: type[attrs.AttrsInstance]) -> dict[str, str]:
    """Map the API's name of each field of a class to our name."""
    names = (field.name for field in attrs.fields(cls) if field.name != _EXTRAS)
    return {to_json_name(name): name for name in names}


_converter = cattrs.Converter(detailed_validation=False)


def _keep(value: Any, _: Any) -> Any:
    return value


def _make_read(cls: type[attrs.AttrsInstance], **hooks: Read) -> Read:
    """Make what reads an object of the API; `hooks` read the fields that are objects themselves."""
    known = json_names(cls)
    fields = {
        ours: override(rename=theirs, struct_hook=hooks.get(ours, _keep))
        for theirs, ours in {**known, _EXTRAS: _EXTRAS}.items()
    }
    structure = make_dict_structure_fn(
        cls, _converter, _cattrs_detailed_validation=False, **cast("Any", fields)
    )

    def read(value: Any, _: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        given = {k: v for k, v in value.items() if k in known and v is not None}
        extras = {k: v for k, v in value.items() if k not in known}
        return structure({**given, _EXTRAS: extras} if extras else given, cls)

    return read


_read_channel = _make_read(ChannelSettingsDto, credentials=_make_read(ChannelCredentials))


def _read_channels(value: Any, _: Any) -> Any:
    return [_read_channel(one, None) for one in value] if isinstance(value, list) else value


_read_subscriber = _make_read(SubscriberResponseDto, channels=_read_channels)


def _make_write(cls: type[attrs.AttrsInstance]) -> Callable[[Any], dict[str, Any]]:
    names: dict[str, Any] = {
        ours: override(rename=theirs) for theirs, ours in json_names(cls).items()
    }
    names[_EXTRAS] = override(omit=True)
    return make_dict_unstructure_fn(cls, _converter, _cattrs_omit_if_default=True, **names)


for _request in (ChannelCredentials, UpdateSubscriberChannelRequestDto):
    _converter.register_unstructure_hook(_request, _make_write(_request))


def unstructure_request(request: UpdateSubscriberChannelRequestDto) -> dict[str, Any]:
    """Return the JSON object of a body; fields that are None are left out."""
    return cast("dict[str, Any]", _converter.unstructure(request))


def parse_subscriber(body: bytes) -> SubscriberResponseDto:
    """Read the body of an answer; a subscriber with empty fields where it cannot be read."""
    document = _json.document_of(body)
    found = document if isinstance(document, dict) else {}
    return cast("SubscriberResponseDto", _read_subscriber(found, None))
