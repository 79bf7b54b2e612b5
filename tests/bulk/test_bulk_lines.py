"""Splitting bytes into lines."""

import io
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novu_async.bulk import lines as lines_module
from novu_async.bulk.lines import MAX_LINE_BYTES, Line, Lines


def reader_of(blocks: list[bytes]) -> Callable[[int], bytes]:
    """Return a read function that gives the blocks as they are."""
    waiting = [block for block in blocks if block]
    return lambda size: waiting.pop(0) if waiting else b""


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"\x0b\x1c", b"a", b"bcd"])))
def test_any_blocks_give_the_lines_of_the_whole(blocks: list[bytes]) -> None:
    """Where a block ends makes no difference, whatever the line ends are."""
    texts = [line.text.encode() for line in Lines(reader_of(blocks))]
    assert texts == b"".join(blocks).splitlines()


@given(
    st.lists(st.integers(0, 40).map(lambda size: b"x" * size)),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.integers(1, 30),
)
def test_a_line_that_is_too_long_costs_itself_only(
    contents: list[bytes], end: bytes, block: int
) -> None:
    """Every line above the limit is told as such; the others come whole."""
    limit, lines_module.MAX_LINE_BYTES = lines_module.MAX_LINE_BYTES, 20
    try:
        data = b"".join(content + end for content in contents)
        stream = io.BytesIO(data)
        found = list(Lines(lambda _: stream.read(block)))
    finally:
        lines_module.MAX_LINE_BYTES = limit
    # the end of a line counts where it stands in the same block
    for content, line in zip(contents, found, strict=True):
        if len(content) > 20:
            assert line.problem
        elif len(content) + len(end) <= 20:
            assert (line.text.encode(), line.problem) == (content, "")


def test_a_hundred_megabytes_without_an_end_are_not_kept() -> None:
    """One endless line is passed over in constant memory, and the next line is read."""
    blocks = [b"x" * 65536] * 1600 + [b"\nnext\n"]
    pieces = iter(blocks)
    found = list(Lines(lambda _: next(pieces, b"")))
    assert found == [Line(1, "", f"longer than {MAX_LINE_BYTES} bytes"), Line(2, "next")]


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"a\0b", "has a NUL byte"), (b"caf\xe9", "not UTF-8"), (b"\xed\xa0\x80", "not UTF-8")],
)
def test_an_unreadable_line_says_why(content: bytes, problem: str) -> None:
    """The lines around an unreadable one are read."""
    stream = io.BytesIO(b"before\n" + content + b"\nafter")
    assert list(Lines(stream.read)) == [
        Line(1, "before"),
        Line(2, "", problem),
        Line(3, "after"),
    ]


def test_only_the_byte_order_mark_at_the_start_is_dropped() -> None:
    """A mark elsewhere is part of the text."""
    stream = io.BytesIO(b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n")
    assert [line.text for line in Lines(stream.read)] == ["a", "\ufeffb"]


def test_lines_can_be_pushed_back() -> None:
    """Lines given back come again, in their order, before the others."""
    lines = Lines(io.BytesIO(b"1\n2\n3\n").read)
    first, second = next(lines), next(lines)
    lines.push_back([first, second])
    assert [line.text for line in lines] == ["1", "2", "3"]
