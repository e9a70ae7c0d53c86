"""What of a document its gradient sees."""

import numpy as np
import pytest

from delt_exp.corpus.tokens import IGNORED
from delt_exp.dataset.base import Document
from delt_exp.scorer.reverse.documents import document_samples
from tests.helpers import make_byte_tokenizer, make_corpus, make_tokens


def sample_of(tmp_path, document, context_tokens):
    """Return (inputs, labels) as text, one byte a token; `_` is not predicted, `|` is the end-of-text token."""
    corpus = make_corpus(tmp_path, [document])
    tokenizer = make_byte_tokenizer(tmp_path, corpus)
    tokens = make_tokens(tmp_path, corpus, tokenizer)
    (sample,) = document_samples(tokens, [0], context_tokens)

    def shown(ids):
        special = {tokens.eos_id: "|", IGNORED: "_"}
        return "".join(special.get(i) or tokenizer.pretrained().decode([i]) for i in ids.tolist())

    return shown(sample.input_ids_T), shown(sample.labels_T)


@pytest.mark.parametrize(
    ("prompt", "text", "inputs", "labels"),
    [
        ("", "abc", "|abc", "abc|"),
        ("", "abcdefghij", "|abcdefg", "abcdefgh"),  # the beginning of a long one
        ("Q:", "ab", "|Q:ab", "__ab|"),
        ("1234", "abcdefg", "|1234abc", "____abcd"),  # half of the context is text: as before
        ("12345", "abcdefg", "12345abc", "____abcd"),
        ("0123456789", "abcdefg", "56789abc", "____abcd"),
        ("0123456789", "ab", "56789ab", "____ab|"),
    ],
)
def test_something_of_the_text_is_predicted_however_long_the_prompt(tmp_path, prompt, text, inputs, labels):
    assert sample_of(tmp_path, Document(text, prompt), 8) == (inputs, labels)


@pytest.mark.slow
def test_every_document_with_text_has_a_gradient(tmp_path):
    rng = np.random.default_rng(0)
    for _ in range(30):
        prompt, text = ("x" * int(rng.integers(0, 40)), "y" * int(rng.integers(1, 40)))
        _, labels = sample_of(tmp_path, Document(text, prompt), 8)
        assert "y" in labels
