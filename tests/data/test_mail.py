"""What a person reads of a mail."""

from email.message import EmailMessage

import pytest

from edgekd.data.mail import readable, without_markup


def mail(subject, text, html=None):
    message = EmailMessage()
    message["Subject"], message["Received"] = subject, "from secret.example"
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    return message.as_bytes()


def test_it_is_the_subject_and_the_text_without_headers():
    assert readable(mail("Hi there", "two\n  lines")) == "Hi there two lines"


def test_encoded_words_and_texts_are_decoded():
    assert readable(mail("Grüße", "Über alles" * 30)).startswith("Grüße Über alles")


def test_plain_text_goes_before_html():
    assert readable(mail("a", "plain", "<p>marked</p>")) == "a plain"


def test_html_alone_is_read_without_markup():
    raw = b"Subject: a\nContent-Type: text/html\n\n<style>p{}</style><p>Buy <b>now</b> &amp; here"
    assert readable(raw) == "a Buy now & here"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe",
        b"Subject: =?nonsense?q?a?=\n\nb",
        b"Subject: =?utf-8?b?!!!?=\n\nb",
        b"Content-Type: text/plain; charset=nonsense\n\n\xe4",
        b"Content-Type: text/plain; charset=undefined\n\na",
        b'Content-Type: text/plain; charset="a\0b"\n\na',
        b"Subject: =?a\0b?q?x?=\n\nb",
        b"Content-Type: multipart/mixed; boundary=x\n\n--x\n",
        b"Content-Type: text/html\n\n<![nonsense[<p>a",
    ],
)
def test_a_mail_that_is_not_well_formed_is_read_as_far_as_it_goes(raw):
    assert isinstance(readable(raw), str)


def test_markup_that_is_broken_gives_what_was_read():
    assert "before" in without_markup("<p>before<![nonsense[ <p>after")
