"""Texts that show how GPT-2 cuts, each with what to notice; the numbers in the sentences are counted when shown.

How to read it: a sentence names the pieces that it is about by their place in ``pieces``: ``{0.ids}`` are the token
ids of the first piece, ``{0.tokens}`` is how many there are.
"""

from __future__ import annotations

from typing import NamedTuple

from gptcore.tokenizer import END_OF_TEXT, load_tokenizer


class Counted(NamedTuple):
    """One piece of text, as a sentence speaks about it."""

    text: str

    def encoded(self) -> list[int]:
        """Its tokens, an end-of-text marker read as plain text."""
        return load_tokenizer().encode(self.text)

    @property
    def tokens(self) -> int:
        """How many tokens it has."""
        return len(self.encoded())

    @property
    def ids(self) -> str:
        """Its token ids, in words."""
        return ", ".join(map(str, self.encoded()))

    @property
    def points(self) -> int:
        """How many Unicode characters it has; several may make one picture."""
        return len(self.text)

    @property
    def size(self) -> int:
        """Its bytes in UTF-8."""
        return len(self.text.encode("utf-8"))

    @property
    def lone_spaces(self) -> int:
        """How many of its tokens are a space and nothing else."""
        return self.encoded().count(load_tokenizer().encode(" ")[0])


class Example(NamedTuple):
    """A text to try, and what to notice in it."""

    name: str
    text: str
    sentence: str
    pieces: tuple[str, ...]

    def to_notice(self) -> str:
        """The sentence with its numbers."""
        return self.sentence.format(*map(Counted, self.pieces))


FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
OWL = " \U0001f989"
CODE = "def hoot(times):\n    for _ in range(times):\n        print('hoo')"
COMPOUND = "Donaudampfschifffahrtsgesellschaft"

EXAMPLES = (
    Example(
        "A mixture",
        f"The owl saw the other owl 12345 times, unbelievably:{OWL}!",
        "`The` is token {0.ids} and `·the` is token {1.ids}: two tokens, as different to a model as any others. The "
        "number is cut into {2.tokens}, the long `·unbelievably` is {3.tokens} token, and the little owl needs "
        "{4.tokens}: GPT-2 reads bytes, and the chip shows the ids of all that make one visible character.",
        ("The", " the", " 12345", " unbelievably", OWL),
    ),
    Example(
        "Leading space",
        "the cat, the dog and the\nthe end",
        "A space belongs to the token that comes after it. `·the` after a space is token {0.ids}; `the` at the start "
        "of a text or a line is token {1.ids}. Nothing tells a model that the two are related: it has to learn it.",
        (" the", "the"),
    ),
    Example(
        "Capitals",
        "an elephant, an Elephant, an ELEPHANT, an eLePhAnT",
        "`·elephant` is token {0.ids} and `·Elephant` is token {1.ids}; in capitals it takes {2.tokens} tokens, and in "
        "a writing that nobody uses {3.tokens}. What was frequent where the vocabulary was made is short here.",
        (" elephant", " Elephant", " ELEPHANT", " eLePhAnT"),
    ),
    Example(
        "Numbers",
        "7 42 1907 12345 123456 3.14159",
        "A year such as 1907 is {0.tokens} token, 12345 is cut into {1.tokens} and 3.14159 into {2.tokens}. Where a "
        "number is cut has nothing to do with its digits' places: one reason why a GPT is poor at sums.",
        (" 1907", " 12345", " 3.14159"),
    ),
    Example(
        "A typo",
        "good accommodation, good accomodation",
        "Spelt right, `·accommodation` is {0.tokens} token; with one letter missing it falls into {1.tokens}. No "
        "spelling is unknown to GPT-2, yet a rare one reaches the model in unfamiliar pieces.",
        (" accommodation", " accomodation"),
    ),
    Example(
        "German compound",
        f"{COMPOUND}, or Danube steamship company",
        "The German name takes {0.tokens} tokens, its English translation {1.tokens}: the vocabulary was made from "
        "mostly English web pages, so other languages cost more tokens and fill a model's context sooner.",
        (COMPOUND, " Danube steamship company"),
    ),
    Example(
        "Chinese",
        "我喜欢喝茶。 I like to drink tea.",
        "The Chinese sentence has {0.points} characters and {0.tokens} tokens: most of its characters are cut in the "
        "middle, between their bytes. The English sentence has {1.points} characters and {1.tokens} tokens.",
        ("我喜欢喝茶。", " I like to drink tea."),
    ),
    Example(
        "Emoji family",
        FAMILY,
        "One picture to us: {0.points} Unicode characters joined together, {0.size} bytes, {0.tokens} tokens. None of "
        "these tokens alone is something that could be shown, so one chip holds them all.",
        (FAMILY,),
    ),
    Example(
        "Code",
        CODE,
        "{0.lone_spaces} of the {0.tokens} tokens are a single space: GPT-2 spends one on nearly every column of an "
        "indentation. Later vocabularies have tokens for runs of spaces.",
        (CODE,),
    ),
    Example(
        "Trailing space",
        "Every effort moves you ",
        "Without its last space this text has {0.tokens} tokens; with it, token {1.ids}, a lone space, stands at the "
        "end. In a text the space nearly always comes with what follows it, as in `·the`: after a lone space a model "
        "is on ground it has hardly seen.",
        ("Every effort moves you", " "),
    ),
    Example(
        "End of text",
        f"One day.{END_OF_TEXT}Another day.",
        "Typed by somebody, the marker `<|endoftext|>` is plain text, {0.tokens} tokens if it stands alone. Behind "
        '"More" it can be read as the special token: then it is a single one, the last of the vocabulary, and tells a '
        "model that one text ends and another begins.",
        (END_OF_TEXT,),
    ),
)
BY_NAME = {example.name: example for example in EXAMPLES}


def named(text: str) -> str | None:
    """The name of the example that has this text.

    >>> named("no example"), named(EXAMPLES[0].text)
    (None, 'A mixture')
    """
    return next((example.name for example in EXAMPLES if example.text == text), None)
