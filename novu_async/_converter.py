"""The one cattrs converter: snake_case attrs classes to and from the API's camelCase JSON.

Answers are read leniently: what this version does not know goes to `additional_properties`, a value
of an unexpected type is kept as it came, null counts as absent.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar, cast

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

T = TypeVar("T")

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


def _renames(cls: type[attrs.AttrsInstance]) -> dict[str, Any]:
    return {ours: override(rename=theirs) for theirs, ours in json_names(cls).items()}


def _tolerant_structure(cls: type[T]) -> Callable[[Any, Any], T]:
    structure = make_dict_structure_fn(
        cls, _converter, _cattrs_detailed_validation=False, **_renames(cast("Any", cls))
    )
    known = json_names(cast("Any", cls))

    def read(value: Any, _: Any) -> T:
        if not isinstance(value, Mapping):
            return cast("T", value)
        fields = {k: v for k, v in value.items() if k in known and v is not None}
        extras = {k: v for k, v in value.items() if k not in known}
        return structure({**fields, _EXTRAS: extras} if extras else fields, cls)

    return read


def _keep(value: Any, _: Any) -> Any:
    return value


def _read_channels(value: Any, _: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [_converter.structure(item, ChannelSettingsDto) for item in value]


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=False)
    for primitive in (str, bool, int, float):
        converter.register_structure_hook(primitive, _keep)
    for keep in (list[str], Mapping[str, Any]):
        converter.register_structure_hook_func(partial(_is, keep), _keep)
    converter.register_structure_hook_func(partial(_is, list[ChannelSettingsDto]), _read_channels)
    return converter


def _is(wanted: object, cls: object) -> bool:
    return cls == wanted


def _strict_unstructure(cls: type[Any]) -> Callable[[Any], dict[str, Any]]:
    names: dict[str, Any] = {**_renames(cls), _EXTRAS: override(omit=True)}
    return make_dict_unstructure_fn(cls, _converter, _cattrs_omit_if_default=True, **names)


_converter = _make_converter()
for _request in (ChannelCredentials, UpdateSubscriberChannelRequestDto):
    _converter.register_unstructure_hook(_request, _strict_unstructure(_request))
for _cls in (ChannelCredentials, ChannelSettingsDto, SubscriberResponseDto):
    _converter.register_structure_hook(_cls, _tolerant_structure(_cls))


def unstructure_request(request: UpdateSubscriberChannelRequestDto) -> dict[str, Any]:
    """Return the JSON object of a body; fields that are None are left out."""
    return cast("dict[str, Any]", _converter.unstructure(request))


def parse_subscriber(body: bytes) -> SubscriberResponseDto:
    """Read the body of an answer; a subscriber with empty fields where it cannot be read."""
    document = _json.document_of(body)
    found = document if isinstance(document, dict) else {}
    return _converter.structure(found, SubscriberResponseDto)
