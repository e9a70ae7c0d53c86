"""Diversity of one text between its bounds."""

import pytest

from delt_exp.alignment.table import coefficients
from delt_exp.alignment.task2vec.diversity import diversity
from delt_exp.errors import ConfigError
from tests.alignment.tiny import make_resources, make_text, sentences, task2vec


@pytest.mark.slow
def test_diversity_is_one_minus_the_alignment_with_itself_and_lies_between_its_bounds(tmp_path):
    """Under a probe this small ten words in random order are no more diverse than one token, so there are twenty."""
    resources = make_resources(tmp_path)
    text = make_text(tmp_path, sentences(20) + sentences(20, disguised=True))
    metric = task2vec(batch_documents=2, num_batches=10)
    found = diversity(metric, text, resources)
    (row,) = coefficients(metric, {"a": text}, {"a": text}, resources)
    assert found.coefficient.value == pytest.approx(1 - row.value)
    assert found.coefficient.low == pytest.approx(1 - row.high)
    assert found.coefficient.high == pytest.approx(1 - row.low)
    assert found.lower < found.coefficient.value < found.upper


@pytest.mark.slow
def test_a_mixture_is_more_diverse_than_its_parts(tmp_path):
    resources = make_resources(tmp_path)
    one, other = sentences(40, seed=1), sentences(40, seed=2, disguised=True)
    small = task2vec(batch_documents=2, num_batches=10)
    parts = [diversity(small, make_text(tmp_path, items), resources).coefficient.value for items in (one, other)]
    mixed = diversity(small, make_text(tmp_path, one[:20] + other[:20]), resources)
    assert mixed.coefficient.value > max(parts)


def test_one_batch_has_no_diversity(tmp_path):
    with pytest.raises(ConfigError, match=r"use alignment.task2vec.num_batches=2 or more"):
        diversity(task2vec(num_batches=1), make_text(tmp_path, sentences(8)), make_resources(tmp_path))
