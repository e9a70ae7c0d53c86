"""What lm-evaluation-harness asks of a model, as a map: each request is a row, for whichever process takes its shard.

Tasks and metrics stay in the process of the run, which needs neither network nor tokenizer: requests are texts.
N requests, K numbers or texts of an answer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.files import digest
from delt_exp.mapping.items import Advance, judged, settings_of
from delt_exp.mapping.judge import Numbers
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.tokenizer.base import Tokenizer

ANSWERS = {"loglikelihood": (3, "float64"), "loglikelihood_rolling": (1, "float64"), "generate_until": (2, "object")}
"""Kinds of requests: how many numbers or texts an answer has, and their type; see `RequestJudge`."""
WRITING = 128  # an estimate: a token that is written takes as long as so many that are read


@dataclass(frozen=True, eq=False)
class Requests:
    """Requests of one shard: the arguments of each, the number of the first, and how they are to be read."""

    arguments: Sequence[tuple[Any, ...]]
    first: int
    batch_tokens: int
    advance: Advance

    def __len__(self) -> int:
        return len(self.arguments)

    def only(self, request: int) -> "Requests":
        """Return one request alone."""
        return Requests(self.arguments[request : request + 1], self.first + request, self.batch_tokens, self.advance)


@dataclass(frozen=True)
class RequestJudge:
    """Answers requests of one kind with the model and the tokenizer of two folders, as the harness does.

    `loglikelihood`: log p of a continuation [nats], 1 if greedy decoding finds it, 1 if the context lost its beginning;
    `loglikelihood_rolling`: log p of a text; `generate_until`: what the model writes, and `cut` where the context lost
    its beginning.
    """

    kind: str
    model_folder: Path
    tokenizer_folder: Path
    context_tokens: int

    @property
    def width(self) -> int:
        return ANSWERS[self.kind][0]

    @property
    def dtype(self) -> str:
        return ANSWERS[self.kind][1]

    def open(self, device: str) -> Callable[[Requests], NDArray[Any]]:
        from delt_exp.eval_dataset.harness_model import HarnessModel

        network, tokenizer = load_causal_lm(self.model_folder).to(device), Tokenizer(self.tokenizer_folder).pretrained()

        def answer(requests: Requests) -> NDArray[Any]:
            batch_size = max(1, requests.batch_tokens // self.context_tokens)
            model = HarnessModel(network, tokenizer, self.context_tokens, batch_size, requests.advance)
            return model.answers(self.kind, requests.arguments, requests.first)

        return answer


@dataclass(frozen=True, eq=False)
class RequestItems:
    """Requests of one kind. arguments: of each, as the harness has them; names: task and example of each."""

    UNIT: ClassVar[str] = "requests"
    arguments: Sequence[tuple[Any, ...]]
    names: Sequence[str]
    judge: RequestJudge

    @property
    def source(self) -> str:
        return digest(self.arguments, settings_of(self.judge))

    def sizes(self) -> NDArray[np.int64]:
        return np.array([self._size(*arguments) for arguments in self.arguments], np.int64)

    def _size(self, text: str, asked: "str | Mapping[str, Any]" = "") -> int:
        """Return the tokens of a request, of texts at most."""
        num_bytes, context = len(text.encode()), self.judge.context_tokens
        if self.judge.kind == "loglikelihood_rolling":
            return num_bytes
        if isinstance(asked, str):
            return min(num_bytes, context) + len(asked.encode())
        return min(num_bytes, context) + WRITING * int(asked["max_gen_toks"])

    def ids(self, items: slice) -> NDArray[np.uint64]:
        return np.arange(items.start, items.stop, dtype=np.uint64)

    def read(
        self, judgement: Callable[[Requests], Numbers], items: slice, batch_tokens: int, advance: Advance
    ) -> Numbers:
        def place(batch: Requests) -> str:
            return self.names[batch.first]

        # All at once: the harness sorts them by length, and reads the same context once for several short answers.
        requests = Requests(self.arguments[items], items.start, batch_tokens, advance)
        return judged(judgement, requests, place, self.judge.width)
