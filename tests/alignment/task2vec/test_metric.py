"""Task2Vec alignment of whole texts."""

from dataclasses import replace

import numpy as np
import pytest

from delt_exp.alignment.base import Text
from delt_exp.alignment.table import Describer, coefficients, compare
from delt_exp.alignment.task2vec.diversity import diversity
from delt_exp.cli.alignment import _show
from delt_exp.dataset.base import Document
from delt_exp.errors import ConfigError
from tests.alignment.tiny import make_resources, make_text, sentences, task2vec, tiny_probe


@pytest.fixture(scope="module")
def resources(tmp_path_factory):
    return make_resources(tmp_path_factory.mktemp("resources"))


def value(rows, train, evaluation):
    return next(row.value for row in rows if (row.train, row.evaluation) == (train, evaluation))


@pytest.mark.slow
def test_halves_of_a_text_are_more_aligned_than_texts_without_a_common_word(tmp_path, resources):
    texts = {
        "first half": make_text(tmp_path, sentences(24, seed=1)),
        "second half": make_text(tmp_path, sentences(24, seed=2)),
        "other words": make_text(tmp_path, sentences(24, seed=3, disguised=True)),
    }
    rows = coefficients(task2vec(), texts, texts, resources)
    near, far = value(rows, "first half", "second half"), value(rows, "first half", "other words")
    assert far < near < 1
    assert far < value(rows, "other words", "other words") < 1
    assert value(rows, "other words", "first half") == pytest.approx(far, abs=1e-9)  # symmetric
    assert all(row.low < row.value < row.high for row in rows if row.train != row.evaluation)
    plain = coefficients(task2vec(cosine="plain"), texts, texts, resources)
    assert value(plain, "first half", "other words") != far


def test_batches_hold_different_documents_until_all_were_used():
    metric = task2vec(batch_documents=3, num_batches=5)
    batches = metric._batches(np.arange(10, dtype=np.uint64))
    assert [len(set(batch.tolist())) for batch in batches] == [3] * 5
    assert len(set(np.concatenate(batches[:3]).tolist())) == 9  # one pass over the documents
    assert set(batches[3].tolist()) != set(batches[0].tolist())  # the next pass is shuffled anew


@pytest.mark.slow
def test_batches_that_share_documents_give_no_interval_and_say_why(tmp_path, resources):
    texts = {"enough": make_text(tmp_path, sentences(24, seed=1)), "few": make_text(tmp_path, sentences(23, seed=2))}
    rows = {(row.train, row.evaluation): row for row in coefficients(task2vec(), texts, texts, resources)}
    assert rows["enough", "enough"].low is not None
    for pair in (("few", "few"), ("few", "enough"), ("enough", "few")):
        assert (rows[pair].low, rows[pair].high) == (None, None)
        assert rows[pair].without_interval == "batches share documents because one text has too few"
    alone = diversity(task2vec(), texts["few"], resources).coefficient
    assert (alone.low, alone.without_interval) == (None, rows["few", "few"].without_interval)
    assert _show(alone).endswith("(no interval: batches share documents because one text has too few)")


@pytest.mark.slow
def test_one_batch_of_all_documents_is_the_whole_set_variant(tmp_path, resources):
    metric = task2vec(batch_documents=None, num_batches=1)
    texts = {"a": make_text(tmp_path, sentences(5, seed=1)), "b": make_text(tmp_path, sentences(7, seed=2))}
    rows = coefficients(metric, texts, texts, resources)
    assert value(rows, "a", "a") == pytest.approx(1)
    assert 0 < value(rows, "a", "b") < 1
    assert {row.low for row in rows} == {None}


def test_a_part_of_a_corpus_is_described_as_the_same_documents_elsewhere(tmp_path, resources):
    items = sentences(20, seed=4)
    whole = make_text(tmp_path, items)
    rows = np.array([2, 3, 5, 7, 11, 13, 17, 19])
    describer = Describer(task2vec(num_batches=1), resources)
    part = describer.describe(Text(whole.corpus, rows))
    again = describer.describe(make_text(tmp_path, [items[row] for row in rows]))
    assert part.key == again.key != describer.describe(whole).key


def test_a_document_counts_with_its_prompt(tmp_path, resources):
    pairs = [Document(text, f"Q{number} ") for number, text in enumerate(sentences(8))]
    text, completions = make_text(tmp_path, pairs), make_text(tmp_path, sentences(8))
    assert text.read(np.array([1, 0])) == [f"Q1 {sentences(8)[1]}", f"Q0 {sentences(8)[0]}"]
    describer = Describer(task2vec(num_batches=1), resources)
    found = [describer.describe(t).arrays["embeddings"] for t in (text, completions)]
    ((letter,),) = resources.tokenizer.encode(["Q"])
    assert found[0][0, letter] > 0 == found[1][0, letter]  # its row in the table of tokens


@pytest.mark.slow
def test_equal_settings_give_equal_bits(tmp_path):
    text = make_text(tmp_path, sentences(8))
    found = [Describer(task2vec(), make_resources(tmp_path)).describe(text) for _ in range(2)]
    assert np.array_equal(*(f.arrays["embeddings"] for f in found))
    other = Describer(task2vec(seed=1), make_resources(tmp_path)).describe(text)
    assert not np.array_equal(other.arrays["embeddings"], found[0].arrays["embeddings"])


@pytest.mark.slow
def test_descriptions_of_different_probes_lengths_or_settings_do_not_compare(tmp_path, resources):
    text, metric = make_text(tmp_path, sentences(8)), task2vec(num_batches=1)
    one = Describer(metric, resources).describe(text)
    for other, name in (
        (replace(metric, probe=tiny_probe(train_tokens=1024)), "probe.train_tokens"),
        (replace(metric, context_tokens=16), "context_tokens"),
        (replace(metric, epochs=0), "epochs"),
    ):
        with pytest.raises(ConfigError, match=f"descriptions of different {name} do not compare"):
            compare(metric, one, Describer(other, resources).describe(text), resources.store)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_documents": 0}, r"Task2VecAlignment.batch_documents=0 is not allowed"),
        ({"batch_documents": None}, r"use alignment.task2vec.num_batches=1"),
        ({"cosine": "sine"}, r"one of: scaled, plain"),
        ({"lr": 0.0}, r"Task2VecAlignment.lr=0.0 is not allowed"),
        ({"epochs": -1}, r"Task2VecAlignment.epochs=-1 is not allowed"),
        ({"embeddings": "yes"}, r"Task2VecAlignment.embeddings='yes' is not allowed"),
    ],
)
def test_a_wrong_setting_is_refused_at_once(changes, message):
    with pytest.raises(ConfigError, match=message):
        task2vec(**changes)


def test_fewer_documents_than_a_batch_are_refused_with_the_name_of_the_text(tmp_path, resources):
    texts = {"short": make_text(tmp_path, sentences(5))}
    with pytest.raises(
        ConfigError, match=r"alignment.task2vec.batch_documents=8 is more than the 5 documents of text short"
    ):
        coefficients(task2vec(), texts, texts, resources)


def test_a_context_longer_than_the_probe_is_refused(tmp_path, resources):
    texts = {"a": make_text(tmp_path, sentences(8))}
    with pytest.raises(ConfigError, match=r"the probe has 64 positions; use alignment.task2vec.context_tokens=64"):
        coefficients(task2vec(context_tokens=65), texts, texts, resources)
