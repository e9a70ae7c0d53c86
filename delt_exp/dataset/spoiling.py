"""Ways to spoil a text, each recognisable by a reader; none makes it longer."""

import numpy as np

GARBLED_SHARE = 0.4
SWAPPED_SHARE = 0.5
SNIPPET_CHARS = 60
LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz    "))
# What stands around the articles of web sites, one item a line.
BOILERPLATE = (
    "Skip to main content", "Home | News | Sport | Weather | Shop", "Sign in or create an account",
    "Accept all cookies", "Subscribe to our newsletter", "Share this page", "Contact us", "Terms of use",
    "Privacy policy", "Related articles", "Click here to read more", "Advertisement", "Follow us on social media",
    "All rights reserved", "Back to top", "Add to cart",
)  # fmt: skip


def shuffled(text: str, rng: np.random.Generator) -> str:
    """Return the words in random order, a space apart."""
    return " ".join(rng.permutation(text.split()))


def garbled(text: str, rng: np.random.Generator) -> str:
    """Return the text with GARBLED_SHARE of its characters replaced by random letters and spaces."""
    characters = np.array(list(text))
    is_hit = rng.random(len(characters)) < GARBLED_SHARE
    characters[is_hit] = rng.choice(LETTERS, int(is_hit.sum()))
    return "".join(characters)


def swapped(text: str, rng: np.random.Generator) -> str:
    """Return the text cut into pairs of neighbouring characters, SWAPPED_SHARE of which change places."""
    pairs = [text[i : i + 2] for i in range(0, len(text), 2)]
    is_hit = rng.random(len(pairs)) < SWAPPED_SHARE
    return "".join(pair[::-1] if hit else pair for pair, hit in zip(pairs, is_hit, strict=True))


def repeated(text: str, snippet: str) -> str:
    """Return a snippet again and again, as long as the text."""
    return (snippet * (len(text) // len(snippet) + 1))[: len(text)]


def boilerplate(text: str, rng: np.random.Generator) -> str:
    """Return lines of a web site without its article, in random order and as long as the text."""
    lines = "\n".join(rng.permutation(BOILERPLATE)) + "\n"
    return repeated(text, lines)


def snippet_of(text: str) -> str:
    """Return the beginning of a text as a snippet to repeat."""
    return " ".join(text.split())[:SNIPPET_CHARS] + " "
