"""Whether documents that share a sequence stay apart in a network: measured, because architectures do not say."""

from typing import Any

import torch

from delt_exp.errors import ConfigError
from delt_exp.model.next_token import evaluating, next_token_logits
from delt_exp.rows.draws import generator

NUM_TOKENS = 8  # of each of two documents
TOLERANCE = 1e-3  # of the largest logit; float32 rounds to about 1e-6, and what leaks is some per cent


def check_isolation(network: Any) -> None:
    """Raise ConfigError unless a packed document has the logits that it has alone, whatever stands before it."""
    draws, vocab_size = generator(0, "documents of the isolation probe"), network.config.get_text_config().vocab_size
    first, other, second = torch.from_numpy(draws.integers(vocab_size, size=(3, NUM_TOKENS)))
    one, device = torch.arange(NUM_TOKENS), next(network.parameters()).device
    positions = torch.cat([one, one])[None].to(device)
    with torch.no_grad(), evaluating(network):
        alone = next_token_logits(network, {"input_ids": second[None].to(device)})[0]
        for before in (first, other):
            batch = {"input_ids": torch.cat([before, second])[None].to(device), "position_ids": positions}
            try:
                packed = next_token_logits(network, batch)[0, NUM_TOKENS:]
            except TypeError:  # it takes no positions
                _refuse(network)
            if (packed - alone).abs().max() > TOLERANCE * alone.abs().max():
                _refuse(network)


def _refuse(network: Any) -> None:
    raise ConfigError(
        f"training.layout=packed_isolated: in a {network.config.model_type} network a packed document is influenced by "
        "the one before it; use training.layout=padded, which keeps documents apart, or packed, which does not"
    )
