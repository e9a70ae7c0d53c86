"""Signatures against sets of n-grams, how often documents of a known similarity are linked, and clusters of links."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delt_exp.mapping.judge import TextBatch
from delt_exp.ngrams import hashed
from delt_exp.ngrams.deduplicated import deduplicated_stage
from delt_exp.ngrams.minhash import BandJudge, MinHash, clusters
from tests.helpers import make_pool

FINEWEB = MinHash(ngram_words=5, bands=14, rows=8)


def bands(texts, minhash=FINEWEB, first_id=0):
    ids = np.arange(first_id, first_id + len(texts), dtype=np.uint64)
    return BandJudge(minhash).open("cpu")(TextBatch(texts, ids, np.arange(len(texts))))


def words_of(rng, count):
    return [f"w{number}" for number in rng.integers(10**9, size=count)]


def test_the_order_and_the_number_of_equal_n_grams_do_not_matter():
    one = "a b c d e f"
    # The same two 5-grams; between their repetitions stand others, so only sets are compared with sets.
    np.testing.assert_array_equal(bands(["a b c d e f a b c d e f"]), bands(["a b c d e f a b c d e f a b c d e f"]))
    assert not np.array_equal(bands([one]), bands(["b c d e f a"]))


def test_case_and_white_space_do_not_matter():
    np.testing.assert_array_equal(bands(["One two,\nthree four five six"]), bands([" one TWO , three  four five SIX"]))


@pytest.mark.parametrize("similarity", [0.2, 0.5, 0.8])
def test_one_number_agrees_as_often_as_the_n_grams_are_shared(similarity):
    rng = np.random.default_rng(0)
    shared = round(2 * 400 * similarity / (1 + similarity))  # of 400 words each: s / (2 * 400 - s) = similarity
    common, left, right = (words_of(rng, n) for n in (shared, 400 - shared, 400 - shared))
    one, other = bands([" ".join(common + left), " ".join(common + right)], MinHash(1, 2000, 1))
    assert (one == other).mean() == pytest.approx(similarity, abs=4 * (similarity * (1 - similarity) / 2000) ** 0.5)


@pytest.mark.slow
def test_pairs_are_linked_as_often_as_the_formula_says():
    rng, num_pairs, similarity, linked = np.random.default_rng(1), 300, 0.7, 0
    minhash = MinHash(1, 14, 8)
    for _ in range(num_pairs):
        shared = round(400 * similarity / (1 + similarity))
        common, left, right = (words_of(rng, n) for n in (shared, 200 - shared, 200 - shared))
        one, other = bands([" ".join(common + left), " ".join(common + right)], minhash)
        linked += bool((one == other).any())
    expected = 1 - (1 - 0.7**8) ** 14
    assert linked / num_pairs == pytest.approx(expected, abs=4 * (expected * (1 - expected) / num_pairs) ** 0.5)


def test_a_short_document_is_one_n_gram_and_one_without_a_word_is_like_no_other():
    found = bands(["a b", "A  B", "a b c", "b", " ", "\n"])
    np.testing.assert_array_equal(found[0], found[1])
    assert len(np.unique(found, axis=0)) == 5


def test_batches_and_chunks_change_nothing(monkeypatch):
    rng = np.random.default_rng(3)
    texts = [" ".join(words_of(rng, n)) for n in (1, 4, 5, 6, 50, 0, 200)]
    whole = bands(texts)
    alone = np.concatenate([bands([text], first_id=i) for i, text in enumerate(texts)])
    monkeypatch.setattr(hashed, "CHUNK_CHARS", 100)
    np.testing.assert_array_equal(bands(texts), whole)
    np.testing.assert_array_equal(alone, whole)


def test_hashes_are_whole_numbers_that_a_float64_holds():
    found = bands(["a b c d e f g", "h"])
    assert (found == np.floor(found)).all()
    assert found.max() < 2**52


@pytest.mark.slow
@given(st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=1, max_size=12))
def test_clusters_are_what_links_connect_and_are_named_by_their_first_row(keys):
    first = list(range(len(keys)))
    for _ in keys:  # as often as a chain could need
        for i, one in enumerate(keys):
            for j, other in enumerate(keys):
                if any(a == b for a, b in zip(one, other, strict=True)):
                    first[i] = first[j] = min(first[i], first[j])
    assert clusters(np.array(keys, np.float64)).tolist() == first


def near(text):
    """The same text with its last word exchanged."""
    return text.rsplit(" ", 1)[0] + " other"


def test_a_corpus_keeps_the_first_document_of_each_cluster_and_counts_the_others(tmp_path):
    rng = np.random.default_rng(7)
    texts = [" ".join(words_of(rng, 300)) for _ in range(5)]
    pool = make_pool(
        tmp_path, [texts[0], texts[1], near(texts[0]), texts[2], near(texts[1]), texts[1] + " more", texts[3]]
    )
    kept = deduplicated_stage(pool.resources, pool.candidates.corpus, FINEWEB)
    assert list(kept.texts()) == [texts[0], texts[1], texts[2], texts[3]]
    assert kept.meta["counts"]["near_duplicates"] == 3
    again = deduplicated_stage(pool.resources, pool.candidates.corpus, FINEWEB)
    assert again.folder == kept.folder
    assert not list(kept.folder.glob("shards*"))


def test_another_setting_is_another_corpus(tmp_path):
    pool = make_pool(tmp_path, ["a b c", "a b d"])
    strict = deduplicated_stage(pool.resources, pool.candidates.corpus, FINEWEB)
    loose = deduplicated_stage(pool.resources, pool.candidates.corpus, MinHash(1, 200, 1))
    assert (len(strict), len(loose)) == (2, 1)


# Against datasketch, which is no dependency: it keeps about 5 GB for a million documents


def datasketch_of(texts, num_perm):
    """Its signatures of the same word 5-grams."""
    datasketch = pytest.importorskip("datasketch")
    found = []
    for text in texts:
        words, signature = text.split(), datasketch.MinHash(num_perm=num_perm, seed=1)
        signature.update_batch([" ".join(words[i : i + 5]).encode() for i in range(len(words) - 4)])
        found.append(signature)
    return found


def exchanged(rng, text, num_words):
    """The text with every so many-th word exchanged; each is in five 5-grams."""
    words = text.split()
    for place in np.linspace(5, len(words) - 6, num_words).astype(int):
        words[place] = words_of(rng, 1)[0]
    return " ".join(words)


@pytest.mark.slow
@pytest.mark.parametrize("num_exchanged", [1, 5, 15])
def test_jaccard_estimates_are_those_of_datasketch_and_of_the_sets(num_exchanged):
    """296 5-grams, of which 5 for each exchanged word differ: s = (296 - 5 e) / (296 + 5 e)."""
    rng, num_perm = np.random.default_rng(5), 1024
    text = " ".join(words_of(rng, 300))
    pair = [text, exchanged(rng, text, num_exchanged)]
    one, other = datasketch_of(pair, num_perm)
    ours = (np.equal(*bands(pair, MinHash(5, num_perm, 1)))).mean()
    exact = (296 - 5 * num_exchanged) / (296 + 5 * num_exchanged)
    error = (exact * (1 - exact) / num_perm) ** 0.5
    assert ours == pytest.approx(exact, abs=4 * error)
    assert one.jaccard(other) == pytest.approx(exact, abs=4 * error)


@pytest.mark.slow
def test_clusters_are_those_of_datasketch_where_chance_does_not_decide():
    """Copies with one word exchanged (s = 0.97, linked but for 1e-9) and texts that share nothing."""
    rng = np.random.default_rng(6)
    originals = [" ".join(words_of(rng, 300)) for _ in range(40)]
    texts = [*originals, *(exchanged(rng, text, 1) for text in originals[:25]), *originals[:5]]
    signatures = datasketch_of(texts, FINEWEB.bands * FINEWEB.rows)
    index = pytest.importorskip("datasketch").MinHashLSH(
        params=(FINEWEB.bands, FINEWEB.rows), num_perm=FINEWEB.bands * FINEWEB.rows
    )
    for row, signature in enumerate(signatures):
        index.insert(row, signature)
    first = [min(index.query(signature)) for signature in signatures]
    assert clusters(bands(texts)).tolist() == first
    assert first == [*range(40), *range(25), *range(5)]
