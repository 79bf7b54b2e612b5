"""When a failure is the whole job's and not the row's: pure bookkeeping."""

from collections import Counter

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


OUTAGE_PAUSE_SECONDS = 2.0


@define
class StopRule:
    """Holds back failures that may be the whole job's, until that is known.

    A refused key stops the job at once. So does a provider without integration, or a server that
    never answered, after `stop_after` failures with no success in between. A server that did answer
    before may be silent for `patience` seconds, as while it is restarted.

    What is held back when the job stops is not failed: it waits for the next run. A write that was
    begun after a failure and is answered shows that the failure was its row's own: it is handed out
    then. `now` is in seconds, of any clock that does not jump.
    """

    stop_after: int
    patience: float = 0.0
    cause: NovuError | None = None
    _held: dict[Subject, list[tuple[int, Suspect]]] = field(factory=dict, init=False)
    _in_a_row: Counter[Subject] = field(factory=Counter, init=False)
    _proven: set[Subject] = field(factory=set, init=False)
    _failures: int = field(default=0, init=False)
    _answered: bool = field(default=False, init=False)
    _silent_since: float = field(default=0.0, init=False)

    def begin(self) -> int:
        """Return a mark of this moment, for a write that is begun now."""
        return self._failures

    @property
    def is_outage(self) -> bool:
        """Whether the server is silent, so that it is better to wait before the next write."""
        return self._in_a_row[_SERVER] >= self.stop_after

    def succeeded(self, write: Write, begun: int) -> list[Suspect]:
        """Take in a success; return the failures that turn out to be their rows' own."""
        self._proven |= {_integration_of(write), _provider_of(write)}
        if not self._failures:
            self._answered = True  # nearly always, and nothing is held back then
            return []
        return self._take_answer(begun) + self._release_proven()

    def _release_proven(self) -> list[Suspect]:
        known = [subject for subject in self._held if self._is_proven(subject)]
        return [suspect for subject in known for _, suspect in self._held.pop(subject)]

    def _is_proven(self, subject: Subject) -> bool:
        """Tell whether the provider works, so that "no integration" is the row's own.

        Without an identifier only a success without one shows that: the named ones may be the only
        active ones. An identifier is mistyped where anything of its provider works.
        """
        return subject in self._proven or (
            subject != _SERVER and subject[2] != "" and ("provider", subject[1]) in self._proven
        )

    def failed(self, write: Write, error: NovuError, begun: int, now: float) -> list[Suspect]:
        """Take in a failure; return those that are their rows' own. May set `cause`."""
        self._failures += 1
        if isinstance(error, _AT_ONCE):
            self.cause = self.cause or error
            return []
        subject = _subject_of(write, error)
        own = [] if subject == _SERVER else self._take_answer(begun)
        if subject is None or self._is_proven(subject):
            return [*own, (write, error)]
        self._held.setdefault(subject, []).append((self._failures, (write, error)))
        self._in_a_row[subject] += 1
        if self._is_enough(subject, now):
            self.cause = self.cause or error
        return own

    def _is_enough(self, subject: Subject, now: float) -> bool:
        if self._in_a_row[subject] == 1 and subject == _SERVER:
            self._silent_since = now
        if self._in_a_row[subject] < self.stop_after:
            return False
        is_patient = subject == _SERVER and self._answered
        return not is_patient or now - self._silent_since >= self.patience

    def finish(self) -> list[Suspect]:
        """Return what is still held back, as the rows' own, where the job was not stopped.

        A job that the server never answered is not finished: `cause` says why.
        """
        silent = self._held.get(_SERVER, [])
        if silent and not self._answered:
            self.cause = self.cause or silent[-1][1][1]
        if self.cause is not None:
            return []
        held, self._held = self._held, {}
        return [suspect for suspects in held.values() for _, suspect in suspects]

    def _take_answer(self, begun: int) -> list[Suspect]:
        self._answered = True
        self._in_a_row[_SERVER] = 0
        held = self._held.pop(_SERVER, [])
        self._held[_SERVER] = [one for one in held if one[0] > begun]
        return [suspect for number, suspect in held if number <= begun]


def is_silence(error: NovuError) -> bool:
    """Tell whether an error says nothing about its row: no answer, or none that is one."""
    return isinstance(error, _SILENT)


def _subject_of(write: Write, error: NovuError) -> Subject | None:
    if is_silence(error):
        return _SERVER
    if isinstance(error, errors.IntegrationNotFoundError):
        return _integration_of(write)
    return None


def _provider_of(write: Write) -> Subject:
    return ("provider", write.provider_id)


def _integration_of(write: Write) -> Subject:
    return ("integration", write.provider_id, write.integration_identifier or "")
