"""Perplexity scores: mean token loss under a proxy that is pretrained, or trained on the target or on a sample."""

import math

import numpy as np
import pytest
import torch

from delt_exp.corpus.tokens import IGNORED
from delt_exp.corpus.windows import Windowing, sum_over_windows, windows_of
from delt_exp.errors import ConfigError
from delt_exp.model.token_loss import TokenLossJudge
from delt_exp.proxy.pretrained import PretrainedProxy
from delt_exp.proxy.trained import TrainedProxy
from delt_exp.scorer.perplexity import PerplexityScorer
from tests.helpers import make_pool, new_folder, tiny_recipe, words


@pytest.fixture
def pool(tmp_path):
    german = ["der hund und die katze", "die katze sieht den hund", "das ist ein haus und ein hund"]
    return make_pool(tmp_path, [*words(20), *german], target_texts=words(20, seed=9))


def trained(**changes):
    return TrainedProxy(
        **({"recipe": tiny_recipe(), "train_on": "target", "train_tokens": 20_000, "seed": 0} | changes)
    )


def save_pretrained(pool, folder):
    network = tiny_recipe().make_network(pool.resources.tokenizer, seed=4)
    network.save_pretrained(folder)
    pool.resources.tokenizer.pretrained().save_pretrained(folder)
    return network


def test_the_score_is_the_mean_loss_of_one_document_at_a_time(pool, tmp_path):
    folder = new_folder(tmp_path)
    network = save_pretrained(pool, folder).eval()
    proxy = PretrainedProxy(name=str(folder), revision=None, context_tokens=64, eos_token=None)
    scores = PerplexityScorer(proxy).score(pool)
    for row, text in enumerate(pool.candidates.corpus.texts()):
        ids = torch.tensor([[pool.resources.tokenizer.eos_id, *pool.resources.tokenizer.encode([text])[0]]])
        with torch.no_grad():
            log_p = network(input_ids=ids[:, :-1]).logits[0].log_softmax(-1)
        expected = -log_p[torch.arange(ids.shape[1] - 1), ids[0, 1:]].mean()
        assert scores[row] == pytest.approx(float(expected), rel=1e-4)


def losses(network, tokens, context, batch_tokens=4096):
    """Summed loss of every document under a network in memory."""
    judge = TokenLossJudge("in memory", None, context)
    windows = windows_of(tokens, np.arange(len(tokens)), judge.windowing)
    return sum_over_windows(judge.reading(network), windows, context, batch_tokens)[:, 0]


def test_a_model_that_knows_nothing_gives_the_logarithm_of_the_vocabulary(pool):
    network = tiny_recipe().make_network(pool.resources.tokenizer, seed=0)
    torch.nn.init.zeros_(network.get_output_embeddings().weight)
    sums = losses(network, pool.candidates.tokens, 16)
    np.testing.assert_allclose(sums / pool.candidates.tokens.num_predicted, math.log(257), rtol=1e-6)


@pytest.mark.parametrize("context", [1, 5, 64])
def test_windows_predict_every_token_of_the_text_once(pool, context):
    tokens = pool.candidates.tokens
    windows = windows_of(tokens, np.arange(len(tokens)), Windowing("text", context))
    labels_WT = windows.batch(np.arange(len(windows.lengths_W))).labels_WT
    for row in range(len(tokens)):
        own = labels_WT[windows.document_W == row]
        np.testing.assert_array_equal(own[own != IGNORED], tokens.document(row))


def test_batch_size_changes_nothing_beyond_rounding(pool):
    network = tiny_recipe().make_network(pool.resources.tokenizer, seed=0)
    one, many = (losses(network, pool.candidates.tokens, 16, size) for size in (1, 10_000))
    np.testing.assert_allclose(one, many, rtol=1e-5)


@pytest.mark.slow
def test_text_like_the_target_scores_better(pool):
    scores = PerplexityScorer(trained()).score(pool)
    assert scores[:20].max() < scores[20:].min()


def test_a_proxy_trained_on_a_sample_does_not_need_a_target(pool, tmp_path):
    without = make_pool(tmp_path, words(20))
    scorer = PerplexityScorer(trained(train_on="sample", train_tokens=500))
    assert scorer.needs == {"tokens"}
    assert np.isfinite(scorer.score(without)).all()


@pytest.mark.slow
def test_one_training_serves_every_scorer_that_asks_for_the_same_proxy(pool):
    PerplexityScorer(trained()).score(pool)
    PerplexityScorer(trained()).score(pool)
    assert [use.cached for use in pool.resources.store.uses if use.stage == "model"] == [False, True]


def test_a_proxy_trains_on_target_or_sample_only():
    with pytest.raises(ConfigError, match=r"train_on=.everything. .*one of: target, sample"):
        trained(train_on="everything")
