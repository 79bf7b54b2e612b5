# ruff: noqa: S608, the queries are put together from this package's constants only
"""Loading: the whole input into a new job file, merged and complete before anything is sent.

Rows are put into a temporary table as they come, sorted by SQLite (outside of memory), and copied
to the job file so that the rows of one write stand together. The file gets its name last: a job
file that exists is complete.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Any

from novu_async._clock import Clock
from novu_async.bulk.plan import (
    channel_key,
    count_requests,
    count_writes,
    mark_duplicates,
    overwrites,
)
from novu_async.bulk.reasons import UNNAMED
from novu_async.bulk.records import Invalid, Operation, Row
from novu_async.errors import ConfigurationError

APPLICATION_ID = 0x4E6F7675  # "Novu", so that a file says what it is
FORMAT_VERSION = 1

WAITING, DONE, FAILED, DUPLICATE, VERIFIED = range(5)

_COLUMNS = """
  line INTEGER NOT NULL, subscriber_id TEXT NOT NULL, provider_id TEXT NOT NULL,
  integration_identifier TEXT NOT NULL, token TEXT, webhook_url TEXT, channel TEXT, extra TEXT"""

_SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT_VERSION};
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE rows (id INTEGER PRIMARY KEY, {_COLUMNS},
  state INTEGER NOT NULL, reason TEXT, detail TEXT, retryable INTEGER);
CREATE TABLE invalid (id INTEGER PRIMARY KEY, line INTEGER NOT NULL, reason TEXT NOT NULL,
  fields TEXT);
CREATE INDEX failed_rows ON rows (reason, line) WHERE state = {FAILED};
CREATE TEMP TABLE loaded (id INTEGER PRIMARY KEY, {_COLUMNS});
"""
COLUMNS = (
    "line, subscriber_id, provider_id, integration_identifier, token, webhook_url, channel, extra"
)
_SORT_KIBIBYTES = 8192
_CACHE_KIBIBYTES = 1024


def beside(job: Path) -> list[Path]:
    """Return the files that SQLite makes and removes beside a job file, which is no link."""
    return [job.with_name(job.name + suffix) for suffix in ("-wal", "-shm", "-journal")]


def part_of(path: Path) -> Path:
    """Return where a file is while it is not complete."""
    return path.with_name(path.name + ".part")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite says about a job file into an error that says what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise ConfigurationError(
            f"the job file {path} cannot be used: {error}; put that right (free space, rights), "
            "then run the same command again"
        ) from error
    except sqlite3.DatabaseError as error:
        raise ConfigurationError(
            f"{path} is damaged, or not a job file: {error}; if it is the job's, delete it and run "
            "the same command again, which sends everything once more and does no harm"
        ) from error


class Fingerprint:
    """What tells one input from another, whatever the order of its rows."""

    def __init__(self) -> None:
        self._sum = 0
        self.rows = 0

    def add(self, rows: Iterable[Row | Invalid]) -> None:
        """Take in some rows."""
        for row in rows:
            text = row.values or "" if isinstance(row, Invalid) else "\0".join(map(str, row[1:7]))
            digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
            self._sum += int.from_bytes(digest, "big")
            self.rows += 1

    def __str__(self) -> str:
        return f"{self.rows}-{self._sum % 2**128:032x}"


class Totals:
    """Counts that are known once the input is merged."""

    def __init__(self, operation: Operation) -> None:
        self.subscribers = self.writes = self.planned_requests = self.tokens = self.duplicates = 0
        self._operation = operation
        self._last_subscriber: str | None = None
        self._is_read = False

    def add(self, key: tuple[str, str, str], rows: int, webhooks: int, token_bytes: int) -> None:
        """Take in what of one channel is to be sent: rows without a webhook URL, and with one."""
        if key[0] != self._last_subscriber:
            self.subscribers += 1
            self._last_subscriber = key[0]
            self._is_read = False
        token_writes = count_writes(rows, self._operation)
        writes = webhooks + token_writes
        self.writes += writes
        if self._operation == "verify":
            self._plan_reading(token_writes if key[2] else 0, writes)
        else:
            self.planned_requests += count_requests(writes, token_bytes, self._operation)
        self.tokens += rows if token_bytes else 0

    def _plan_reading(self, alone: int, writes: int) -> None:
        """Plan a request for each write that is read alone, and one for the others together."""
        self.planned_requests += alone
        if writes > alone and not self._is_read:
            self.planned_requests += 1
            self._is_read = True


class Loader:
    """A job file in the making; used from one thread."""

    def __init__(self, path: Path, operation: Operation) -> None:
        self._path = path
        self._part = part_of(path)
        self._operation = operation
        self.fingerprint = Fingerprint()
        self.totals = Totals(operation)
        self.invalid = 0
        self._began = Clock.monotonic()
        self._connection: sqlite3.Connection | None = None

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._create()
        return self._connection

    def _create(self) -> sqlite3.Connection:
        self._part.unlink(missing_ok=True)
        os.close(os.open(self._part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        db = sqlite3.connect(self._part, isolation_level=None)
        db.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE;"
            f"PRAGMA main.cache_size = -{_SORT_KIBIBYTES};"
            f"PRAGMA temp.cache_size = -{_CACHE_KIBIBYTES};" + _SCHEMA
        )
        db.execute("BEGIN")
        return db

    def add(self, rows: list[Row | Invalid]) -> None:
        """Take in some rows, in the order of the input."""
        self.fingerprint.add(rows)
        with explained(self._path):
            self._insert(rows)

    def _insert(self, rows: list[Row | Invalid]) -> None:
        invalid = [row for row in rows if isinstance(row, Invalid)]
        self.invalid += len(invalid)
        self._db.executemany(
            f"INSERT INTO temp.loaded ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            rows if not invalid else [row for row in rows if isinstance(row, Row)],
        )
        if invalid:
            self._db.executemany(
                "INSERT INTO invalid (line, reason, fields) VALUES (?, ?, ?)", invalid
            )

    def finish(self, meta: Mapping[str, Any]) -> None:
        """Merge what was taken in, and give the job file its name."""
        with explained(self._path):
            self._merge(meta)
        _sync(self._part)
        for stale in beside(self._path):  # a log of a job that was deleted would be replayed
            stale.unlink(missing_ok=True)
        os.replace(self._part, self._path)
        _sync(self._path.parent)

    def _merge(self, meta: Mapping[str, Any]) -> None:
        self._db.executemany(
            f"INSERT INTO rows ({COLUMNS}, state, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            self._merged(),
        )
        facts = {
            **meta,
            "operation": self._operation,
            "fingerprint": str(self.fingerprint),
            "rows": self.fingerprint.rows,
            "invalid": self.invalid,
            "seconds": Clock.monotonic() - self._began,
            **{name: getattr(self.totals, name) for name in _TOTALS},
        }
        self._db.executemany(
            "INSERT INTO meta VALUES (?, ?)",
            [(name, json.dumps(value)) for name, value in facts.items()],
        )
        self._db.execute("COMMIT")
        self._db.close()

    def _merged(self) -> Iterator[tuple[Any, ...]]:
        cursor = self._db.execute(
            f"SELECT {COLUMNS} FROM temp.loaded ORDER BY subscriber_id, provider_id, "
            "integration_identifier DESC, webhook_url IS NULL, id"
        )
        named: tuple[str, str] | None = None  # the descending order has rows that name one first
        for key, rows in groupby(map(Row._make, cursor), key=channel_key):
            plain = webhooks = token_bytes = 0
            named = key[:2] if key[2] else named
            is_ambiguous = not key[2] and key[:2] == named
            for row, reason in mark_duplicates(rows):
                if reason:
                    self.totals.duplicates += 1
                    yield (*row, DUPLICATE, reason)
                elif is_ambiguous and overwrites(row, self._operation):
                    yield (*row, FAILED, UNNAMED)
                else:
                    webhooks += row.webhook_url is not None
                    plain += row.webhook_url is None
                    token_bytes += len((row.token or "").encode())
                    yield (*row, WAITING, None)
            self.totals.add(key, plain, webhooks, token_bytes)

    def interrupt(self) -> None:
        """Break off what is under way; unlike all others this may be called from any thread."""
        if self._connection is not None:
            with suppress(sqlite3.ProgrammingError):  # it is closed
                self._connection.interrupt()

    def discard(self) -> None:
        """Give up; nothing is left behind."""
        if self._connection is not None:
            self._connection.close()
        self._part.unlink(missing_ok=True)


_TOTALS = ("subscribers", "writes", "planned_requests", "tokens", "duplicates")


def _sync(path: Path) -> None:
    with suppress(OSError):  # a folder cannot be opened on Windows
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
