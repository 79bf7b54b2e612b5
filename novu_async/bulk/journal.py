# ruff: noqa: S608, the queries are put together from this package's constants only
"""The job file: every row of a job and what became of it, in one SQLite file.

A file that exists is loaded completely. Outcomes are committed in batches (WAL, synchronous=NORMAL:
kill -9 loses the last fraction of a second, a power cut a little more); what was sent and not
recorded is sent again, which changes nothing on the server. Used from one thread.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from novu_async.bulk.loader import (
    APPLICATION_ID,
    COLUMNS,
    DONE,
    DUPLICATE,
    FAILED,
    FORMAT_VERSION,
    VERIFIED,
    WAITING,
    explained,
)
from novu_async.bulk.lock import lock_of
from novu_async.bulk.plan import Reason, Stored
from novu_async.bulk.reasons import Failure
from novu_async.bulk.records import Invalid, Row
from novu_async.bulk.report import Outcome, Report, Status
from novu_async.bulk.stops import Integration
from novu_async.errors import ConfigurationError

_SENT_COLUMNS = COLUMNS.replace("extra", "NULL")
"""What is sent: columns that are not ours may be long, and only failures need them."""

_GOES_TO_ONE_OF = (
    "(provider_id, integration_identifier) IN "
    "(SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?))"
)
_MAKE_SETTLED = """
CREATE TEMP VIEW settled (state, reason, detail, retryable, row_ids, totals) AS
  SELECT NULL, NULL, NULL, NULL, NULL, NULL WHERE false;
CREATE TEMP TRIGGER settle INSTEAD OF INSERT ON settled BEGIN
  UPDATE rows SET state = NEW.state, reason = NEW.reason, detail = NEW.detail,
    retryable = NEW.retryable WHERE id IN (SELECT value FROM json_each(NEW.row_ids));
  INSERT OR REPLACE INTO meta SELECT key, value FROM json_each(NEW.totals);
END;
"""
_SETTLE = "INSERT INTO settled SELECT {} FROM json_each(?)".format(
    ", ".join(f"json_extract(value, '$[{n}]')" for n in range(6))
)
_MAX_REASONS = 20
_OTHERS = "other reasons"
_EXAMPLES = 3
_STATUS: dict[int, Status] = {
    DONE: "done",
    VERIFIED: "done",
    FAILED: "failed",
    DUPLICATE: "duplicate",
}


Settled = dict[tuple[int, Failure | None], list[int]]
"""The ids of rows by what became of them: their state, and why they failed."""


class FailedRow(NamedTuple):
    """A row for the failures file."""

    row: Row | Invalid
    failure: Failure


class Journal:
    """An existing job file."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        with explained(path):
            self._db = _connect(path, read_only=read_only)
            try:
                self.meta = self._read_meta()
            except BaseException:
                self._db.close()
                raise

    def _read_meta(self) -> dict[str, Any]:
        meta = {name: json.loads(value) for name, value in self._db.execute("SELECT * FROM meta")}
        if "fingerprint" not in meta:
            raise sqlite3.DatabaseError("it is incomplete")
        return meta

    def check(self) -> None:
        """Raise ConfigurationError where the file is damaged."""
        with explained(self.path):
            found = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(found)
            invalid = self._db.execute("SELECT count(*) FROM invalid").fetchone()[0]
            if sum(self.counts().values()) + invalid != self.meta["rows"]:
                raise sqlite3.DatabaseError("rows are missing from it")

    def read(
        self, state: int, after_id: int, limit: int, without: Sequence[Integration] = ()
    ) -> list[Stored]:
        """Return the next rows in a state, in the order in which they are sent.

        - `without`: leave out the rows that go to these.
        """
        others = f"AND NOT {_GOES_TO_ONE_OF}" if without else ""
        values = (json.dumps(without),) if without else ()
        with explained(self.path):
            # all in one text, because each row of a result hands the interpreter's lock to and fro
            (page,) = self._db.execute(
                f"SELECT json_group_array(json_array(id, {_SENT_COLUMNS})) FROM "
                f"(SELECT * FROM rows WHERE id > ? AND state = ? {others} ORDER BY id LIMIT ?)",
                (after_id, state, *values, limit),
            ).fetchone()
        return [Stored(row[0], Row._make(row[1:])) for row in sorted(json.loads(page))]

    def integrations(self, state: int) -> set[Integration]:
        """Return all that rows in a state go to."""
        sql = "SELECT DISTINCT provider_id, integration_identifier FROM rows WHERE state = ?"
        return set(self.query(sql, state))

    def record(self, settled: Settled, **totals: float) -> None:
        """Commit what became of some rows, and add to the totals of the job.

        In one statement: each one hands the interpreter's lock to and fro, and waits for the event
        loop to give it back.
        """
        meta = {name: self.meta.get(name, 0) + more for name, more in totals.items()}
        changes: list[list[Any]] = [[None, None, None, None, [], meta]]
        changes += ([state, *_told(why), row_ids, {}] for (state, why), row_ids in settled.items())
        with explained(self.path):
            self._db.execute(_SETTLE, (json.dumps(changes),))
        self.meta |= meta

    def counts(self) -> dict[int, int]:
        """Return how many rows are in each state."""
        found = self.query("SELECT state, count(*) FROM rows GROUP BY state")
        return dict.fromkeys((WAITING, DONE, FAILED, DUPLICATE, VERIFIED), 0) | dict(found)

    def report(self, **more: Any) -> Report:
        """Return what the job did so far."""
        with explained(self.path):
            counts, meta = self.counts(), self.meta
            return Report(
                operation=meta["operation"],
                rows=meta["rows"],
                done=counts[DONE] + counts[VERIFIED],
                failed=counts[FAILED],
                waiting=counts[WAITING],
                invalid=meta["invalid"],
                duplicates=counts[DUPLICATE],
                verified=counts[VERIFIED],
                subscribers=meta["subscribers"],
                writes=meta["writes"],
                requests=meta.get("requests", 0),
                seconds=meta.get("seconds", 0.0),
                failures=tuple(self._reasons("rows", f"state = {FAILED}")),
                invalid_reasons=tuple(self._reasons("invalid", "true")),
                other_keys=meta.get("other_keys", 0),
                server_url=meta.get("server_url", ""),
                source=meta.get("source", ""),
                **more,
            )

    def _reasons(self, table: str, condition: str) -> Iterator[Reason]:
        retryable = "max(retryable)" if table == "rows" else "0"
        found = self._db.execute(
            f"SELECT reason, count(*) AS rows, {retryable} FROM {table} WHERE {condition} "
            f"GROUP BY reason ORDER BY rows DESC, reason LIMIT {_MAX_REASONS}"
        ).fetchall()
        for reason, rows, can_help in found:
            lines = self._lines(table, f"{condition} AND reason = ?", reason)
            yield Reason(reason, rows, lines, bool(can_help))
        if len(found) == _MAX_REASONS:
            named = json.dumps([reason for reason, _, _ in found])
            other = f"{condition} AND reason NOT IN (SELECT value FROM json_each(?))"
            sql = f"SELECT count(*), {retryable} FROM {table} WHERE {other}"
            ((rows, can_help),) = self.query(sql, named)
            if rows:
                yield Reason(_OTHERS, rows, self._lines(table, other, named), bool(can_help))

    def _lines(self, table: str, condition: str, value: str) -> tuple[int, ...]:
        sql = f"SELECT line FROM {table} WHERE {condition} ORDER BY line LIMIT {_EXAMPLES}"
        return tuple(line for (line,) in self.query(sql, value))

    def failed_rows(self) -> Iterator[FailedRow]:
        """Yield the rows that failed, then those that were invalid, each in the input's order."""
        with explained(self.path):
            found = self._db.execute(
                f"SELECT {COLUMNS}, reason, detail, retryable FROM rows WHERE state = {FAILED} "
                "ORDER BY line"
            )
            for row in found:
                yield FailedRow(Row._make(row[:8]), Failure(row[8], row[9], bool(row[10])))
            for line, reason, values in self._invalid():
                yield FailedRow(Invalid(line, reason, values), Failure(reason))

    def outcomes(self) -> Iterator[Outcome]:
        """Yield what became of every row that is dealt with, in no particular order."""
        with explained(self.path):
            found = self._db.execute(
                f"SELECT {COLUMNS}, state, reason, detail, retryable FROM rows "
                f"WHERE state != {WAITING} ORDER BY id"
            )
            for row in found:
                record = Row._make(row[:8]).record
                reason, detail, retryable = row[9:]
                yield Outcome(
                    _STATUS[row[8]], record, row[0], reason or "", detail or "", bool(retryable)
                )
            for line, reason, _ in self._invalid():
                yield Outcome("invalid", None, line, reason)

    def _invalid(self) -> sqlite3.Cursor:
        return self._db.execute("SELECT line, reason, fields FROM invalid ORDER BY id")

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a query on the rows."""
        with explained(self.path):
            return self._db.execute(sql, values).fetchall()

    def interrupt(self) -> None:
        """Break off what is under way; unlike all others this may be called from any thread."""
        self._db.interrupt()

    def close(self) -> None:
        """Close the file; its write-ahead log is folded in."""
        self._db.close()


def _told(failure: Failure | None) -> tuple[str | None, str | None, bool | None]:
    if failure is None:
        return None, None, None
    return failure.reason, failure.detail, failure.retryable


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    if not os.path.isfile(path):  # unlike pathlib's, it raises for no path
        raise ConfigurationError(f"the job file {path} does not exist")
    mode = _mode_to_read(path) if read_only else "rw"
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=10
    )
    try:
        _check_version(db, path)
        if not read_only:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.executescript(_MAKE_SETTLED)
        db.execute("PRAGMA cache_size = -4096")
    except BaseException:
        db.close()
        raise
    return db


def _mode_to_read(path: Path) -> str:
    """Return how to open a file for reading: where nothing writes to it, nothing is made beside it.

    Raises ConfigurationError where SQLite would have to make a file and cannot.
    """
    real = os.path.realpath(path)
    log, index = f"{real}-wal", f"{real}-shm"
    is_logged = os.path.exists(log) and os.path.getsize(log) > 0
    if not is_logged and not lock_of(path).exists():
        return "ro&immutable=1"
    if not os.path.exists(index) and not os.access(os.path.dirname(real), os.W_OK):
        raise ConfigurationError(
            f"the job file {path} cannot be read: a run goes on or was cut off, and its folder "
            "must be writable until it is finished"
        )
    return "ro"


def _check_version(db: sqlite3.Connection, path: Path) -> None:
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise sqlite3.DatabaseError("it was not made by a bulk job")
    if db.execute("PRAGMA user_version").fetchone()[0] != FORMAT_VERSION:
        raise ConfigurationError(
            f"the job file {path} was made by another version of novu-async: go on with that one, "
            f"or delete or rename {path}; a new job sends everything once more and does no harm"
        )
