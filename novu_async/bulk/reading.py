"""Reading a source from the event loop without blocking it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import islice

from novu_async.bulk.readers import FileSource, IterableSource, Source
from novu_async.bulk.records import Invalid, Operation, Row
from novu_async.bulk.thread import Thread

_FILE_ROWS = 5000
_ITEMS = 500
"""Items of an iterable are converted in the event loop's thread: few enough to keep it lively."""


async def read_all(
    source: Source, operation: Operation, *, file_rows: int = _FILE_ROWS, items: int = _ITEMS
) -> AsyncGenerator[list[Row | Invalid], None]:
    """Yield the rows of a source in lists; files are read in a thread of their own."""
    if isinstance(source, FileSource):
        rows = source.rows(operation)
        thread = Thread("reader")
        try:
            while some := await thread.run(lambda: list(islice(rows, file_rows))):
                yield some
        finally:
            thread.abandon(rows.close)
    elif isinstance(source, IterableSource):
        source.prepare(operation)
        async with aclosing(source.batches(operation, items)) as batches:
            async for batch in batches:
                yield batch
