"""How long a text a network can take, by its configuration."""

import pytest
from transformers import GPT2Config, LlamaConfig, MambaConfig, MPNetConfig, RobertaConfig

from delt_exp.pretrained.limits import position_limit


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        (LlamaConfig(max_position_embeddings=64), 64),
        (GPT2Config(n_positions=32), 32),
        (MambaConfig(), None),
        (RobertaConfig(max_position_embeddings=514, pad_token_id=1), 512),  # places 0 and 1 are for padding
        (MPNetConfig(max_position_embeddings=514, pad_token_id=1), 512),
    ],
)
def test_positions_that_a_text_can_have(config, limit):
    assert position_limit(config) == limit
