"""The common beginning of many prompts, read once by a causal LM: its key-value cache is copied to every prompt.

B prompts of a batch, T positions after the prefix, C of them, V vocabulary.
"""

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

ROOM_BYTES = 4e9  # for what a pass of prompts takes beside the network and its activations
LOGIT_BYTES = 4


@dataclass(frozen=True, eq=False)
class SharedPrefix:
    """The `ids` that prompts begin with, and the key-value `cache` of them; no ids where the cache cannot be copied."""

    ids: Sequence[int]
    cache: Any

    def last_logits(self, network: Any, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Return [B, V] logits after the last token of each prompt, which begins with `ids` and goes on.

        In several passes where the copies of the cache and the logits of one would take more than ROOM_BYTES.
        """
        size = self.prompts_in_a_pass(network, prompts)
        parts = [prompts[first : first + size] for first in range(0, len(prompts), size)]
        return torch.cat([self._last_logits(network, part) for part in parts])

    def prompts_in_a_pass(self, network: Any, prompts: Sequence[Sequence[int]]) -> int:
        """Return how many of these prompts there is room for, at least one; they count as long as the longest."""
        longest = max(map(len, prompts))
        per_token = _bytes_of(self.cache) / max(len(self.ids), 1)
        positions = min(len(prompts), longest - len(self.ids))  # at which the head is read, if their ends all differ
        logits_bytes = LOGIT_BYTES * positions * network.config.get_text_config().vocab_size
        return max(1, int(ROOM_BYTES / (per_token * longest + logits_bytes)))

    def _last_logits(self, network: Any, prompts: Sequence[Sequence[int]]) -> Tensor:
        last = [len(row) - len(self.ids) - 1 for row in prompts]
        last_B = torch.tensor(last, device=next(network.parameters()).device)
        positions_C, index_B = last_B.unique(return_inverse=True)
        logits_BCV = self.logits(network, prompts, positions_C)
        return logits_BCV[torch.arange(len(prompts), device=index_B.device), index_B]

    def logits(self, network: Any, prompts: Sequence[Sequence[int]], positions_C: Tensor) -> Tensor:
        """Return [B, C, V] logits after these tokens, counted from the end of `ids`, of prompts that begin with them.

        Padded on the right, where nothing looks: what a prompt shares a batch with changes nothing but rounding.
        """
        begin, device = len(self.ids), positions_C.device
        width = max(map(len, prompts)) - begin
        padded = [[*row[begin:], *[0] * (width + begin - len(row))] for row in prompts]
        # A head over all positions would cost more than the network itself, and few positions are asked for.
        options, asked = self._memory(len(prompts), width, device), positions_C
        if "logits_to_keep" in inspect.signature(network.forward).parameters:
            options["logits_to_keep"], asked = positions_C, torch.arange(len(positions_C), device=device)
        inputs_BT = torch.tensor(padded, device=device)
        logits_BTV: Tensor = network(input_ids=inputs_BT, use_cache=self.cache is not None, **options).logits
        return logits_BTV[:, asked]

    def _memory(self, num_prompts: int, width: int, device: Any) -> dict[str, Any]:
        if self.cache is None:
            return {}
        cache = copy.deepcopy(self.cache)
        cache.batch_repeat_interleave(num_prompts)
        mask_BT = torch.ones(num_prompts, len(self.ids) + width, dtype=torch.long, device=device)
        return {"past_key_values": cache, "attention_mask": mask_BT}


def _bytes_of(cache: Any) -> int:
    """Return the size of a key-value cache, 0 where nothing tells."""
    layers = getattr(cache, "layers", None) or []
    tensors = [getattr(layer, name, None) for layer in layers for name in ("keys", "values")]
    return sum(tensor.nbytes for tensor in tensors if isinstance(tensor, Tensor))


def read_prefix(network: Any, ids: Sequence[int]) -> SharedPrefix:
    """Read what prompts begin with; nothing is shared where the network's cache cannot be copied to other prompts."""
    if not len(ids):
        return SharedPrefix((), None)
    inputs_1T = torch.tensor([list(ids)], device=next(network.parameters()).device)
    keeps = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(network.forward).parameters else {}
    cache = getattr(network(input_ids=inputs_1T, use_cache=True, **keeps), "past_key_values", None)
    return SharedPrefix(ids, cache) if hasattr(cache, "batch_repeat_interleave") else SharedPrefix((), None)


def common_prefix(prompts: Sequence[Sequence[int]]) -> Sequence[int]:
    """Return the ids that two or more prompts begin with, at most all but the last of each; none for a single one."""
    if len(prompts) < 2:
        return ()
    shortest = min(prompts, key=len)
    differ = (i for i in range(len(shortest)) if any(row[i] != shortest[i] for row in prompts))
    return shortest[: min(next(differ, len(shortest)), len(shortest) - 1)]
