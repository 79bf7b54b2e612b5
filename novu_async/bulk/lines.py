"""Bytes to numbered lines of text, whatever the bytes: nothing here raises for bad content."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

BLOCK_BYTES = 1 << 18
MAX_LINE_BYTES = 1 << 20
"""A longer line is no row: its bytes are passed over without being kept."""


class Line(NamedTuple):
    """One line without its end; `text` is empty where `problem` says why it cannot be read."""

    number: int
    text: str
    problem: str = ""
    end: bytes = b"\n"


class Lines:
    """The lines of a stream, from 1, with any mixture of LF, CR LF and CR; can be pushed back."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._source = _decode(_split(read))
        self._pushed: deque[Line] = deque()

    def __iter__(self) -> Iterator[Line]:
        return self

    def __next__(self) -> Line:
        return self._pushed.popleft() if self._pushed else next(self._source)

    def push_back(self, lines: list[Line]) -> None:
        """Give lines out once more, in this order, before the others."""
        self._pushed.extendleft(reversed(lines))


def _split(read: Callable[[int], bytes]) -> Iterator[bytes | None]:
    """Yield lines with their ends, and None for one that is longer than `MAX_LINE_BYTES`."""
    pending, too_long = b"", False
    while block := read(BLOCK_BYTES):
        lines = (pending + block).splitlines(keepends=True)
        # A last CR waits for the LF that may follow it in the next block.
        pending = b"" if lines[-1].endswith(b"\n") else lines.pop()
        for line in lines:
            yield None if too_long or len(line) > MAX_LINE_BYTES else line
            too_long = False
        if len(pending) > MAX_LINE_BYTES:
            pending, too_long = (b"\r" if pending.endswith(b"\r") else b""), True
    if too_long:
        yield None
    elif pending:
        yield pending


def _decode(lines: Iterator[bytes | None]) -> Iterator[Line]:
    for number, line in enumerate(lines, 1):
        if line is None:
            yield Line(number, "", f"longer than {MAX_LINE_BYTES} bytes")
        elif b"\0" in line:
            yield Line(number, "", "has a NUL byte")
        else:
            try:
                bare = line.rstrip(b"\r\n")
                text = bare.decode()
                if number == 1:
                    text = text.removeprefix("\ufeff")
                yield Line(number, text, "", line[len(bare) :] or b"\n")
            except UnicodeDecodeError:
                yield Line(number, "", "not UTF-8")
