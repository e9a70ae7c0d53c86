"""Products and features of one pass are those of two."""

import pytest
import torch

from delt_exp.gradients.features import per_sample_features
from delt_exp.gradients.flat import trainable_parameters
from delt_exp.gradients.joint import terms_and_features
from delt_exp.gradients.kernel import per_sample_terms
from delt_exp.gradients.mapped import AdamStep
from delt_exp.gradients.projection import Projection
from delt_exp.model.objective import CrossEntropy
from tests.gradients.tiny import draw_batch, tiny_model


@pytest.mark.parametrize("family", ["llama tied, padding row", "gpt2"])
@pytest.mark.parametrize("is_mapped", [False, True])
def test_one_pass_gives_what_two_give(family, is_mapped):
    model, batch, projection = tiny_model(family), draw_batch([7, 3, 5]), Projection(64, 0)
    named = trainable_parameters(model)
    adam = AdamStep({name: (0.1 * p.detach(), p.detach().square()) for name, p in named.items()}, step=3)
    transform = adam if is_mapped else None
    direction = torch.randn(2, sum(p.numel() for p in named.values()), dtype=torch.float64)
    dot, norm, features = terms_and_features(model, batch, CrossEntropy(), direction, projection, transform=transform)
    expected = per_sample_terms(model, batch, CrossEntropy(), direction, transform=transform)
    assert torch.equal(dot, expected[0])
    assert torch.equal(norm, expected[1])
    alone = per_sample_features(model, batch, CrossEntropy(), projection, transform)
    torch.testing.assert_close(features, alone, rtol=1e-6, atol=1e-6)
