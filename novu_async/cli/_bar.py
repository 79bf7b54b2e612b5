"""The progress bar on a terminal: as much as its width has room for."""

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from novu_async.cli._output import count, format_seconds
from novu_async.cli._progress import count_settled, describe_limit, describe_rate

if TYPE_CHECKING:
    from novu_async.bulk import Progress

_MIN_BAR = 8
_MAX_BAR = 40
_REFRESHES_A_SECOND = 8


class _Piece(NamedTuple):
    text: str
    priority: int
    style: str = ""


class Bar:
    """Draws the latest Progress in the last line of standard error."""

    def __init__(self, console: Console | None = None) -> None:
        self._progress: Progress | None = None
        self._console = console or Console(stderr=True, highlight=False)
        self._live = Live(
            self,
            console=self._console,
            refresh_per_second=_REFRESHES_A_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def start(self) -> None:
        """Begin to draw."""
        self._live.start()

    def stop(self) -> None:
        """Draw no more, and leave no trace."""
        self._live.stop()

    def show(self, progress: "Progress") -> None:
        """Take in what the next refresh draws."""
        self._progress = progress

    def note(self, text: str) -> None:
        """Write a message above the bar."""
        with suppress(OSError):
            self._console.print(text, markup=False)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw one line that fits."""
        progress = self._progress
        if progress is None:
            yield Text("starting")
        elif progress.phase in ("reading", "merging"):
            yield _draw(progress.phase, [_Piece(count(progress.rows, "row"), 1)], options)
        else:
            settled, total = count_settled(progress)
            yield _draw(progress.phase, _make_pieces(progress), options, settled, total)


def _make_pieces(progress: "Progress") -> list[_Piece]:
    """Return what there is to say, in order; a low priority stays when there is little room."""
    settled, total = count_settled(progress)
    left = progress.seconds_left
    pieces = [
        _Piece(f"{100 * settled // total if total else 100} %", 1),
        _Piece(f"{settled:,}/{total:,}", 4),
        _Piece("" if left is None else f"{format_seconds(left)} left", 2),
        _Piece(f"{progress.failed:,} failed" if progress.failed else "", 3, "red"),
        _Piece(describe_rate(progress), 5),
        _Piece(describe_limit(progress), 6, "dim"),
    ]
    return [piece for piece in pieces if piece.text]


def _draw(
    label: str,
    pieces: list[_Piece],
    options: ConsoleOptions,
    settled: int = 0,
    total: int | None = None,
) -> Table:
    """Lay out label, bar and pieces in one line; drop what does not fit."""
    width = options.max_width
    while len(pieces) > 1 and _width_of(label, pieces) + _MIN_BAR + 1 > width:
        pieces = [one for one in pieces if one.priority != max(p.priority for p in pieces)]
    room = max(1, min(_MAX_BAR, width - _width_of(label, pieces) - 1))
    bar = ProgressBar(total=total, completed=settled, width=room, pulse=total is None)
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_row(label, bar, *(Text(piece.text, piece.style, no_wrap=True) for piece in pieces))
    return line


def _width_of(label: str, pieces: list[_Piece]) -> int:
    return len(label) + sum(len(piece.text) + 1 for piece in pieces)
