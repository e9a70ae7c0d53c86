"""The network as lm-evaluation-harness sees it, in the process that has it: texts in, answers out, nothing printed.

Only requests.py imports this module; the harness is installed where there are requests. N requests of a shard.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from numpy.typing import NDArray

from delt_exp.eval_dataset.isolation import SEED, seeded, silenced
from delt_exp.mapping.items import Advance


class HarnessModel(HFLM):  # type: ignore[misc]
    """Answers requests; notes which contexts lose their beginning, and tells `advance` what every pass reads."""

    def __init__(self, network: Any, tokenizer: Any, context_tokens: int, batch_size: int, advance: Advance) -> None:
        with silenced():
            super().__init__(network, tokenizer=tokenizer, batch_size=batch_size, max_length=context_tokens)
        self._advance, self._is_cut = advance, list[bool]()

    def answers(self, kind: str, arguments: Sequence[tuple[Any, ...]], first: int) -> NDArray[Any]:
        """Return [N, K] as `RequestJudge` says; what is drawn depends on the number of the first request alone."""
        instances = [Instance(kind, {}, tuple(given), 0) for given in arguments]  # type: ignore[arg-type]
        with silenced(), seeded(SEED + first):
            found = getattr(self, kind)(instances, disable_tqdm=True)
        if kind == "loglikelihood_rolling":
            return np.array(found, np.float64)
        if kind == "loglikelihood":
            return np.column_stack([np.array(found, np.float64), self._is_cut])
        return np.array([(text, "cut" * is_cut) for text, is_cut in zip(found, self._is_cut, strict=True)], object)

    def _loglikelihood_tokens(self, requests: Any, disable_tqdm: bool = False, override_bs: int | None = None) -> Any:
        """Score answers longer than the context in consecutive windows; the harness alone refuses them."""
        size, pieces, owners = self.max_length, [], []
        for row, (text, context, answer) in enumerate(requests):
            for start in range(0, max(len(answer), 1), size):
                pieces.append((text, context + answer[:start], answer[start : start + size]))
                owners.append(row)
        self._is_cut = [len(context) + len(answer) > size + 1 for _, context, answer in requests]
        results = [(0.0, True)] * len(requests)
        found = super()._loglikelihood_tokens(pieces, disable_tqdm=True, override_bs=override_bs)
        for row, (log_p, greedy) in zip(owners, found, strict=True):
            results[row] = (results[row][0] + log_p, results[row][1] and greedy)
        return results

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> Any:
        self._is_cut = [self._loses_its_beginning(*request.args) for request in requests]
        return super().generate_until(requests, disable_tqdm=True)

    def _loses_its_beginning(self, context: str, settings: Mapping[str, Any]) -> bool:
        return bool(len(self.tok_encode(context)) > self.max_length - settings["max_gen_toks"])

    def _model_call(self, inps: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        self._advance(len(inps), inps.numel())
        return super()._model_call(inps, *args, **kwargs)

    def _model_generate(self, context: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        self._advance(len(context), context.numel())
        return super()._model_generate(context, *args, **kwargs)
