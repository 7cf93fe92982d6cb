"""Secrets have no place in ``dx.toml``: find them by name and by form, and never repeat them."""

from __future__ import annotations

import hmac
import re
from typing import NoReturn, Self

from dxforge.config.table import At

_LAST_WORDS = frozenset({
    "secret", "secrets", "token", "password", "passwd", "passphrase", "credential", "credentials",
    "accesskey", "apikey", "secretkey", "privatekey", "accesstoken", "authtoken",
})  # fmt: skip
_KEY_KINDS = frozenset({"access", "account", "api", "auth", "encryption", "private", "secret", "signing"})
_TAILS = frozenset({"id", "value"})
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NOT_WORD = re.compile(r"[^a-z]+")
_SCHEME_CHARS = 20
_SCHEME = re.compile(r"[a-z]*\Z")
_AUTHORITY = re.compile(r"[^/?#\s]*")
_PARAMETER = re.compile(r"[?&#;]([^=?&#;\s]{1,64})=(?=[^&#;\s])")
_NAMES_ONLY = frozenset({("packages",), ("tools",)})
_FROM_ENVIRONMENT = "Take it out of the file; secrets come from the environment"


class Secret:
    """A text that is never shown, formatted, copied into data or pickled; false when empty.

    ``reveal()`` is the only way to it: call it where the text is handed over, never into a variable, because
    tracebacks may show variables.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        return "Secret(***)" if self._text else "Secret()"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        # Pickles are written to disks and networks; the other side has an environment of its own.
        message = "a secret cannot be pickled: read it from the environment where it is needed"
        raise TypeError(message)


def is_secret_key(name: str) -> bool:
    """Whether ``name`` ends like the name of a secret: ``AWS_SECRET_ACCESS_KEY``, ``authToken``, ``db-password``.

    The end decides, so that ``TOKEN_LIMIT`` and ``PASSWORD_FILE`` stay ordinary names, and ``MAX_TOKENS`` too.
    """
    words = [word for word in _NOT_WORD.split(_CAMEL.sub("_", name[-128:]).lower()) if word]
    while len(words) > 1 and words[-1] in _TAILS:
        words.pop()
    if not words:
        return False
    return words[-1] in _LAST_WORDS or (len(words) > 1 and words[-1] == "key" and words[-2] in _KEY_KINDS)


def has_credentials(text: str) -> bool:
    """Whether ``text`` holds an address with a password, or with a secret among its parameters.

    A user name alone passes (``ssh://git@host``), save over HTTP, where it is a token as a rule.
    """
    start = text.find("://")
    if start == -1:
        return False
    for found in _PARAMETER.finditer(text, start):
        if is_secret_key(found[1]) or found[1].lower().endswith(("signature", "sig")):
            return True
    while start != -1:
        authority = _AUTHORITY.match(text, start + 3)
        user, at_sign, _ = authority[0].rpartition("@") if authority else ("", "", "")
        scheme = _SCHEME.search(text[max(0, start - _SCHEME_CHARS) : start].lower())
        if at_sign and user and (":" in user or (scheme is not None and scheme[0] in {"http", "https"})):
            return True
        start = text.find("://", start + 3)
    return False


def refuse_secrets(data: object, at: At) -> None:
    """Refuse secrets anywhere in ``data``, decoded TOML. Names of packages and tools are free.

    Raises:
        ConfigError: with the key of the secret, and without its value.
    """
    # A stack, not recursion: dotted keys nest deeper than Python recurses.
    waiting: list[tuple[object, At]] = [(data, at)]
    while waiting:
        value, place = waiting.pop()
        if isinstance(value, dict):
            for key, entry in value.items():
                if place.path not in _NAMES_ONLY and is_secret_key(key):
                    raise (place / key).error("this looks like a secret", hint=_FROM_ENVIRONMENT)
                waiting.append((entry, place / key))
        elif isinstance(value, list):
            waiting.extend((entry, place / index) for index, entry in enumerate(value))
        elif isinstance(value, str) and has_credentials(value):
            raise place.error("the address carries credentials", hint=_FROM_ENVIRONMENT)
