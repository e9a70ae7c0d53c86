"""The regression model of a data scorer (DELT, arXiv 2506.21545).

W windows, T positions, C channels, D documents.
"""

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from delt_exp.corpus.windows import WindowBatch


class Batch(NamedTuple):
    """Windows of one forward pass as tensors, which Lightning moves to its device; see `WindowBatch`."""

    ids_WT: Tensor
    lengths_W: Tensor
    document_W: Tensor

    @classmethod
    def of(cls, batch: WindowBatch) -> "Batch":
        """Return a batch without its labels, on the CPU."""
        return cls(*map(torch.from_numpy, (batch.ids_WT, batch.lengths_W, batch.document_W)))


class Regressor(nn.Module):
    """The body of a causal LM, mean pooling over all positions of a document, and a linear head with bias.

    layers: `last` pools the last hidden states, `all` those of the embedding and of every layer, side by side. The head
    starts at zero, so that the first prediction is the mean score.
    """

    def __init__(self, body: nn.Module, channels: int, layers: str) -> None:
        super().__init__()
        self.body, self.layers = body, layers
        self.head = nn.utils.skip_init(nn.Linear, channels, 1)  # draws no random numbers
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @classmethod
    def of_causal_lm(cls, network: Any) -> "Regressor":
        """Return a regressor on the last hidden states of `body_of(network)`."""
        return cls(body_of(network), network.get_output_embeddings().weight.shape[1], "last")

    def forward(self, ids_WT: Tensor, lengths_W: Tensor) -> Tensor:
        """Return, for each window, the sum over its positions of head weight times hidden state, in float32.

        Divided by the positions of a document, and with the bias added, the sums of its windows are its prediction.
        """
        sums_WC = summed_states(self.body, self.layers, ids_WT, lengths_W)
        return (sums_WC * self.head.weight).sum(1)  # no matmul: autocast would make it bf16

    def predict(self, batch: Batch) -> Tensor:
        """Return [D] predictions for a batch that holds every window of its documents 0 .. D-1."""
        num_documents = int(batch.document_W[-1]) + 1
        zeros_D = torch.zeros(num_documents, device=batch.ids_WT.device)
        dots_D = zeros_D.index_add(0, batch.document_W, self(batch.ids_WT, batch.lengths_W))
        return dots_D / zeros_D.index_add(0, batch.document_W, batch.lengths_W.float()) + self.head.bias


def body_of(network: Any) -> nn.Module:
    """Return a float32 copy of the body of a `transformers` causal LM, which stays as it is."""
    body: nn.Module = copy.deepcopy(network.base_model).float().requires_grad_(True)
    return body


def summed_states(body: nn.Module, layers: str, ids_WT: Tensor, lengths_W: Tensor) -> Tensor:
    """Return [W, C]: the sum over the positions of each window of the hidden states of `layers`, in float32.

    Windows are padded on the right and attention is causal, so that padding needs no mask.
    """
    is_all = {"output_hidden_states": True} if layers == "all" else {}
    output = body(input_ids=ids_WT, use_cache=False, **is_all)
    states = output.hidden_states if is_all else [output.last_hidden_state]
    is_padding_WT1 = (torch.arange(ids_WT.shape[1], device=ids_WT.device) >= lengths_W[:, None])[..., None]
    return torch.cat([state_WTC.float().masked_fill(is_padding_WT1, 0.0).sum(1) for state_WTC in states], 1)
