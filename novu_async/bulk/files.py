"""Opening: a path, standard input or an open file as a stream of bytes whose format is known."""

import codecs
import gzip
import locale
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Literal, cast

from attrs import frozen

from novu_async.errors import InvalidRequestError

Kind = Literal["csv", "jsonl", "parquet"]

_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
_UNPACK = {
    b"PK\x03\x04": "a zip archive or a spreadsheet",
    b"BZh": "packed with bzip2",
    b"\xfd7zXZ": "packed with xz",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
    b"SQLite format 3\0": "an SQLite database",
    _GZIP: "packed twice with gzip",  # what is packed once has been unpacked
}
_OTHER_TEXT = {
    b"\xff\xfe\0\0": "UTF-32",  # before UTF-16, whose mark it begins with
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_HEAD_BYTES = 16
_BLANK_BYTES = 1 << 16


@frozen
class Stream:
    """The bytes of a source, unpacked, and what they look like."""

    read: Callable[[int], bytes]
    kind: Any


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Turn what the system says about an unreadable file into one clear error."""
    try:
        yield
    except FileNotFoundError as error:
        raise InvalidRequestError(f"{name} does not exist", "records") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InvalidRequestError(
            f"{name} is gzip that is cut off or damaged: make it again", "records"
        ) from error
    except UnicodeError:  # which has the bytes
        raise InvalidRequestError(
            f"{name} cannot be read as the encoding that it was opened with", "records"
        ) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidRequestError(f"{name} cannot be read: {reason}", "records") from error


@contextmanager
def open_stream(origin: str | os.PathLike[str] | IO[Any], name: str) -> Iterator[Stream]:
    """Open a source, unpack gzip, and tell its format by its first bytes."""
    if isinstance(origin, str | os.PathLike) and origin != "-":
        with open(origin, "rb") as file:
            yield _inspect(_Bytes(file.read1), name)
    else:
        yield _inspect(_Bytes(_reader_of(origin)), name)


class _Bytes:
    """A reader whose first bytes can be looked at; enough of a file for GzipFile."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._head = b""

    def peek(self) -> bytes:
        """Return the first bytes, up to something visible, without taking them."""
        while len(self._head) < _HEAD_BYTES or self._head[:_BLANK_BYTES].isspace():
            more = self._read(_BLANK_BYTES)
            if not more:
                break
            self._head += more
        return self._head

    def read(self, size: int = -1) -> bytes:
        """Return some bytes; none at the end."""
        if self._head:
            size = len(self._head) if size < 0 else size
            taken, self._head = self._head[:size], self._head[size:]
            return taken
        return self._read(size)


def _reader_of(origin: Any) -> Callable[[int], bytes]:
    given: Any = sys.stdin if origin == "-" else origin
    read: Callable[[int], bytes | str] = given.read
    if not _is_text_only(origin):
        file = getattr(given, "buffer", given)
        read = getattr(file, "read1", file.read)

    def read_bytes(size: int, _text: Any = given) -> bytes:
        # a read that waits keeps the text layer: as that goes, it closes the file, whose lock the
        # read holds, and Python aborts where this comes at its end
        found = read(size)
        return found.encode(errors="surrogatepass") if isinstance(found, str) else found

    return read_bytes


def _is_text_only(file: Any) -> bool:
    """Tell whether no bytes below an open text file can stand for it.

    They cannot where it was opened with an encoding of its own, and where it is being iterated;
    otherwise what it has read ahead is given back to them.
    """
    encoding = getattr(file, "encoding", None)
    if not isinstance(encoding, str):
        return False
    defaults = {codecs.lookup(one).name for one in ("utf-8", "ascii", locale.getencoding())}
    # those are used without a thought
    if not hasattr(file, "buffer") or codecs.lookup(encoding).name not in defaults:
        return True
    try:
        return bool(file.seekable() and file.seek(file.tell()) != file.buffer.tell())
    except OSError:
        return True


def _inspect(stream: _Bytes, name: str) -> Stream:
    head = stream.peek()
    if head.startswith(_GZIP):
        stream = _Bytes(gzip.GzipFile(fileobj=cast("IO[bytes]", stream)).read1)
        head = stream.peek()
        if head.startswith(_PARQUET):
            raise InvalidRequestError(
                f"{name} is Parquet packed with gzip: unpack it, for example with gunzip", "records"
            )
    return Stream(stream.read, _kind_of(head, name))


def _kind_of(head: bytes, name: str) -> Kind:
    for magic, description in _UNPACK.items():
        if head.startswith(magic):
            raise InvalidRequestError(
                f"{name} is {description}: unpack or export it to CSV or JSON Lines", "records"
            )
    if head.startswith(_PARQUET):
        return "parquet"
    for mark, encoding in _OTHER_TEXT.items():
        if head.startswith(mark):
            raise InvalidRequestError(
                f"{name} is {encoding}: convert it, for example with iconv -f {encoding} -t UTF-8",
                "records",
            )
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise InvalidRequestError(f"{name} is empty: it needs a header and rows", "records")
    if text.startswith(b"["):
        raise InvalidRequestError(
            f"{name} is one JSON array: write one object per line, for example with jq -c '.[]'",
            "records",
        )
    return "jsonl" if text.startswith(b"{") else "csv"
