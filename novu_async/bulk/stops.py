"""When a failure is the whole job's and not the row's: pure bookkeeping."""

from attrs import define, field

from novu_async import errors
from novu_async.bulk.plan import Write
from novu_async.errors import NovuError

_AT_ONCE = (
    errors.AuthenticationError,
    errors.PermissionDeniedError,
    errors.ConfigurationError,
)
_SILENT = (errors.APIConnectionError, errors.ServerError, errors.RateLimitError)

_SERVER = ("server",)

Suspect = tuple[Write, NovuError]
Subject = tuple[str, ...]


@define
class StopRule:
    """Holds back failures that may be the whole job's, until that is known.

    A refused key stops the job at once; a server that is gone, or a provider without integration,
    after `stop_after` failures with no success in between. What was held back then is not failed:
    it waits for the next run. Where a success shows that the job can go on, it is handed out as
    failed.
    """

    stop_after: int
    cause: NovuError | None = None
    _held: dict[Subject, list[Suspect]] = field(factory=dict, init=False)
    _proven: set[Subject] = field(factory=set, init=False)
    _answered: bool = field(default=False, init=False)

    def succeeded(self, write: Write) -> list[Suspect]:
        """Take in a success; return the failures that turn out to be their rows' own."""
        self._proven.add(_integration_of(write))
        return self._clear_server() + self._held.pop(_integration_of(write), [])

    def failed(self, write: Write, error: NovuError) -> list[Suspect]:
        """Take in a failure; return those that are their rows' own. May set `cause`."""
        if isinstance(error, _AT_ONCE):
            self.cause = self.cause or error
            return []
        subject = _subject_of(write, error)
        own = [] if subject == _SERVER else self._clear_server()
        if subject is None or subject in self._proven:
            return [*own, (write, error)]
        held = self._held.setdefault(subject, [])
        held.append((write, error))
        if len(held) >= self.stop_after:
            self.cause = self.cause or error
        return own

    def finish(self) -> list[Suspect]:
        """Return what is still held back, as failed, at the end of a job that was not stopped.

        A job that the server never answered is not finished: `cause` says why.
        """
        silent = self._held.get(_SERVER, [])
        if silent and not self._answered:
            self.cause = self.cause or silent[-1][1]
        if self.cause is not None:
            return []
        return [suspect for held in self._held.values() for suspect in held]

    def _clear_server(self) -> list[Suspect]:
        self._answered = True
        return self._held.pop(_SERVER, [])


def _subject_of(write: Write, error: NovuError) -> Subject | None:
    if isinstance(error, _SILENT):
        return _SERVER
    if isinstance(error, errors.IntegrationNotFoundError):
        return _integration_of(write)
    return None


def _integration_of(write: Write) -> Subject:
    return ("integration", write.provider_id, write.integration_identifier or "")
