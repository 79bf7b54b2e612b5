"""Register the device tokens of a database, as one job that can be run again after a crash.

    NOVU_API_KEY=... python examples/from_database.py devices.db

Any DB-API cursor or SQLAlchemy result will do in place of SQLite's. Of PostgreSQL give a cursor
with a name: it fetches as it goes, and so the rows never have to fit into memory:

    psycopg.connect("dbname=shop").cursor("devices")
"""

import sqlite3
import sys
from contextlib import closing

from novu_sync import Novu
from novu_sync.bulk import read_rows

QUERY = """
    SELECT user_id, push_token, CASE platform WHEN 'ios' THEN 'apns' ELSE 'fcm' END AS provider
    FROM devices WHERE push_token IS NOT NULL
"""
COLUMNS = {"subscriber_id": "user_id", "token": "push_token", "provider_id": "provider"}


def main(path: str) -> None:
    """Read the table `devices`, and write what failed beside the job file."""
    with closing(sqlite3.connect(path)) as database, Novu() as novu:
        report = novu.bulk.register(
            read_rows(database.execute(QUERY), columns=COLUMNS),
            job=f"{path}.job",
            failures=f"{path}.failures.jsonl",
            on_missing_subscriber="create",
        )
    print(f"{report.done} of {report.rows} rows are stored, with {report.requests} requests")
    for reason in report.failures + report.invalid_reasons:
        print(f"{reason.count} x {reason.reason}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/from_database.py DATABASE")
    main(sys.argv[1])
