"""The regression model of the data scorer (DELT, arXiv 2506.21545).

W windows, T positions, C channels, D documents.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from delt_exp.data_scorer.windows import Batch


class Regressor(nn.Module):
    """The body of a causal LM, mean pooling over all positions of a document, and a linear head with bias.

    The head starts at zero, so that the first prediction is the mean score.
    """

    def __init__(self, body: nn.Module, channels: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.utils.skip_init(nn.Linear, channels, 1)  # draws no random numbers
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @classmethod
    def of_causal_lm(cls, network: Any) -> "Regressor":
        """Return a regressor on a float32 copy of the body of a `transformers` causal LM, which stays as it is."""
        body = copy.deepcopy(network.base_model).float().requires_grad_(True)
        return cls(body, network.get_output_embeddings().weight.shape[1])

    def forward(self, ids_WT: Tensor, lengths_W: Tensor) -> Tensor:
        """Return, for each window, the sum over its positions of head weight times last hidden state, in float32.

        Divided by the positions of a document, and with the bias added, the sums of its windows are its prediction.
        Windows are padded on the right and attention is causal, so that padding needs no mask.
        """
        hidden_WTC = self.body(input_ids=ids_WT, use_cache=False).last_hidden_state.float()
        is_padding_WT = torch.arange(ids_WT.shape[1], device=ids_WT.device) >= lengths_W[:, None]
        sum_WC = hidden_WTC.masked_fill(is_padding_WT[..., None], 0.0).sum(1)
        return (sum_WC * self.head.weight).sum(1)  # no matmul: autocast would make it bf16

    def predict(self, batch: Batch) -> Tensor:
        """Return [D] predictions for a batch that holds every window of its documents 0 .. D-1."""
        num_documents = int(batch.document_W[-1]) + 1
        zeros_D = torch.zeros(num_documents, device=batch.ids_WT.device)
        dots_D = zeros_D.index_add(0, batch.document_W, self(batch.ids_WT, batch.lengths_W))
        return dots_D / zeros_D.index_add(0, batch.document_W, batch.lengths_W.float()) + self.head.bias
