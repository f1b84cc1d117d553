import subprocess

from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgekd.devices.link.link import quoted

WORDS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]))


@settings(max_examples=40)
@given(st.lists(WORDS, min_size=1))
@example(["two words", "it's", '"', "$HOME `id`", "a\nb", "", "*", "-x", "\\", "~", "#", "!"])
def test_a_shell_gives_words_on_as_they_are(words: list[str]) -> None:
    line = quoted(["printf", "%s\\0", *words])
    done = subprocess.run(["sh", "-c", line], capture_output=True, check=True)
    assert done.stdout == b"".join(word.encode() + b"\0" for word in words)
