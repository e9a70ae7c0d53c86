"""Equal and nearly equal documents are found wherever they stand; unrelated texts share none."""

import numpy as np
import pytest

from delt_exp.corpus.overlap import overlap_sentences
from delt_exp.corpus.stages import decontaminated_stage, overlap_stage
from delt_exp.dataset.near_duplicates import near_duplicates, words
from delt_exp.errors import DataError
from delt_exp.store.store import Store
from tests.helpers import make_corpus


def sentences(count, length=40, seed=0):
    rng = np.random.default_rng(seed)
    return [" ".join(f"word{n}" for n in rng.integers(5000, size=length)) for _ in range(count)]


def reference(first, second):
    """The definition, word for word: sets of 5-grams of two texts."""
    one, other = words(first), words(second)
    if one and one == other:
        return True
    grams = [{tuple(text[i : i + 5]) for i in range(len(text) - 4)} for text in (one, other)]
    shared, smaller = len(grams[0] & grams[1]), min(map(len, grams))
    return shared >= 5 and shared >= 0.5 * smaller


def edited(text, rng):
    """Some words replaced, some cut off: from nearly the same to something else."""
    parts = text.split()
    for row in rng.choice(len(parts), rng.integers(0, 12), replace=False):
        parts[row] = "changed"
    return " ".join(parts[rng.integers(0, 25) :])


def test_words_are_compared_without_case_marks_and_width():
    assert words("The  ﬁrst—Line, (A_b)\n") == ["the", "first", "line", "a", "b"]
    assert words("ＡＢ 語順 x1") == ["ab", "語", "順", "x1"]


@pytest.mark.slow
def test_the_fast_search_finds_what_the_definition_says_on_edits_of_every_size():
    rng = np.random.default_rng(1)
    candidates = sentences(60, seed=2)
    planted = [edited(text, rng) for text in candidates for _ in range(4)] + ["", "one two", "..."]
    others = ["ONE, two!", "", "one two three"]
    expected = np.array([[reference(p, c) for c in [*candidates, *others]] for p in planted])
    of_candidates, (of_planted,) = near_duplicates([*candidates, *others], [planted])
    assert 50 < expected.any(axis=1).sum() < 230
    assert of_planted.tolist() == expected.any(axis=1).tolist()
    assert of_candidates.tolist() == expected.any(axis=0).tolist()


def test_planted_near_duplicates_are_found_across_blocks_and_unrelated_texts_give_none():
    candidates = sentences(2500, seed=3)
    near = [candidates[7].upper(), candidates[2400].replace(" ", ",  ", 9), " ".join(candidates[1300].split()[:-3])]
    _, (found, unrelated) = near_duplicates(candidates, [near, sentences(500, seed=4)])
    assert found.tolist() == [True] * 3
    assert not unrelated.any()


def test_a_piece_of_a_long_document_is_a_near_duplicate_of_the_whole():
    long = " ".join(sentences(30, seed=5))
    _, (found,) = near_duplicates([long[1000:3000]], [[long, sentences(1, seed=6)[0]]])
    assert found.tolist() == [True, False]


def test_counts_tell_equal_documents_from_nearly_equal_ones_and_are_computed_once(tmp_path):
    texts = sentences(30, seed=7)
    candidates = make_corpus(tmp_path, texts)
    target = make_corpus(tmp_path, [texts[0], texts[0], texts[1].upper(), *sentences(3, seed=8)])
    store = Store(tmp_path / "store", verify="hash")
    for _ in range(2):
        (row,) = overlap_stage(store, candidates, [target])
        assert row == {"documents": 5, "exact": 1, "near": 1}
    assert [use.cached for use in store.uses] == [False, True]


def test_decontamination_leaves_the_others_in_order_and_counts_what_went(tmp_path):
    texts = sentences(6, seed=9)
    store = Store(tmp_path / "store", verify="hash")
    sets = [make_corpus(tmp_path, [texts[1]]), make_corpus(tmp_path, [texts[4].upper()])]
    left = decontaminated_stage(store, make_corpus(tmp_path, texts), sets)
    assert list(left.texts()) == [texts[row] for row in (0, 2, 3, 5)]
    assert left.meta["counts"]["contaminated"] == 2
    assert left.digest == make_corpus(tmp_path, list(left.texts())).digest
    assert overlap_stage(store, left, sets) == [{"documents": 1, "exact": 0, "near": 0}] * 2


def test_parts_of_a_corpus_tell_of_the_files_that_were_read_though_others_hold_the_same_documents(tmp_path):
    store, texts = Store(tmp_path / "store", verify="hash"), sentences(6, seed=9)
    sets = [make_corpus(tmp_path, [texts[1]])]
    corpora = [make_corpus(tmp_path, given) for given in ([*texts, ""], texts)]
    assert corpora[0].digest == corpora[1].digest
    left = [decontaminated_stage(store, corpus, sets) for corpus in corpora]
    assert [one.meta["counts"]["empty"] for one in left] == [1, 0]


def test_decontamination_that_leaves_nothing_says_what_to_do(tmp_path):
    corpus = make_corpus(tmp_path, sentences(3))
    with pytest.raises(DataError, match=r"all 3 documents .* decontaminate=false"):
        decontaminated_stage(Store(tmp_path / "store", verify="hash"), corpus, [corpus])


def test_each_pair_of_sets_that_is_not_disjoint_is_a_sentence_with_counts():
    clean = {"documents": 9, "in_train": 0, "near_train": 0}
    assert overlap_sentences(clean, {"quiz": {**clean, "in_target": 0, "near_target": 0}}) == []
    found = overlap_sentences(
        {"documents": 300, "in_train": 290, "near_train": 3},
        {"quiz": {"documents": 1500, "in_train": 0, "near_train": 7, "in_target": 2, "near_target": 0}},
    )
    assert found == [
        "290 of 300 documents of the target set are also and 3 nearly among the candidates: scores and weights that "
        "are based on the target favour these.",
        "7 of 1,500 documents of quiz are nearly among the candidates: results on quiz may flatter the model.",
        "2 of 1,500 documents of quiz are also in the target set, which scores or weights are based on: results on "
        "quiz may flatter the model.",
    ]
