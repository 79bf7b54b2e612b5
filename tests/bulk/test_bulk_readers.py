"""Reading files: one bad line costs itself only, one bad file is one clear error."""

import contextlib
import csv
import gzip
import io
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from novu_async.bulk import read_csv, read_file, read_jsonl
from novu_async.bulk.readers import FileSource, as_source
from novu_async.bulk.records import Invalid, Row
from novu_async.errors import InvalidRequestError

Write = Callable[..., Path]

HEADER = "subscriber_id,provider_id,token\n"


def rows_of(source: FileSource) -> list[Row | Invalid]:
    """Read all rows for an append."""
    return list(source.rows("append"))


def read_bytes(content: bytes, **options: Any) -> list[Row | Invalid]:
    """Read a file that is open already."""
    return rows_of(read_file(io.BytesIO(content), **options))


def tokens_of(rows: list[Row | Invalid]) -> list[str | None]:
    """Return the tokens of valid rows and None for invalid ones."""
    return [row.token if isinstance(row, Row) else None for row in rows]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "\ufeff", "\n\n", "\ufeff\r\n"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_csv_is_read_whatever_its_dress(
    start: str, end: str, pack: Callable[[bytes], bytes]
) -> None:
    """Byte order mark, line ends, empty lines and gzip make no difference."""
    text = start + f"subscriber_id,provider_id,token{end}u1,fcm,t1{end}{end}u2,apns,t2"
    rows = read_bytes(pack(text.encode()))
    assert [row[1:5] for row in rows] == [("u1", "fcm", "", "t1"), ("u2", "apns", "", "t2")]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_json_lines_are_told_by_their_content(pack: Callable[[bytes], bytes]) -> None:
    """A file that begins with a brace is JSON Lines, whatever its name."""
    document = {"subscriber_id": "u", "provider_id": "fcm", "token": "t"}
    text = "\ufeff\r\n" + json.dumps(document) + "\r\n\n" + json.dumps(document)
    assert tokens_of(read_bytes(pack(text.encode()))) == ["t", "t"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_header_decides_what_stands_between_fields(delimiter: str) -> None:
    """Semicolons, tabs and bars are found without being told."""
    text = HEADER.replace(",", delimiter) + delimiter.join(["u", "fcm", "t"])
    assert read_bytes(text.encode()) == [Row(2, "u", "fcm", "", "t")]


def test_delimiters_within_quoted_names_are_not_counted() -> None:
    """A long title with commas does not make a file of semicolons one of commas."""
    text = 'subscriber_id;provider_id;token;"note, ""free"", as it came, or none, or empty"\n'
    assert read_bytes(f"{text}u;fcm;t;x\n".encode())[0][1:5] == ("u", "fcm", "", "t")


def test_line_numbers_are_those_of_the_file() -> None:
    """Empty lines and lines within a quoted field count."""
    text = 'token,note,subscriber_id,provider_id\n\nt1,"a\nb",u,fcm\nt2,,u,fcm\n'
    source = read_file(io.BytesIO(text.encode()))
    assert [row.line for row in rows_of(source)] == [3, 5]
    assert repr(source) == "FileSource('the file')"


BROKEN_CSV = [
    (b"u,fcm", "2 fields"),
    (b"u,fcm,t,more", "4 fields"),
    (b'"u,fcm,t', "quote"),
    (b'u,fcm,"t', "quote"),
    (b'u,fcm,"t"x', "quote"),
    (b'"u","fcm"', "2 fields"),
    (b'"u", "fcm", "t"', "a quote comes after a blank"),
    (b'u,fcm,\t"t"', "a quote comes after a blank"),
    (b' "u",fcm,t', "a quote comes after a blank"),
    (b"u,f\0cm,t", "NUL"),
    (b"u,fcm,caf\xe9", "UTF-8"),
    (b"u,fcm,", "token"),
    (b",fcm,t", "subscriber_id"),
    (b"u,fcm," + b"x" * 1_200_000, "longer"),
]


@pytest.mark.parametrize(("broken", "word"), BROKEN_CSV)
def test_a_broken_csv_line_costs_itself_only(broken: bytes, word: str) -> None:
    """The lines before and after are read, and the reason says what is wrong."""
    before, after = b"u1,fcm,t1\n", b'\nu2,fcm,"t2"\nu3,fcm,t3\n'
    rows = read_bytes(HEADER.encode() + before + broken + after)
    assert tokens_of(rows) == ["t1", None, "t2", "t3"]
    invalid = rows[1]
    assert isinstance(invalid, Invalid)
    assert invalid.line == 3
    assert word in invalid.reason


BROKEN_JSON = [
    b"{",
    b"[1]",
    b"7",
    b"null",
    b'{"token": }',
    b"{" * 100_000,
    b'{"a": ' * 5000,
    b"\xff",
]


@pytest.mark.parametrize("broken", BROKEN_JSON)
def test_a_broken_json_line_costs_itself_only(broken: bytes) -> None:
    """Bad JSON, other JSON, deep nesting, wrong types and wrong bytes are one invalid row each."""
    good = b'{"subscriber_id": "u", "provider_id": "fcm", "token": "t"}\n'
    rows = read_bytes(good + broken + b"\n" + good)
    assert tokens_of(rows) == ["t", None, "t"]
    assert rows[1].line == 2


@pytest.mark.parametrize("number", [2**63 - 1, 2**64, 10**19, -(2**64), 10**200])
def test_a_long_number_in_json_lines_stays_the_id_that_it_is(number: int) -> None:
    """orjson makes a float of what has more than 64 bits."""
    document = {"subscriber_id": number, "provider_id": "fcm", "token": "t"}
    (row,) = read_bytes(json.dumps(document).encode())
    assert row == Row(1, str(number), "fcm", "", "t")


def test_blanks_and_quotes_that_are_meant_are_read() -> None:
    """A blank without a quote, both among quotes, and both in a column that is not ours."""
    spaced = b'subscriber_id provider_id "token"\nu fcm "t"\n'
    assert tokens_of(read_bytes(spaced, delimiter=" ")) == ["t"]
    content = b'subscriber_id, "provider_id", token,note\nu,fcm, t, "x"\nu,fcm," ""t""",y\n'
    assert tokens_of(read_bytes(content)) == [" t", ' "t"']
    joined = read_bytes(content + b'u,fcm, "t","y\nz"\n')[2]
    assert isinstance(joined, Invalid)
    assert "after a blank" in joined.reason


def test_many_stray_quotes_do_not_swallow_good_lines() -> None:
    """Each stray quote costs its own line, also where a later quote could close it."""
    lines = [f'u{i},fcm,"t{i}' if i % 3 == 0 else f"u{i},fcm,t{i}" for i in range(90)]
    rows = read_bytes((HEADER + "\n".join(lines)).encode())
    assert tokens_of(rows) == [None if i % 3 == 0 else f"t{i}" for i in range(90)]


def test_an_open_quote_before_an_unreadable_line() -> None:
    """Each of the two is a row of its own."""
    rows = read_bytes(HEADER.encode() + b'u,fcm,"t\nu\0\nu,fcm,t2\n')
    assert tokens_of(rows) == [None, None, "t2"]


def test_a_quoted_line_break_belongs_to_another_column() -> None:
    """A comment may go over several lines; a token may not."""
    text = 'subscriber_id,provider_id,token,comment\nu,fcm,t,"two\nlines, ""quoted"""\n'
    assert tokens_of(read_bytes(text.encode())) == ["t"]
    text = 'subscriber_id,provider_id,token,comment\nu,fcm,"t\nu",x\nu2,fcm,t2,y\n'
    assert [isinstance(row, Row) for row in read_bytes(text.encode())] == [False, False, True]


@pytest.mark.parametrize("breaks", ["", "\n" * 9])
def test_a_quoted_field_that_is_too_long_is_called_that(breaks: str) -> None:
    """Its quotes are right, so they are not blamed; the csv module's limit is left as it is."""
    limit = csv.field_size_limit()
    text = f'u,fcm,t,"{breaks}{"x" * (limit + 1)}{breaks}"\nu2,fcm,t2,"y"\n'
    rows = read_bytes(b"subscriber_id,provider_id,token,note\n" + text.encode())
    assert rows[0] == Invalid(2, f"a field among quotes is longer than {limit} characters")
    assert tokens_of(rows)[-1] == "t2"
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ('u,fcm,t,"open', "a quote is still open 20 lines further on"),
        ('u,fcm,t,"x"y', "a quote is never closed, or has text after it"),
        ('u,fcm,"t"x,y', "a quote is never closed, or has text after it"),
    ],
)
def test_a_quoted_field_over_too_many_lines_is_called_that(first: str, reason: str) -> None:
    """It may well be closed later; what follows a closed quote is another matter."""
    text = f'subscriber_id,provider_id,token,note\n{first}{chr(10) * 30}end"\nu2,fcm,t2,\n'
    rows = read_bytes(text.encode())
    assert rows[0] == Invalid(2, reason)
    assert tokens_of(rows)[-1] == "t2"


names = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=8)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(names, names, names)), st.sampled_from(["\n", "\r\n"]))
def test_what_csv_writes_is_read(rows: list[tuple[str, str, str]], end: str) -> None:
    """Whatever the csv module writes comes back, quotes and delimiters within fields too."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator=end)
    writer.writerow(["subscriber_id", "provider_id", "token"])
    writer.writerows((f"s{a}", f"p{b}", f"t{c}") for a, b, c in rows)
    found = read_bytes(file.getvalue().encode())
    sent = [row for row in found if isinstance(row, Row)]
    assert len(found) == len(rows)
    assert {(row.subscriber_id, row.provider_id, row.token) for row in sent} <= {
        (f"s{a}", f"p{b}", f"t{c}") for a, b, c in rows
    }
    assert all("control" in row.reason for row in found if isinstance(row, Invalid))


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_break_the_csv_reader(content: bytes, packed: bool) -> None:
    """Any bytes after a header are rows or invalid rows, never an exception."""
    data = HEADER.encode() + content
    for row in read_bytes(gzip.compress(data) if packed else data):
        assert isinstance(row, Row | Invalid)


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_no_bytes_break_the_json_reader(content: bytes) -> None:
    """Any bytes after a first object are rows or invalid rows, never an exception."""
    for row in read_bytes(b"{}\n" + content):
        assert isinstance(row, Row | Invalid)


@given(st.binary(max_size=64))
def test_any_file_is_rows_or_one_clear_error(content: bytes) -> None:
    """A file of any bytes is read, or refused with one InvalidRequestError."""
    with contextlib.suppress(InvalidRequestError):
        read_bytes(content)


USELESS = [
    (b"", "empty"),
    (b"\n \n", "empty"),
    (b"\xef\xbb\xbf", "empty"),
    ("\u00a0\n".encode(), "empty"),
    (b"u1,fcm,t1\nu2,fcm,t2\n", "no column 'subscriber_id'"),
    (b"subscriber_id,provider_id\nu,fcm\n", "no column 'token'"),
    (b"subscriber_id,token\nu,t\n", "no column 'provider_id'"),
    (b"token,token,subscriber_id,provider_id\n", "two columns"),
    ("subscriber_id,provider_id,token\n".encode("utf-16"), "iconv -f UTF-16 -t UTF-8"),
    ("subscriber_id,provider_id,token\n".encode("utf-32"), "iconv -f UTF-32 -t UTF-8"),
    (b"\0\0\xfe\xff" + "token\n".encode("utf-32-be"), "is UTF-32"),
    ("abonné,provider_id,token\n".encode("latin-1"), "UTF-8"),
    (b"subscriber_id\0,x\n", "the first line of the file cannot be read (has a NUL byte)"),
    (b"x" * 2_000_000, "the first line of the file cannot be read (longer than 1048576 bytes)"),
    (b'[{"subscriber_id": "u"}]', "jq"),
    (b"PK\x03\x04....", "zip"),
    (b"SQLite format 3\0", "SQLite"),
    (b"\x1f\x8bnonsense...", "gzip"),
    (gzip.compress(gzip.compress(b"x", mtime=0), mtime=0), "the file is packed twice with gzip"),
    (b"PAR1....", "path"),
]


@pytest.mark.parametrize(("content", "word"), USELESS)
def test_a_useless_file_is_one_clear_error(content: bytes, word: str) -> None:
    """The one line says what is wrong with the file, or what to do."""
    with pytest.raises(InvalidRequestError) as caught:
        read_bytes(content)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.argument == "records"


def test_gzip_that_is_cut_off_is_an_error() -> None:
    """Rows that would be missing silently are not accepted."""
    lines = [f"u{i},fcm,t{i}\n" for i in range(9)]
    packed = gzip.compress((HEADER + "".join(lines)).encode())
    with pytest.raises(InvalidRequestError, match="cut off"):
        read_bytes(packed[:-6])


@pytest.mark.parametrize(
    ("path", "word"), [("missing.csv", "does not exist"), (".", "cannot be read")]
)
def test_a_path_that_cannot_be_read(
    path: str, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing file, or a folder, is named."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidRequestError, match=word):
        rows_of(read_csv(path))


@pytest.mark.parametrize(
    "text",
    [
        HEADER + "user-1,fcm,secret\n",
        '{"subscriber_id": "user-1", "provider_id": "fcm", "token": "secret"}',
        '[{"token": "secret"}]',
        "user-1,fcm,secret\0",
        "user-1,fcm,secret" + "x" * 300,
    ],
)
@pytest.mark.parametrize("read", [read_csv, read_jsonl, read_file, as_source])
def test_text_in_the_place_of_a_path_is_not_shown(read: Callable[[str], Any], text: str) -> None:
    """It is refused at once, without the tokens that it holds."""
    with pytest.raises(InvalidRequestError, match=r"io\.StringIO") as caught:
        read(text)
    assert "secret" not in str(caught.value)


def test_strange_names_of_files_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is there has that name."""
    monkeypatch.chdir(tmp_path)
    for name in ("two\nlines", '{"name"}'):
        Path(name).write_text(HEADER + "u,fcm,t\n")
        assert tokens_of(rows_of(read_csv(name))) == ["t"]


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` is standard input, packed or not."""
    packed = io.BytesIO(gzip.compress((HEADER + "u,fcm,t\n").encode()))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(packed))
    assert rows_of(read_file("-")) == [Row(2, "u", "fcm", "", "t")]


def test_open_text_files_are_read() -> None:
    """A file opened as text, a StringIO, or what a storage has around one, does as well."""
    text = io.StringIO(HEADER + "u,fcm,t\n")
    for file in (text, SimpleNamespace(read=text.read)):
        text.seek(0)
        assert rows_of(read_csv(file)) == [Row(2, "u", "fcm", "", "t")]


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "utf-8-sig"])
def test_a_file_opened_as_text_is_read_as_that_text(write: Write, encoding: str) -> None:
    """What it was opened with counts, and not only UTF-8."""
    path = write((HEADER + "ü,fcm,t\n").encode(encoding))
    with path.open(encoding=encoding) as file:
        assert rows_of(read_file(file)) == [Row(2, "ü", "fcm", "", "t")]
    with path.open(encoding="utf-32") as file, pytest.raises(InvalidRequestError, match="opened"):
        rows_of(read_file(file))


@pytest.mark.parametrize("mode", ["r", "rb"])
@pytest.mark.parametrize("read_line", [lambda file: file.readline(), next])
def test_a_file_is_read_from_where_it_is(
    write: Write, mode: str, read_line: Callable[[Any], Any]
) -> None:
    """What a text file has read ahead is not passed over."""
    row = '{"subscriber_id": "u", "provider_id": "fcm", "token": "é"}\n'
    with write('{"about": "these rows"}\n' + row * 3).open(mode) as file:
        read_line(file)
        assert tokens_of(rows_of(read_file(file))) == ["é"] * 3


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r"])
@pytest.mark.parametrize("make", [tempfile.NamedTemporaryFile, tempfile.SpooledTemporaryFile])
def test_temporary_text_files_are_read(make: Any, end: str, encoding: str) -> None:
    """They stand for a text file, and are none by their class."""
    with make(mode="w+", encoding=encoding) as file:
        file.write("an export" + end + HEADER + "u,fcm,é\n")
        file.seek(0)
        file.readline()
        assert tokens_of(rows_of(read_file(file))) == ["é"]


def test_columns_are_mapped_and_fields_made_constant(write: Write) -> None:
    """An export with its own names is read as it is."""
    path = write("external_user_id,platform_token,created\nu,t,2024\n")
    source = read_csv(
        path,
        columns={"subscriber_id": "external_user_id", "token": "platform_token"},
        constants={"provider_id": "fcm"},
    )
    assert [row[1:5] for row in rows_of(source)] == [("u", "fcm", "", "t")]


def test_a_mapped_column_that_is_missing_is_named(write: Write) -> None:
    """A typo in a mapping does not make every row invalid."""
    path = write(HEADER + "u,fcm,t\n")
    with pytest.raises(InvalidRequestError, match="'external_id'"):
        rows_of(read_csv(path, columns={"subscriber_id": "external_id"}))
    with pytest.raises(InvalidRequestError, match="'chan'"):
        rows_of(read_csv(path, columns={"channel": "chan"}))


def test_the_columns_that_are_there_are_named_but_no_token() -> None:
    """Names of columns help; a first line that is a row already is not repeated."""
    with pytest.raises(InvalidRequestError, match="user, device"):
        read_bytes(b"user,device,token\n")
    with pytest.raises(InvalidRequestError) as caught:
        read_bytes(b"u1,fcm,ExponentPushToken[s-ddUyqNmpaZdubz3pdA-Z]\n")
    assert "Expo" not in str(caught.value)


def test_delete_needs_no_token_column(write: Write) -> None:
    """A list of subscribers and providers is enough to delete."""
    path = write("subscriber_id,provider_id\nu,fcm\n")
    assert list(read_csv(path).rows("delete")) == [Row(2, "u", "fcm")]


def test_only_retryable_passes_over_the_others() -> None:
    """Of a failures file, rows that cannot succeed as they are can be left out."""
    text = "subscriber_id,provider_id,token,reason,retryable\nu,fcm,t1,x,true\nu,fcm,t2,y,false\n"
    assert tokens_of(read_bytes(text.encode(), only_retryable=True)) == ["t1"]
    assert tokens_of(read_bytes(text.encode())) == ["t1", "t2"]
    document = {"subscriber_id": "u", "provider_id": "fcm", "token": "t"}
    both = [{**document, "retryable": True}, {**document, "retryable": False}]
    data = "\n".join(map(json.dumps, both)).encode()
    assert len(rows_of(read_jsonl(io.BytesIO(data), only_retryable=True))) == 1


@pytest.mark.parametrize(
    "repeated", [HEADER, "\ufeff" + HEADER, '"subscriber_id", provider_id,token\r\n']
)
def test_a_header_in_the_middle_is_no_row(repeated: str) -> None:
    """As `cat a.csv b.csv` makes it: it is left out, and the lines are counted on."""
    text = f"{HEADER}u,fcm,t1\n{repeated}u,fcm,t2\nsubscriber_id,fcm,token\n"
    assert [row[:5] for row in read_bytes(text.encode())] == [
        (2, "u", "fcm", "", "t1"),
        (4, "u", "fcm", "", "t2"),
        (5, "subscriber_id", "fcm", "", "token"),
    ]


def test_a_format_can_be_forced() -> None:
    """CSV whose first name begins with a brace is CSV where that is said."""
    text = "{subscriber_id,provider_id,token\nu,fcm,t\n"
    source = read_csv(io.BytesIO(text.encode()), columns={"subscriber_id": "{subscriber_id"})
    assert rows_of(source) == [Row(2, "u", "fcm", "", "t")]
