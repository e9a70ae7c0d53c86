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


@dataclass(frozen=True, eq=False)
class SharedPrefix:
    """The `ids` that prompts begin with, and the key-value `cache` of them; no ids where the cache cannot be copied."""

    ids: Sequence[int]
    cache: Any

    def last_logits(self, network: Any, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Return [B, V] logits after the last token of each prompt, which begins with `ids` and goes on."""
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
