"""Bulk jobs, records in and outcomes out, for blocking code: see `novu_async.bulk`."""

from collections.abc import Collection, Iterable
from copy import copy
from typing import Any

from novu_async import bulk as awaited
from novu_async.bulk import (
    DeviceToken,
    DryRun,
    Outcome,
    Progress,
    Reason,
    Report,
    WebhookUrl,
    read_csv,
    read_file,
    read_job,
    read_jsonl,
    read_outcomes,
    read_rows,
    read_select,
)
from novu_async.bulk.readers import IterableSource, as_source, fetch_all
from novu_sync._blocking import Resource, blocking, blocking_function, blocking_iterator
from novu_sync._calls import Feed

__all__ = [
    "Bulk",
    "DeviceToken",
    "DryRun",
    "Outcome",
    "Progress",
    "Reason",
    "Report",
    "WebhookUrl",
    "plan",
    "read_csv",
    "read_file",
    "read_job",
    "read_jsonl",
    "read_outcomes",
    "read_rows",
    "read_select",
]


def read_here(records: Any, at_once: int) -> tuple[Any, Feed[Any] | None]:
    """Have an iterable or a cursor read in the caller's thread, to which it may belong."""
    source = None if records is None else as_source(records)
    if not isinstance(source, IterableSource):
        return source, None
    cursor: Any = source.items
    is_iterable = isinstance(cursor, Iterable)  # Django's querysets are both, for either world
    if isinstance(cursor, Collection) or (source.is_async and not is_iterable):
        return source, None
    rows = cursor if is_iterable else fetch_all(cursor, at_once)
    source = copy(source)
    feed = source.items = Feed(map(source.keep, rows), at_once)
    return source, feed


class Bulk(Resource):
    __doc__ = awaited.Bulk.__doc__

    register = blocking(awaited.Bulk.register, read=read_here)
    stream = blocking_iterator(awaited.Bulk.stream, read=read_here)
    verify = blocking(awaited.Bulk.verify, read=read_here)
    plan = blocking(awaited.Bulk.plan, read=read_here)


plan = blocking_function(awaited.plan, read=read_here)
