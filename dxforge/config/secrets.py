"""Secrets have no place in ``dx.toml``: find them by name and by form, and never repeat them."""

from __future__ import annotations

import re

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
