"""What a language model answers. D documents of a batch, V vocabulary."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.mapping.judge import TextBatch
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.scorer.ask_llm.prompt import Prompt, cleaned
from delt_exp.tokenizer.base import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class YesNoJudge:
    """[D, 3] log P(yes) and log P(no) as the first token of the answer, and the id of the most probable token.

    name, revision: of the model; tokenizer_folder: of its tokenizer. context_tokens: of a text, from its beginning.
    What stands before the text is read once and shared by all documents.
    """

    width: ClassVar[int] = 3
    dtype: ClassVar[str] = "float64"
    name: str
    revision: str | None
    tokenizer_folder: Path
    prompt: Prompt
    context_tokens: int

    def open(self, device: str) -> Callable[[TextBatch], NDArray[Any]]:
        import torch

        from delt_exp.model.shared_prefix import read_prefix

        network, tokenizer = load_causal_lm(self.name, self.revision).to(device), Tokenizer(self.tokenizer_folder)
        with torch.inference_mode():
            prefix = read_prefix(network, self.prompt.before)

        def judgement(batch: TextBatch) -> NDArray[Any]:
            texts = tokenizer.encode([cleaned(text) for text in batch.texts])
            prompts = [self.prompt.around(ids[: self.context_tokens]) for ids in texts]
            with torch.inference_mode():
                logits_DV = prefix.last_logits(network, prompts)
                answers_D3 = answers(logits_DV, self.prompt.yes, self.prompt.no)
            return np.asarray(answers_D3.cpu().numpy())

        return judgement


def answers(logits_DV: "Tensor", yes: Sequence[int], no: Sequence[int]) -> "Tensor":
    """Return [D, 3] log P(yes), log P(no), each over all its tokens, and the id of the most probable token."""
    import torch

    log_p_DV = logits_DV.double().log_softmax(-1)
    sides = [log_p_DV[:, list(ids)].logsumexp(-1) for ids in (yes, no)]
    return torch.stack([*sides, log_p_DV.argmax(-1).double()], 1)
