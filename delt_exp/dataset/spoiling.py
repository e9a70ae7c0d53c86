"""Ways to spoil a text, each recognisable by a reader; none makes it longer."""

import numpy as np

GARBLED_SHARE = 0.4
SNIPPET_CHARS = 60
LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz    "))
SWAPPED_SHARE = 0.4
# What pages show around their text.
BOILERPLATE = (
    "Skip to main content.", "Home | News | About us | Contact", "Sign in or create a free account.",
    "This site uses cookies. By continuing to browse you agree to our use of cookies.", "Accept all | Manage settings",
    "Subscribe to our newsletter and never miss an update!", "Share on Facebook", "Share on Twitter", "Print this page",
    "You may also like", "Read more »", "Terms of Service | Privacy Policy | Sitemap", "Click here to learn more.",
    "© All rights reserved.", "Please enable JavaScript to view this page.", "Add to cart", "0 comments",
    "Your email address will not be published. Required fields are marked *", "Powered by WordPress", "Back to top",
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
    """Return the text with SWAPPED_SHARE of its pairs of neighbouring characters exchanged."""
    characters = np.array(list(text))
    first = 2 * np.flatnonzero(rng.random(len(characters) // 2) < SWAPPED_SHARE)
    characters[first], characters[first + 1] = characters[first + 1], characters[first]
    return "".join(characters)


def repeated(text: str, snippet: str) -> str:
    """Return a snippet again and again, as long as the text."""
    return (snippet * (len(text) // len(snippet) + 1))[: len(text)]


def boilerplate(text: str, rng: np.random.Generator) -> str:
    """Return phrases that web pages show around their text, in random order, one a line and as long as the text."""
    phrases: list[str] = []
    while sum(map(len, phrases)) < len(text):
        phrases += rng.permutation(BOILERPLATE).tolist()
    return "\n".join(phrases)[: len(text)]


def snippet_of(text: str) -> str:
    """Return the beginning of a text as a snippet to repeat."""
    return " ".join(text.split())[:SNIPPET_CHARS] + " "
