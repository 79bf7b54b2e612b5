"""Recognisable secrets, and a search for them in whatever a program could print or keep."""

import copy
import logging
import pickle
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import define, field
from chaos_harness import FIGURES

from novu_async import DeviceTokensNotStoredError

MARK = "zq~"
"""Part of every secret again and again, so that half of one is found as well.

Base64 has no tilde: a random ETag or fingerprint never spells it by chance.
"""

KEY = "zq~zq~-key-zq~zq~"
HEADER = "zq~zq~-header-zq~zq~"
WEBHOOK = "https://hooks.example.com/zq~zq~/zq~zq~"
TOKENS = [f"zq~-token-{i}-zq~" for i in range(12)]
PASSWORD = "zq~zq~-password-zq~zq~"


@define
class Search:
    """Looks for secrets; `found` says where there was one."""

    found: list[str] = field(factory=list)
    in_locals: Counter[str] = field(factory=Counter)
    _seen: set[str] = field(factory=set, repr=False)

    def text(self, where: str, text: str) -> None:
        """Look through a text."""
        if text in self._seen:
            return
        self._seen.add(text)
        FIGURES.texts += 1
        if MARK in text:
            FIGURES.secrets += 1
            start = max(0, text.index(MARK) - 80)
            self.found.append(f"{where}: ...{text[start:][:200]}")

    def value(self, where: str, value: object) -> None:
        """Look at what a value prints as."""
        self.text(f"{where}, repr", repr(value))
        self.text(f"{where}, str", str(value))

    def error(self, where: str, error: BaseException) -> None:
        """Look at an error, at all that it was caused by, at its traceback and its pickle."""
        for one in chain_of(error):
            named = f"{where}, {type(one).__name__}"
            self.value(named, one)
            self.text(f"{named}, args", repr(one.args))
            if not isinstance(one, DeviceTokensNotStoredError):  # its attribute is for the caller
                self.text(f"{named}, attributes", repr(vars(one)))
        self.text(f"{where}, traceback", "".join(traceback.format_exception(error)))
        self.text(f"{where}, pickle", repr(pickle.dumps(error)))
        self.text(f"{where}, copy", repr(vars(copy.copy(error))))
        self._search_locals(error)

    def _search_locals(self, error: BaseException) -> None:
        """Look at the variables as error trackers record them: what is in a mapping one by one."""
        for one in chain_of(error):
            for frame, _ in traceback.walk_tb(one.__traceback__):
                code = frame.f_code
                for name, value in frame.f_locals.items():
                    text = repr(dict(value) if isinstance(value, Mapping) else value)
                    if MARK in text and "/tests/" not in code.co_filename:
                        module = "/".join(Path(code.co_filename).parts[-2:])
                        what = "key" if KEY in text else "other"
                        self.in_locals[f"{what}: {module}:{code.co_name}:{name}"] += 1

    def logged(self, records: list[logging.LogRecord]) -> None:
        """Look through log records: text, arguments, extras and traceback."""
        formatter = logging.Formatter("%(message)s")
        for record in records:
            self.text(f"log {record.name}", formatter.format(record))
            self.text(f"log {record.name}, record", repr(vars(record)))


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    """Give an error, its causes and its contexts."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions


class Records(logging.Handler):
    """Keeps every record."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
