"""The hidden states of a causal language model as vectors."""

import pytest
import torch

from delt_exp.errors import ConfigError
from tests.alignment.tiny import make_resources, tiny_probe
from tests.encoder.tiny import embedded, tiny_encoder


@pytest.mark.slow
def test_a_vector_does_not_depend_on_its_batch_and_is_the_mean_of_the_hidden_states(tmp_path):
    resources = make_resources(tmp_path)
    together = embedded(tiny_encoder(), ["fold", "a longer document"], resources, tmp_path)
    alone = embedded(tiny_encoder(), ["fold"], resources, tmp_path)
    assert together[0] == pytest.approx(alone[0], abs=1e-6)
    probe = tiny_probe().prepare(resources)
    with torch.no_grad():
        hidden_TD = probe.network.base_model(torch.tensor(probe.tokenizer.encode(["fold"]))).last_hidden_state[0]
    mean = hidden_TD.mean(0)
    assert alone[0] == pytest.approx((mean / mean.norm()).numpy(), abs=1e-6)


def test_a_context_longer_than_the_probe_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="the probe has 64 positions"):
        tiny_encoder(context_tokens=65).judge(make_resources(tmp_path))
