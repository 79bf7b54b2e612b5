"""Short stand-ins for secrets, so that messages, logs and reprs never hold one."""

import hashlib
import html
import json
import sys
from collections.abc import Iterable
from typing import NoReturn
from urllib.parse import quote

_DIGEST_ROUNDS = 1000


def name_type(value: object, *wanted: type) -> str:
    """Name the type of a value that is refused, which may itself be a secret.

    A class that only has the name of a wanted one, such as the official SDK's, is told from it.
    """
    kind = type(value)
    if value is None:
        return "None"
    if kind.__name__ not in {cls.__name__ for cls in wanted}:
        return kind.__name__
    or_dict = ", or pass .model_dump()" if hasattr(kind, "model_dump") else ""
    return f"{kind.__module__}.{kind.__name__}: import it from novu_async{or_dict}"


def show_number(value: object) -> str:
    """Show a number that is refused, where Python would not write one of thousands of digits."""
    is_huge = isinstance(value, int) and abs(value) > sys.float_info.max
    return "one of hundreds of digits" if is_huge else repr(value)


def refuse_copy(_: object) -> NoReturn:
    """Be the `__reduce__` of what holds the API key, so that neither pickle nor copy repeats it."""
    raise TypeError(
        "a client cannot be pickled or copied: it holds the API key and connections; make one Novu "
        "in each process, and share it there"
    )


def fingerprint(secret: str) -> str:
    """Return a short, stable stand-in for a secret: `#` and eight hexadecimal digits.

    The same token has the same fingerprint in every process, so two log lines about one token can
    be matched without either of them holding it.
    """
    digest = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
    return f"#{digest[:8]}"


def digest(secret: str, salt: str) -> str:
    """Return what tells later whether a secret is the same, and cannot be turned back into it."""
    key = secret.encode("utf-8", "surrogatepass")
    return hashlib.pbkdf2_hmac("sha256", key, salt.encode(), _DIGEST_ROUNDS).hex()


def describe_type(value: object) -> str:
    """Describe what is not known to be free of secrets by its type."""
    return "None" if value is None else f"<{type(value).__name__}>"


def describe_tokens(tokens: Iterable[str] | None) -> str:
    """Describe device tokens by number and fingerprint, as models and results show them."""
    if not isinstance(tokens, list | tuple):
        return describe_type(tokens)
    shown = " ".join(fingerprint(str(token)) for token in tokens[:3])
    more = " ..." if len(tokens) > 3 else ""
    plural = "" if len(tokens) == 1 else "s"
    return f"<{len(tokens)} device token{plural}{': ' if tokens else ''}{shown}{more}>"


def describe_url(url: str | None) -> str:
    """Describe a webhook URL by fingerprint: the path of such a URL is itself a password."""
    return "None" if url is None else f"<url {fingerprint(str(url))}>"


def redact_start(text: str, secrets: Iterable[str], length: int) -> str:
    """Return at most so many characters of a text, redacted, in time that its length does not set.

    Where it is cut, no part of a secret is left: as much as the longest one could take is dropped.
    """
    known = list(secrets)
    # JSON may write one character as twelve: a pair of surrogates
    longest = 12 * max(map(len, known), default=0)
    if len(text) <= length + longest:
        return redact(text, known)[:length]
    start = redact(text[: length + longest], known)
    return start[: max(0, min(length, len(start) - longest))]


def redact(text: str, secrets: Iterable[str]) -> str:
    """Replace every secret in a text by its fingerprint, also as JSON, HTML or a URL writes it.

    The longest go first, so that a token which is part of another one leaves nothing behind.
    What is shorter than six characters is no secret, and replacing it would garble the text.
    """
    for secret in sorted({s for s in secrets if len(s) >= 6}, key=len, reverse=True):
        for form in {
            secret,
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            secret.replace("/", "\\/"),
            html.escape(secret),
            html.escape(secret).replace("/", "&#x2F;"),
            quote(secret, safe="", errors="replace"),
        }:
            text = text.replace(form, fingerprint(secret))
    return text
