"""JSON as the API's runtime (Node 20) reads and writes it."""

import json
import re
from decimal import Decimal
from typing import Any, Final, NoReturn

# V8 shows at most this many characters on each side of an unexpected one.
_CONTEXT: Final = 10
_SPACE: Final = " \t\n\r"
_DIGITS: Final = "0123456789"
_LITERALS: Final = {"t": "true", "f": "false", "n": "null"}
_SPECIAL: Final = ("NaN", "Infinity", "undefined", "[object Object]")


class MalformedJSONError(ValueError):
    """Hold the message that Node's `JSON.parse` gives for the text."""


def dump(value: Any) -> bytes:
    """Write a value as `JSON.stringify` does: compact, UTF-8, lone surrogates escaped."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _escape_surrogates(text).encode()


def _escape_surrogates(text: str) -> str:
    return re.sub(r"[\ud800-\udfff]", lambda found: f"\\u{ord(found.group()):04x}", text)


def parse(text: str) -> Any:
    """Read an object or array as the API's body parser does.

    Raises MalformedJSONError with Node's message, also for a bare string, number, true, false
    or null: the body parser refuses those. Raises RecursionError for a text nested too deeply.
    """
    first = text.lstrip(_SPACE)[:1]
    if first not in ("{", "["):
        raise MalformedJSONError(_explain_bare_value(text, first))
    try:
        return json.loads(
            text, parse_constant=_refuse_constant, parse_float=_read_float, parse_int=_read_int
        )
    except ValueError:
        raise MalformedJSONError(explain(text) or "Unexpected end of JSON input") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _read_float(digits: str) -> int | float:
    """Drop a zero fraction: JavaScript has one number type and writes 1.0 as 1."""
    number = float(digits)
    whole = number.is_integer() and abs(number) < 1e21
    return int(Decimal(repr(number))) if whole else number


def _read_int(digits: str) -> int | float:
    """Round an integer beyond 2**53 as JavaScript does."""
    return int(digits) if len(digits) < 16 else _read_float(digits)


def _explain_bare_value(text: str, first: str) -> str:
    if not first:
        return "Unexpected end of JSON input"
    quoted = _with_context(text, text.index(first))
    return f"Unexpected token '{first}', {quoted} is not valid JSON"


def explain(text: str) -> str | None:
    """Say what is wrong with a JSON text in the words of Node 20; None when it is right.

    Positions count UTF-16 units, as in JavaScript.
    """
    units = _to_units(text)
    try:
        _Scanner(units).scan()
    except MalformedJSONError as error:
        return _from_units(str(error))
    return None


def _to_units(text: str) -> str:
    """Spell characters beyond the first plane as two, as JavaScript counts them."""
    raw = text.encode("utf-16-le", "surrogatepass")
    return "".join(chr(raw[i] | raw[i + 1] << 8) for i in range(0, len(raw), 2))


def _from_units(units: str) -> str:
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _with_context(text: str, at: int) -> str:
    """Quote the part of the text around a position, with dots where something is left out."""
    if len(text) <= 2 * _CONTEXT:
        return f'"{text}"'
    if at < _CONTEXT:
        return f'"{text[: at + _CONTEXT]}"...'
    if at < len(text) - _CONTEXT:
        return f'..."{text[at - _CONTEXT : at + _CONTEXT]}"...'
    return f'..."{text[at - _CONTEXT :]}"'


class _Scanner:
    """Walk a text and raise at the first character that V8 would object to."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.open: list[str] = []

    def scan(self) -> None:
        while True:
            self._skip_space()
            if self._value():
                continue
            if self._close_finished():
                return

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _skip_space(self) -> None:
        while self._peek() and self._peek() in _SPACE:
            self.at += 1

    def _fail(self, reason: str) -> NoReturn:
        raise MalformedJSONError(f"{reason} in JSON at position {self.at}")

    def _fail_token(self) -> NoReturn:
        if self.text in _SPECIAL:
            raise MalformedJSONError(f'"{self.text}" is not valid JSON')
        if not self._peek():
            raise MalformedJSONError("Unexpected end of JSON input")
        if self._peek() in "-" + _DIGITS:
            self._fail("Unexpected number")
        if self._peek() == '"':
            self._fail("Unexpected string")
        quoted = _with_context(self.text, self.at)
        raise MalformedJSONError(f"Unexpected token '{self._peek()}', {quoted} is not valid JSON")

    def _value(self) -> bool:
        """Read one value; True when it opened a container whose first value comes next."""
        start = self._peek()
        if start == "{":
            return self._open_object()
        if start == "[":
            return self._open_array()
        if start == '"':
            self._string()
        elif start and start in "-" + _DIGITS:
            self._number()
        elif start in _LITERALS:
            self._literal(_LITERALS[start])
        else:
            self._fail_token()
        return False

    def _open_object(self) -> bool:
        self.at += 1
        self._skip_space()
        if self._peek() == "}":
            self.at += 1
            return False
        self._name("Expected property name or '}'", "Expected ':' after property name")
        self.open.append("}")
        return True

    def _open_array(self) -> bool:
        self.at += 1
        self._skip_space()
        if self._peek() == "]":
            self.at += 1
            return False
        self.open.append("]")
        return True

    def _name(self, no_name: str, no_colon: str | None = None) -> None:
        """Read a name and its colon; V8 words a missing colon for the first name only."""
        if self._peek() != '"':
            self._fail(no_name)
        self._string()
        self._skip_space()
        if self._peek() != ":":
            self._fail(no_colon) if no_colon else self._fail_token()
        self.at += 1

    def _close_finished(self) -> bool:
        """Close what ends here; True at the end of the text, False when a value comes next."""
        while True:
            self._skip_space()
            if not self.open:
                if self._peek():
                    raise MalformedJSONError(
                        f"Unexpected non-whitespace character after JSON at position {self.at}"
                    )
                return True
            if self._peek() == self.open[-1]:
                self.at += 1
                self.open.pop()
                continue
            self._comma()
            return False

    def _comma(self) -> None:
        in_object = self.open[-1] == "}"
        if self._peek() != ",":
            after = "'}' after property value" if in_object else "']' after array element"
            self._fail(f"Expected ',' or {after}")
        self.at += 1
        self._skip_space()
        if in_object:
            self._name("Expected double-quoted property name")

    def _string(self) -> None:
        self.at += 1
        while True:
            char = self._peek()
            if not char:
                self._fail("Unterminated string")
            if char < " ":
                self._fail("Bad control character in string literal")
            self.at += 1
            if char == '"':
                return
            if char == "\\":
                self._escape()

    def _escape(self) -> None:
        char = self._peek()
        if not char or char > "\xff":
            self._fail_token()
        if char not in '"\\/bfnrtu':
            self._fail("Bad escaped character")
        self.at += 1
        if char == "u":
            for _ in range(4):
                if self._peek() not in tuple("0123456789abcdefABCDEF"):
                    self._fail("Bad Unicode escape")
                self.at += 1

    def _number(self) -> None:
        if self._peek() == "-":
            self.at += 1
            if not self._is_digit():
                self._fail("No number after minus sign")
        if self._peek() == "0":
            self.at += 1
            if self._is_digit():
                self._fail("Unexpected number")
        self._digits()
        if self._peek() == ".":
            self.at += 1
            self._some_digits("Unterminated fractional number")
        if self._peek() in ("e", "E"):
            self.at += 1
            if self._peek() in ("+", "-"):
                self.at += 1
            self._some_digits("Exponent part is missing a number")

    def _is_digit(self) -> bool:
        return self._peek() in tuple(_DIGITS)

    def _digits(self) -> None:
        while self._is_digit():
            self.at += 1

    def _some_digits(self, otherwise: str) -> None:
        if not self._is_digit():
            self._fail(otherwise)
        self._digits()

    def _literal(self, word: str) -> None:
        for char in word:
            if self._peek() != char:
                self._fail_token()
            self.at += 1
