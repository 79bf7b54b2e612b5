"""What a job tells: an Outcome per row, Progress while it runs, a Report at its end."""

from typing import Any, Literal

from attrs import field, frozen

from novu_async.bulk.plan import Reason
from novu_async.bulk.records import DeviceToken, Operation, WebhookUrl

Status = Literal["done", "duplicate", "failed", "invalid"]
Phase = Literal["reading", "merging", "sending", "verifying"]


@frozen
class Outcome:
    """What became of one row.

    - `status`: "done" (the API acknowledged it, and for tokens the answer held it), "duplicate"
      (another row says the same, or replaces it), "failed", or "invalid" (never sent).
    - `record`: the row; None where it could not be read.
    - `line`: the line of the file or the item of the iterable, from 1.
    - `reason`: one of few phrases; `detail`: what was said this time; "" where it is done.
    - `retryable`: whether the same row can succeed later.
    """

    status: Status
    record: DeviceToken | WebhookUrl | None
    line: int
    reason: str = ""
    detail: str = ""
    retryable: bool = False

    @property
    def ok(self) -> bool:
        """Whether nothing is left to do for the row; for a duplicate, the other row's outcome says
        more."""
        return self.status in ("done", "duplicate")


@frozen
class Progress:
    """How far a job has come, over all its runs; given to the `progress` callback.

    - `phase`: "reading" and "merging" come before the first request. `rows` grows while reading.
    - `done`, `failed`, `waiting`: rows; with `invalid` and `duplicates` they add up to `rows`.
      While verifying, `done` counts the rows that were read back.
    - `writes`: merged writes of the whole job; `requests`: sent so far.
    - `seconds`: of this run. `rate`: requests a second, lately. `seconds_left`: None while unknown.
    - `rate_limit`: the server's limit as the client knows it. `stopped_for`: seconds until it may
      be asked again after a 429, or 0.
    """

    phase: Phase
    rows: int = 0
    invalid: int = 0
    duplicates: int = 0
    done: int = 0
    failed: int = 0
    waiting: int = 0
    writes: int = 0
    requests: int = 0
    seconds: float = 0.0
    rate: float = 0.0
    seconds_left: float | None = None
    rate_limit: Any = None
    stopped_for: float = 0.0


@frozen
class Report:
    """What a job did, over all its runs.

    - `rows` = `done` + `failed` + `waiting` + `invalid` + `duplicates`.
    - `done`: rows that are as asked for: stored, removed, deleted, or (verify) read back.
    - `waiting`: rows not dealt with; none unless the job was stopped. Running it again goes on.
    - `verified`: rows that were read back, where that was asked for.
    - `writes`: what the rows were merged into; `requests`: what was sent, attempts included.
    - `failures`, `invalid_reasons`: by reason, most frequent first, with the first lines; what is
      beyond 20 of them stands last, as "other reasons".
    - `seconds`: of all runs together. `resumed`: an earlier run had begun the job.
    - `other_keys`: runs with another API key than the first; where that is for another environment,
      what is done is done in one of them only.
    - `job`, `failures_path`: the files, or None.
    """

    operation: Operation
    rows: int = 0
    done: int = 0
    failed: int = 0
    waiting: int = 0
    invalid: int = 0
    duplicates: int = 0
    verified: int = 0
    subscribers: int = 0
    writes: int = 0
    requests: int = 0
    seconds: float = 0.0
    failures: tuple[Reason, ...] = ()
    invalid_reasons: tuple[Reason, ...] = ()
    resumed: bool = False
    other_keys: int = 0
    job: str | None = None
    failures_path: str | None = None
    server_url: str = field(default="", repr=False)
    source: str = field(default="", repr=False)

    @property
    def ok(self) -> bool:
        """Whether every row is as asked for: none invalid, failed or waiting."""
        return not (self.failed or self.waiting or self.invalid)
