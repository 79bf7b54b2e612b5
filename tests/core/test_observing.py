"""Hooks and spans around calls and attempts; none of them learns an id or a secret."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from novu_async import AttemptInfo, BackoffStrategy, Novu, Observer, RetryConfig, ServerError
from novu_async._endpoints import APPEND
from novu_async.observing import make_call_info
from novu_async.otel import OpenTelemetryObserver
from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio

AT_ONCE = RetryConfig("backoff", BackoffStrategy(1, 1, 1, 10_000), max_attempts=3)
REQUEST = {"provider_id": "fcm", "credentials": {"device_tokens": ["secret-token"]}}


async def test_an_observer_sees_before_and_after_every_attempt(local: LocalNovu) -> None:
    """Two attempts: what each of them answered, inside one call."""
    seen: list[object] = []

    class Log(Observer):
        @contextmanager
        def attempt(self, attempt: AttemptInfo) -> Iterator[None]:
            seen.append(f"before {attempt.call.operation} {attempt.number}")
            try:
                yield
            finally:
                seen.append(attempt.status_code)

    local.faults.next("error_502")
    async with Novu(local.api_key, server_url=local.url, retries=AT_ONCE, observer=Log()) as novu:
        await novu.subscribers.credentials.append("u", REQUEST)
    assert seen == ["before append 1", 502, "before append 2", 200]


def test_a_call_is_described_without_ids() -> None:
    """The template has the prefix of the server's URL; the port is that of the scheme."""
    for server_url, prefix, port in (
        ("https://api.novu.co", "", 443),
        ("http://localhost/novu/api", "/novu/api", 80),
        ("http://localhost:3000", "", 3000),
    ):
        url = f"{server_url}/v1/subscribers/a%2Fb/credentials"
        info = make_call_info(APPEND, url)
        assert info.url_template == f"{prefix}/v1/subscribers/{{subscriber_id}}/credentials"
        assert info.server_port == port


async def test_spans_follow_the_conventions_for_http_clients(local: LocalNovu) -> None:
    """A span for the call and one for each attempt, with a template in place of the URL."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    local.faults.next("error_503", retry_after=0)
    async with Novu(
        local.api_key,
        server_url=local.url,
        retries=AT_ONCE,
        observer=OpenTelemetryObserver(provider),
    ) as novu:
        await novu.subscribers.credentials.append("secret-user", REQUEST)
        local.faults.next("error_500", times=3)
        with pytest.raises(ServerError):
            await novu.subscribers.credentials.delete("secret-user", "fcm")
    first, second, call, *failed, last = exporter.get_finished_spans()
    assert [span.kind for span in (first, call)] == [SpanKind.CLIENT, SpanKind.INTERNAL]
    assert call.name == "novu.append"
    assert first.parent is not None
    assert call.context is not None
    assert first.parent.span_id == call.context.span_id
    assert first.name == "PATCH /v1/subscribers/{subscriber_id}/credentials"
    assert first.attributes is not None
    assert second.attributes is not None
    assert first.attributes["http.response.status_code"] == 503
    assert first.attributes["error.type"] == "503"
    assert "http.request.resend_count" not in first.attributes
    assert dict(second.attributes) == {
        "http.request.method": "PATCH",
        "url.template": "/v1/subscribers/{subscriber_id}/credentials",
        "server.address": "127.0.0.1",
        "server.port": int(local.url.rpartition(":")[2]),
        "http.request.resend_count": 1,
        "http.response.status_code": 200,
    }
    assert len(failed) == 3
    assert last.status.status_code is StatusCode.ERROR
    written = "".join(span.to_json() for span in exporter.get_finished_spans())
    assert "secret" not in written
    assert local.api_key not in written
