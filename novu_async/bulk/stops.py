"""When a failure is the whole job's and not the row's: pure bookkeeping."""

from collections.abc import Sequence

from attrs import define, field

from novu_async import errors
from novu_async.bulk.plan import Write
from novu_async.bulk.reasons import is_silence
from novu_async.errors import NovuError
from novu_async.providers import is_known

_AT_ONCE = (
    errors.AuthenticationError,
    errors.PermissionDeniedError,
    errors.ConfigurationError,
)

Suspect = tuple[Sequence[Write], NovuError]
"""The writes of a request that failed: several where one reads all of a subscriber back."""

Integration = tuple[str, str]
"""A provider id, and the identifier of an integration or ""."""


OUTAGE_PAUSE_SECONDS = 2.0


@define
class StopRule:
    """Holds back failures that may be the whole job's, until that is known.

    A refused key stops the job at once, and so does a server that asks to wait for more than
    `patience` seconds. One that never answered does so after `stop_after` failures in a row. A
    server that did answer before may be silent for `patience` seconds, as while it is restarted.
    What is held back when the job stops is not failed: it waits for the next run. A write that was
    begun after a failure and is answered shows that the failure was its row's own: it is handed out
    then.

    An integration that is not there, as often in a row, is `refused`, with the error: nothing more
    is to be sent to it, and its failures are not handed out. Where a success shows that it is there
    after all, `recovered` is set: what failed or was not sent meanwhile can be sent. `now` is in
    seconds, of any clock that does not jump.
    """

    stop_after: int
    patience: float = 0.0
    cause: NovuError | None = None
    refused: dict[Integration, NovuError] = field(factory=dict, init=False)
    recovered: bool = field(default=False, init=False)
    _missed: dict[Integration, list[Suspect]] = field(factory=dict, init=False)
    _unanswered: list[tuple[int, Suspect]] = field(factory=list, init=False)
    _silent_in_a_row: int = field(default=0, init=False)
    _failures: int = field(default=0, init=False)
    _answered: bool = field(default=False, init=False)
    _silent_since: float = field(default=0.0, init=False)

    @property
    def explanation(self) -> str:
        """What `cause` says, and which integration it is about: the API names the provider only."""
        if self.cause is None:
            return ""
        for (provider_id, identifier), error in self.refused.items():
            if error is self.cause:
                named = f", integration_identifier {identifier}" if identifier else ""
                return f"{error.message} (provider_id {provider_id}{named})"
        if (seconds := _asked(self.cause)) > self.patience:
            return f"the server asks to wait for {seconds:.0f} s"
        return self.cause.message

    def begin(self) -> int:
        """Return a mark of this moment, for a write that is begun now."""
        return self._failures

    @property
    def is_outage(self) -> bool:
        """Whether the server is silent, so that it is better to wait before the next write."""
        return self._silent_in_a_row >= self.stop_after

    def succeeded(self, write: Write, begun: int) -> list[Suspect]:
        """Take in a success; return the failures that turn out to be their rows' own."""
        if not self._failures:
            self._answered = True  # nearly always, and nothing is held back then
            return []
        integration = integration_of(write)
        if self._missed.pop(integration, None) or self.refused.pop(integration, None):
            self.recovered = True
        return self._take_answer(begun)

    def failed(
        self, writes: Sequence[Write], error: NovuError, begun: int, now: float
    ) -> list[Suspect]:
        """Take in a failure; return those that are their rows' own. May set `cause`."""
        self._failures += 1
        if isinstance(error, _AT_ONCE) or _asked(error) > self.patience:
            self.cause = self.cause or error
            return []
        if is_silence(error):
            self._take_silence(writes, error, now)
            return []
        own = self._take_answer(begun)
        if not isinstance(error, errors.IntegrationNotFoundError):
            return [*own, (writes, error)]
        integration = integration_of(writes[0])  # only single writes end so
        if integration not in self.refused:
            missed = self._missed.setdefault(integration, [])
            missed.append((writes, error))
            if len(missed) >= self.stop_after:
                self.refused[integration] = error
                del self._missed[integration]
        return own

    def _take_silence(self, writes: Sequence[Write], error: NovuError, now: float) -> None:
        self._unanswered.append((self._failures, (writes, error)))
        self._silent_in_a_row += 1
        if self._silent_in_a_row == 1:
            self._silent_since = now
        is_over = not self._answered or now - self._silent_since >= self.patience
        if self.is_outage and is_over:
            self.cause = self.cause or error

    def _take_answer(self, begun: int) -> list[Suspect]:
        self._answered = True
        self._silent_in_a_row = 0
        held, self._unanswered = self._unanswered, []
        self._unanswered = [one for one in held if one[0] > begun]
        return [suspect for number, suspect in held if number <= begun]

    def finish(self) -> list[Suspect]:
        """Return what is still held back, as the rows' own, where the job was not stopped.

        A job that the server never answered is not finished: `cause` says why.
        """
        if self._unanswered and not self._answered:
            self.cause = self.cause or self._unanswered[-1][1][1]
        if self.cause is not None:
            return []
        own = [suspect for missed in self._missed.values() for suspect in missed]
        own += [suspect for _, suspect in self._unanswered]
        self._missed, self._unanswered = {}, []
        return own


def _asked(error: NovuError) -> float:
    """Return for how many seconds a 429 asks to wait."""
    return (error.retry_after or 0.0) if isinstance(error, errors.RateLimitError) else 0.0


def integration_of(write: Write) -> Integration:
    """Return what a write goes to."""
    return (write.provider_id, write.integration_identifier or "")


def may_be_mistyped(integration: Integration) -> bool:
    """Tell whether rows may have a refused integration wrong, and not only the environment."""
    provider_id, identifier = integration
    return identifier != "" or not is_known(provider_id)
