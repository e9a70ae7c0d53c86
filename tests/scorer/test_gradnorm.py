"""The gradient norm of every document, against one backward pass at a time."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from delt_exp.errors import ConfigError
from delt_exp.proxy.trained import TrainedProxy
from delt_exp.scorer.gradnorm import GradnormScorer
from delt_exp.scorer.reverse.documents import document_samples
from tests.helpers import make_pool, tiny_recipe, words


@pytest.mark.slow
def test_the_score_is_the_norm_of_the_gradient_of_the_mean_loss(tmp_path):
    pool = make_pool(tmp_path, words(9))
    proxy = TrainedProxy(tiny_recipe(), "sample", 1_000, 0)
    scores = GradnormScorer(proxy, context_tokens=16).score(pool)
    network = proxy.prepare(pool.resources, pool.candidates).network
    for row in range(9):
        (sample,) = document_samples(pool.candidates.tokens, [row], 16)
        network.zero_grad()
        cross_entropy(network(input_ids=sample.input_ids_T[None]).logits[0], sample.labels_T).backward()
        norm = torch.stack([p.grad.norm() for p in network.parameters()]).norm()
        assert scores[row] == pytest.approx(float(norm), rel=1e-4)
    assert np.isfinite(scores).all()


def test_a_context_longer_than_the_proxy_is_refused_before_anything_is_read(tmp_path):
    pool, proxy = make_pool(tmp_path, words(9)), TrainedProxy(tiny_recipe(), "sample", 1_000, 0)
    with pytest.raises(ConfigError, match=r"scorer\.context_tokens=65, but .* has 64 positions"):
        GradnormScorer(proxy, context_tokens=65).score(pool)
    assert not (pool.work_dir / "shards").exists()
