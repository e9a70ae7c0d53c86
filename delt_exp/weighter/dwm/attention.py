"""The weighting model: looks at all sequences of a batch and gives each a number.

B sequences of a batch, F features of a sequence, W width.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, scaled_dot_product_attention

from delt_exp.rows.draws import seed_for


class Attention(nn.Module):
    """One layer of attention between the sequences of a batch, without positions: who is where does not matter.

    u_i = a . tanh(h_i + sum_j attention_ij V h_j), h_i = E (f_i, normalised to mean 0 and deviation 1). a begins as 0,
    so that all sequences weigh alike until something is learnt; float64, for it is small.
    """

    def __init__(self, num_features: int, width: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for(seed, "the weighting model"))
            self.embed = nn.Linear(num_features, width, dtype=torch.float64)
            self.attend = nn.Linear(width, 3 * width, bias=False, dtype=torch.float64)
        self.last = nn.Parameter(torch.zeros(width, dtype=torch.float64))

    def forward(self, features_BF: Tensor) -> Tensor:
        """Return logits [B]."""
        h_BW: Tensor = self.embed(layer_norm(features_BF.double(), features_BF.shape[1:]))
        q_1BW, k_1BW, v_1BW = self.attend(h_BW)[None].chunk(3, dim=-1)
        seen_BW = scaled_dot_product_attention(q_1BW, k_1BW, v_1BW)[0]
        return torch.tanh(h_BW + seen_BW) @ self.last
