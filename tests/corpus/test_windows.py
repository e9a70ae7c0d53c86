"""Windows: every position once, the right label for each, and batches within their limit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delt_exp.corpus.tokens import IGNORED
from delt_exp.corpus.windows import Windowing, buckets, sum_over_windows, windows_of
from delt_exp.dataset.base import Document
from delt_exp.errors import ConfigError
from tests.helpers import make_byte_tokenizer, make_corpus, make_tokens, words

# Lengths 1, and with both tokens around it exactly one window of 16, one more, exactly two, and many; and a prompt.
TEXTS = ["a", "b" * 14, "c" * 15, "ab" * 15, "hello " * 30, *words(9), Document("the answer", prompt="the question? ")]
ROWS = np.arange(len(TEXTS))


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    folder = tmp_path_factory.mktemp("windows")
    corpus = make_corpus(folder, TEXTS)
    return make_tokens(folder, corpus, make_byte_tokenizer(folder, corpus))


def read(tokens, windowing):
    """Return windows, and all of them in one batch."""
    windows = windows_of(tokens, ROWS, windowing)
    return windows, windows.batch(np.arange(len(windows.lengths_W)))


@given(context=st.integers(1, 40))
def test_windows_hold_every_token_once_and_in_order(tokens, context):
    windows, batch = read(tokens, Windowing("all", context))
    for row in ROWS:
        own = np.flatnonzero(batch.document_W == row)
        ids = [i for w in own for i in batch.ids_WT[w, : batch.lengths_W[w]].tolist()]
        assert ids == [tokens.begin_id, *tokens.document(row), tokens.eos_id]
        assert windows.starts_W[own].tolist() == list(range(0, len(ids), context))


@pytest.mark.slow
@given(context=st.integers(1, 40), reads=st.sampled_from(["all", "text", "beginning"]))
def test_a_label_is_the_next_token_unless_it_is_only_read(tokens, context, reads):
    windows, batch = read(tokens, Windowing(reads, context))
    for window, row in enumerate(batch.document_W):
        whole = [tokens.begin_id, *tokens.document(row), tokens.eos_id]
        is_label = [False, *tokens.predicted(row), True, False]
        for offset in range(batch.ids_WT.shape[1]):
            position = windows.starts_W[window] + offset
            if offset >= batch.lengths_W[window]:
                assert (batch.ids_WT[window, offset], batch.labels_WT[window, offset]) == (tokens.eos_id, IGNORED)
            else:
                assert batch.ids_WT[window, offset] == whole[position]
                expected = whole[position + 1] if is_label[position + 1] else IGNORED
                assert batch.labels_WT[window, offset] == expected


def test_how_much_is_read_of_a_document(tokens):
    for reads, expected in (("text", 14), ("all", 16), ("beginning", 10)):
        assert Windowing(reads, 10).sizes(tokens.lengths[[1]]) == [expected]
        assert windows_of(tokens, np.array([1]), Windowing(reads, 10)).totals_D == [expected]


@given(st.lists(st.integers(1, 100), min_size=1), st.integers(1, 30), st.integers(1, 200))
def test_buckets_hold_every_item_once_within_the_limit(totals, context, limit):
    found = list(buckets(np.array(totals), context, limit))
    assert sorted(np.concatenate(found)) == list(range(len(totals)))
    for bucket in found:
        width = min(max(totals[i] for i in bucket), context)
        padded = width * sum(-(-totals[i] // context) for i in bucket)
        assert padded <= limit or len(bucket) == 1


def test_windows_of_a_document_are_added_up_in_double_precision(tokens):
    """Float32 would lose the small number after the large ones."""

    def judgement(batch):
        return np.where(batch.lengths_W == 16, 2.0**30, 1.0).astype(np.float32)

    (row,) = np.flatnonzero(tokens.lengths == 180)
    windows = windows_of(tokens, np.array([row]), Windowing("text", 16))
    assert sum_over_windows(judgement, windows, 16, 32).tolist() == [[11 * 2.0**30 + 1]]


@pytest.mark.parametrize(
    ("reads", "context", "message"),
    [("some", 8, "reads='some'.*one of: all, text"), ("all", 0, "context_tokens=0 .*at least 1")],
)
def test_other_ways_of_reading_are_refused(reads, context, message):
    with pytest.raises(ConfigError, match=message):
        Windowing(reads, context)
