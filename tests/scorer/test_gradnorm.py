"""The gradient norm of every document, against one backward pass at a time."""

import numpy as np
import pytest
import torch

from delt_exp.corpus.tokens import IGNORED
from delt_exp.proxy.trained import TrainedProxy
from delt_exp.scorer.gradnorm import GradnormScorer
from delt_exp.scorer.lqs.documents import document_sample
from delt_exp.trainer.module import SummedLoss, next_token_logits
from tests.helpers import make_pool, tiny_recipe, words


def test_the_score_is_the_norm_of_the_gradient_of_the_mean_loss(tmp_path):
    pool = make_pool(tmp_path, words(9))
    proxy = TrainedProxy(tiny_recipe(), "sample", 1_000, 0)
    scores = GradnormScorer(proxy, context_tokens=16).score(pool)
    network = proxy.prepare(pool.resources, pool.candidates).network
    for row in range(9):
        sample = document_sample(pool.candidates.tokens, row, 16)
        network.zero_grad()
        loss = SummedLoss()(next_token_logits(network, sample.input_ids_T[None], None), sample.labels_T[None])
        (loss / int((sample.labels_T != IGNORED).sum())).backward()
        norm = torch.stack([p.grad.norm() for p in network.parameters()]).norm()
        assert scores[row] == pytest.approx(float(norm), rel=1e-4)
    assert np.isfinite(scores).all()
