"""Requests and answers as models: nothing is lost, nothing raises, no token is shown."""

import copy
import importlib.util
import json
import pickle
import re
import sys
from typing import Any

import pytest
from core_doubles import STORED, TOKEN, WEBHOOK, reply
from hypothesis import given
from hypothesis import strategies as st

from novu_async import (
    ChannelCredentials,
    ChannelSettingsDto,
    Novu,
    SubscriberResponseDto,
    UpdateSubscriberChannelRequestDto,
    UpdateSubscriberChannelRequestDtoProviderID,
    _json,
    models,
    providers,
)
from novu_async._checks import check_request
from novu_async._converter import (
    json_names,
    parse_subscriber,
    to_json_name,
    unstructure_request,
)
from novu_async.testing import LocalNovu


def subscriber(**document: Any) -> SubscriberResponseDto:
    """Read an answer with this document in its envelope."""
    return parse_subscriber(json.dumps({"data": document}).encode())


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("device_tokens", "deviceTokens"), ("webhook_url", "webhookUrl"), ("id", "_id"),
        ("organization_id", "_organizationId"), ("environment_id", "_environmentId"),
        ("integration_id", "_integrationId"), ("v", "__v"), ("alert_uid", "alertUid"),
        ("subscriber_id", "subscriberId"), ("is_online", "isOnline"), ("channel", "channel"),
    ],
)  # fmt: skip
def test_each_field_has_the_name_of_the_api(ours: str, theirs: str) -> None:
    """The mapping between the two spellings is regular but for five names."""
    assert to_json_name(ours) == theirs


texts = st.none() | st.text(max_size=5)
some_credentials = st.builds(
    ChannelCredentials,
    webhook_url=texts.filter(lambda text: not text or text.replace("\ufeff", "").strip()),
    channel=texts,
    device_tokens=st.none() | st.lists(st.text(min_size=1).filter(str.strip), unique=True),
    alert_uid=texts,
    title=texts,
    image_url=texts,
    state=texts,
    external_url=texts,
)


@given(some_credentials, st.none() | st.text(min_size=1).filter(str.strip))
def test_a_request_survives_the_way_to_json_and_back(
    credentials: ChannelCredentials, identifier: str | None
) -> None:
    """The JSON of a request, read as a request again, is the same request."""
    request = UpdateSubscriberChannelRequestDto(
        provider_id="slack", credentials=credentials, integration_identifier=identifier
    )
    document = json.loads(json.dumps(unstructure_request(request)))
    assert check_request(document) == request
    assert None not in document["credentials"].values()


@given(some_credentials)
def test_an_answer_holds_what_was_stored(credentials: ChannelCredentials) -> None:
    """Credentials that the API sends back are the credentials that it was sent."""
    request = UpdateSubscriberChannelRequestDto(provider_id="slack", credentials=credentials)
    sent = unstructure_request(request)["credentials"]
    (channel,) = subscriber(channels=[{"providerId": "slack", "credentials": sent}]).channels
    assert channel.credentials == credentials


def test_a_request_leaves_out_what_is_not_given() -> None:
    """None and unknown fields of a model are not sent; an empty text is."""
    request = UpdateSubscriberChannelRequestDto(
        provider_id="slack",
        credentials=ChannelCredentials(webhook_url="", additional_properties={"x": 1}),
    )
    assert unstructure_request(request) == {
        "providerId": "slack",
        "credentials": {"webhookUrl": ""},
    }


def test_unknown_fields_of_an_answer_are_kept() -> None:
    """What this version does not know is found under its own name, at every level."""
    read = subscriber(
        subscriberId="u1",
        newField={"a": [1]},
        additional_properties="odd",
        channels=[{"providerId": "brand-new", "extra": 1, "credentials": {"secret": 2}}],
    )
    assert read.additional_properties == {"newField": {"a": [1]}, "additional_properties": "odd"}
    (channel,) = read.channels
    assert channel.provider_id == "brand-new"
    assert channel.additional_properties == {"extra": 1}
    assert channel.credentials.additional_properties == {"secret": 2}


def test_values_of_an_unexpected_type_are_kept() -> None:
    """A field that is not what the contract says is passed on as it came."""
    read = subscriber(
        subscriberId=7, channels=[7, None, {"credentials": [1], "providerId": None}], topics="t",
        isOnline="yes", data=[1], deleted=None, __v="x", firstName={"a": 1},
    )  # fmt: skip
    assert (read.subscriber_id, read.topics, read.is_online) == (7, "t", "yes")
    assert (read.data, read.deleted, read.v, read.first_name) == ([1], False, "x", {"a": 1})
    number, nothing, channel = read.channels
    assert (number, nothing) == (7, None)
    assert channel.credentials == [1]
    assert subscriber(channels={"a": 1}).channels == {"a": 1}
    tokens = subscriber(channels=[{"credentials": {"deviceTokens": [1, None, ""]}}]).channels[0]
    assert tokens.credentials.device_tokens == [1, None, ""]


def test_null_counts_as_absent() -> None:
    """A null field has the default of a field that is not there."""
    nulls = subscriber(channels=None, topics=None, email=None, subscriberId=None, deleted=None)
    assert nulls == SubscriberResponseDto()


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"7", b'"x"', b"{}", b'{"data":null}', b'{"data":[]}', b"\xff",
     b'{"data":7}', b"[" * 100_000, b'{"data":{"a":' * 50_000],
)  # fmt: skip
def test_an_answer_that_cannot_be_read_is_an_empty_subscriber(body: bytes) -> None:
    """`result` never raises: the write was made, whatever the answer looks like."""
    assert parse_subscriber(body) == SubscriberResponseDto()


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"data":{"subscriberId":"u1"}}',
        b'{"data":{"subscriberId":"u0"},"data":{"subscriberId":"u1"}}',
        b'{"data":{"subscriberId":"u1","firstName":"\\ud83d"}}',
        b' \n{"data":{"subscriberId":"u1","n":123456789012345678901234567890}}',
        b'{"data":{"subscriberId":"u1","n":NaN}}',
    ],
    ids=["byte order mark", "duplicate keys", "half a surrogate pair", "a big number", "NaN"],
)
def test_json_that_is_only_odd_is_read(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same answers can be read with and without the extra `speed`."""
    assert parse_subscriber(body).subscriber_id == "u1"
    monkeypatch.setattr(_json, "_loaders", [json.loads])
    assert parse_subscriber(body).subscriber_id == "u1"


def test_an_answer_without_its_envelope_is_read() -> None:
    """Some gateways and mocks send the subscriber alone, whose own `data` is no envelope."""
    body = json.dumps({"data": {"subscriberId": "x"}, "subscriberId": "u1"}).encode()
    read = parse_subscriber(body)
    assert (read.subscriber_id, read.data) == ("u1", {"subscriberId": "x"})


def test_requests_are_the_same_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where orjson is not installed, the same bytes are sent."""
    monkeypatch.setitem(sys.modules, "orjson", None)
    spec = importlib.util.find_spec("novu_async._json")
    assert spec is not None
    assert spec.loader is not None
    plain = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plain)
    value = {"providerId": "fcm", "credentials": {"deviceTokens": ["é😀\u2028\x00", 'a"b\\']}}
    assert plain.dumps(value) == _json.dumps(value)
    assert plain.parse_object(plain.dumps(value)) == value
    assert plain.dumps is not _json.dumps


def test_no_token_or_url_is_shown() -> None:
    """Reprs of requests and answers have fingerprints, equal for equal tokens."""
    credentials = ChannelCredentials(webhook_url=WEBHOOK, device_tokens=[TOKEN, "b", "c", "d"])
    request = UpdateSubscriberChannelRequestDto(provider_id="fcm", credentials=credentials)
    stored = {"deviceTokens": [TOKEN, 1], "webhookUrl": WEBHOOK, "other": TOKEN}
    channel = {"providerId": "fcm", "credentials": stored, "new": TOKEN}
    answer = subscriber(channels=[channel], new=TOKEN)
    odd = subscriber(channels=[{"credentials": {"deviceTokens": TOKEN, "webhookUrl": [WEBHOOK]}}])
    response = models.SubscribersControllerUpdateSubscriberChannelResponse(
        json.dumps({"data": {"channels": [{"credentials": {"deviceTokens": [TOKEN]}}]}}).encode(),
        decode=parse_subscriber,
    )
    for shown in (credentials, request, answer, odd, response):
        assert TOKEN not in repr(shown)
        assert WEBHOOK not in repr(shown)
    assert "<4 device tokens: #" in repr(request)
    assert "<1 device token: #" in repr(response)
    assert repr(ChannelCredentials(device_tokens=[TOKEN])) in repr(response)


@pytest.mark.parametrize(
    "channels",
    [
        {"fcm": TOKEN},
        TOKEN,
        [TOKEN],
        [[TOKEN]],
        [{"credentials": TOKEN}],
        [{"credentials": [TOKEN, {"webhookUrl": WEBHOOK}]}],
    ],
    ids=repr,
)
def test_channels_of_an_unexpected_form_are_shown_by_their_type(channels: Any) -> None:
    """They are kept as they came, and may hold tokens and URLs."""
    shown = repr(subscriber(channels=channels))
    assert TOKEN not in shown
    assert WEBHOOK not in shown
    assert re.search("channels=.*<(dict|str|list)>", shown)


def test_a_request_made_with_a_dict_shows_no_token() -> None:
    """A model does not check its fields before it is sent."""
    odd: Any = {"device_tokens": [TOKEN]}
    request = UpdateSubscriberChannelRequestDto(provider_id="fcm", credentials=odd)
    assert TOKEN not in repr(request)


def test_models_cannot_be_filled_by_position() -> None:
    """A model takes keywords only, so fields may be added to it."""
    with pytest.raises(TypeError):
        ChannelCredentials("url")  # type: ignore[misc]


def test_the_headers_of_an_answer_keep_every_value() -> None:
    """Names in lower case, each with all its values in order; `replayed` is read from them."""
    headers = reply(Vary="a", Idempotency_Replay="true").headers
    headers.add("vary", "b")  # type: ignore[attr-defined]
    response = models.SubscribersControllerDeleteSubscriberCredentialsResponse(headers)
    assert response.headers == {"vary": ["a", "b"], "idempotency-replay": ["true"]}
    assert response.headers["Vary"] == ["a", "b"]
    assert response.replayed is True
    deleted = models.SubscribersControllerDeleteSubscriberCredentialsResponse
    assert deleted({"Idempotency-Replay": "True"}).replayed is True
    assert deleted({"Idempotency-Replay": "false"}).replayed is False
    assert models.SubscribersControllerDeleteSubscriberCredentialsResponse().replayed is False


def test_an_answer_can_be_made_for_a_fake() -> None:
    """By its result and headers, and it is equal to another one of the same value."""
    cls = models.SubscribersControllerModifySubscriberChannelResponse
    fake = cls(headers={"X-A": ["1", "2"]}, result=SubscriberResponseDto(subscriber_id="u1"))
    assert fake.result.subscriber_id == "u1"
    assert fake.headers["x-a"] == ["1", "2"]
    same = cls(headers={"x-a": ["1", "2"]}, result=SubscriberResponseDto(subscriber_id="u1"))
    assert fake == same
    assert fake != cls(headers={"x-a": ["1", "2"]}, result=SubscriberResponseDto())
    assert fake != cls(result=SubscriberResponseDto(subscriber_id="u1"))
    other = models.SubscribersControllerUpdateSubscriberChannelResponse
    assert fake != other(headers={"X-A": ["1", "2"]}, result=fake.result)
    assert cls().result == SubscriberResponseDto()
    deleted = models.SubscribersControllerDeleteSubscriberCredentialsResponse
    assert deleted({"X-A": ["1"]}) == deleted({"x-a": "1"}) != deleted()


@pytest.mark.parametrize("through", [lambda r: pickle.loads(pickle.dumps(r)), copy.deepcopy])  # noqa: S301
def test_an_answer_survives_pickling_and_copying(through: Any) -> None:
    """Whether it has been read or not; `vars` does not show what it is made of."""
    headers = reply(Vary="a", ETag="e").headers
    cls = models.SubscribersControllerUpdateSubscriberChannelResponse
    answer = cls(STORED, headers, decode=parse_subscriber)
    again = through(answer)
    assert again == answer
    assert (again.headers, again.body) == ({"vary": ["a"], "etag": ["e"]}, STORED)
    assert through(again).result.subscriber_id == "u1"
    with pytest.raises(TypeError):
        vars(answer)


@pytest.mark.anyio
@pytest.mark.parametrize("era", ["2024", "2026"])
async def test_every_provider_is_push_or_chat_and_known_to_the_server(era: Any) -> None:
    """Each listed provider can be written to with the credential of its kind."""
    listed = list(UpdateSubscriberChannelRequestDtoProviderID)
    assert len(listed) == 25
    assert set(listed) == providers.PUSH_PROVIDERS | providers.CHAT_PROVIDERS
    kinds = {p: "device_tokens" if providers.is_push(p) else "webhook_url" for p in listed}
    values: dict[str, Any] = {"device_tokens": ["t"], "webhook_url": "https://h"}
    integrations = [{"providerId": p.value, "identifier": p.value} for p in listed]
    async with (
        LocalNovu(era=era, integrations=integrations) as local,
        Novu(local.api_key, server_url=local.url, retries=None) as novu,
    ):
        for provider, kind in kinds.items():
            request = {"provider_id": provider, "credentials": {kind: values[kind]}}
            answer = await novu.subscribers.credentials.append("u1", request)
            assert answer.result.channels[-1].provider_id == provider


def test_names_of_every_model_are_unique() -> None:
    """No two fields of a model share a name in JSON."""
    for cls in (ChannelCredentials, ChannelSettingsDto, SubscriberResponseDto):
        assert len(json_names(cls)) == len(cls.__attrs_attrs__) - 1
