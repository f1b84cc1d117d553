"""What a person reads of a mail: its subject and its text, without headers and markup."""

from collections.abc import Iterator
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from html.parser import HTMLParser
from typing import Any

UNSEEN = {"script", "style", "title"}
"""Elements whose content no reader shows in the text."""


def readable(mail: bytes) -> str:
    """Return subject and text of a mail as one text, each run of white space as one space."""
    message = message_from_bytes(mail)
    parts = [_subject(message), *_texts(message)]
    return " ".join(" ".join(parts).split())


def _subject(message: Message) -> str:
    given = str(message.get("Subject", ""))
    try:
        parts = decode_header(given)
    except (HeaderParseError, ValueError):
        return given
    return "".join(
        part if isinstance(part, str) else _decoded(part, charset) for part, charset in parts
    )


def _texts(message: Message) -> Iterator[str]:
    """Yield the plain texts of a mail, or those of its HTML where there are none."""
    found: dict[str, list[str]] = {"text/plain": [], "text/html": []}
    for part in message.walk():
        kind, payload = part.get_content_type(), part.get_payload(decode=True)
        if kind in found and isinstance(payload, bytes):
            found[kind].append(_decoded(payload, part.get_content_charset()))
    plain = [text for text in found["text/plain"] if text.strip()]
    yield from plain or map(without_markup, found["text/html"])


def _decoded(content: bytes, charset: str | None) -> str:
    """Return bytes as text; where they are not what they say, every byte is a Latin letter."""
    try:
        return content.decode(charset or "utf-8")
    except (LookupError, ValueError):  # ValueError: a name with NUL, or bytes that are not so
        return content.decode("latin-1")


def without_markup(html: str) -> str:
    """Return the text of a piece of HTML; where it is broken, what was read until there."""
    reader = _Reader()
    try:
        reader.feed(html)
        reader.close()
    except (AssertionError, ValueError):  # of html.parser, over declarations that are none
        pass
    return " ".join(reader.found)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:  # noqa: ARG002
        self._unseen += tag in UNSEEN

    def handle_endtag(self, tag: str) -> None:
        self._unseen -= tag in UNSEEN and self._unseen > 0

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.found.append(data)
