"""OpenTelemetry spans for calls and attempts; needs the extra `otel`.

    from novu_async.otel import OpenTelemetryObserver

    novu = Novu(observer=OpenTelemetryObserver())

Names and attributes follow OpenTelemetry's semantic conventions for HTTP clients, with
`url.template` in place of the URL: that would hold subscriber ids.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from novu_async._version import __version__
from novu_async.errors import APIError, ConfigurationError
from novu_async.observing import AttemptInfo, CallInfo, Observer

try:
    from opentelemetry import trace
    from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider
except ImportError as error:
    raise ConfigurationError(
        "novu_async.otel needs OpenTelemetry: pip install 'novu-async[otel]'"
    ) from error

__all__ = ["OpenTelemetryObserver"]


class OpenTelemetryObserver(Observer):
    """One span for a call, and below it one for each attempt.

    `tracer_provider`: where the spans go; the global one if it is not given.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("novu_async", __version__, tracer_provider)

    def call(self, call: CallInfo) -> AbstractContextManager[object]:
        """Start the span of a call, `novu.append` and the like."""
        return self._span(f"novu.{call.operation}", SpanKind.INTERNAL, {})

    @contextmanager
    def attempt(self, attempt: AttemptInfo) -> Iterator[None]:
        """Start the span of an attempt, named by method and template."""
        call = attempt.call
        attributes: dict[str, str | int] = {
            "http.request.method": call.method,
            "url.template": call.url_template,
            "server.address": call.server_address,
        }
        if call.server_port is not None:
            attributes["server.port"] = call.server_port
        if attempt.number > 1:
            attributes["http.request.resend_count"] = attempt.number - 1
        with self._span(f"{call.method} {call.url_template}", SpanKind.CLIENT, attributes) as span:
            try:
                yield
            finally:
                if attempt.status_code is not None:
                    span.set_attribute("http.response.status_code", attempt.status_code)

    @contextmanager
    def _span(self, name: str, kind: SpanKind, attributes: dict[str, str | int]) -> Iterator[Span]:
        with self._tracer.start_as_current_span(
            name,
            kind=kind,
            attributes=attributes,
            # an exception's text is left out: it may quote the API
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:
                status = str(error.status_code) if isinstance(error, APIError) else None
                span.set_attribute("error.type", status or type(error).__qualname__)
                span.set_status(StatusCode.ERROR)
                raise
