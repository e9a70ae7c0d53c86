"""The question that a trained judge learns and answers. D documents of a batch, V vocabulary."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.dataset.base import Document
from delt_exp.errors import ConfigError
from delt_exp.files import digest
from delt_exp.mapping.judge import TextBatch
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.scorer.ask_llm.judge import answers
from delt_exp.scorer.ask_llm.prompt import ANSWER, NO, YES, asked, cleaned
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.tokenizer.span import Span


@dataclass(frozen=True)
class Solved:
    """Questions with their answers, as a dataset of prompts and texts."""

    VERSION: ClassVar[int] = 1
    pairs: tuple[tuple[str, str], ...]

    def documents(self) -> Iterator[Document]:
        return (Document(f" {answer}", prompt=prompt) for prompt, answer in self.pairs)

    def fingerprint(self) -> str:
        return digest([list(pair) for pair in self.pairs])


@dataclass(frozen=True)
class Asking:
    """The question about the first `text_tokens` tokens of a text, up to where its answer begins."""

    question: str
    text_tokens: int

    def prompt(self, text: str, tokenizer: Tokenizer) -> str:
        """Return the question about the beginning of a text."""
        return f"{asked(tokenizer.beginning(cleaned(text), self.text_tokens), self.question)}\n\n{ANSWER}"

    def ids(self, texts: Sequence[str], tokenizer: Tokenizer) -> list[list[int]]:
        """Return the tokens of each question, as training reads them, up to where yes and no differ."""
        begun, _, _ = self.answers(tokenizer)
        spans = [[Span(self.prompt(text, tokenizer), False), Span(f" {YES}", True)] for text in texts]
        questions = [ids[: int(np.argmax(is_predicted))] for ids, is_predicted in tokenizer.encode_spans(spans)]
        return [[tokenizer.begin_id, *ids, *begun] for ids in questions]

    def answers(self, tokenizer: Tokenizer) -> tuple[list[int], int, int]:
        """Return the tokens that both answers begin with, such as a space, and the next one of yes and of no.

        Raises ConfigError where they do not differ.
        """
        both = [[Span(self.prompt("", tokenizer), False), Span(f" {answer}", True)] for answer in (YES, NO)]
        yes, no = (ids[int(np.argmax(is_predicted)) :] for ids, is_predicted in tokenizer.encode_spans(both))
        differ = next((n for n, (one, other) in enumerate(zip(yes, no, strict=False)) if one != other), None)
        if differ is None:
            raise ConfigError(f"the tokens of yes and no are alike to the proxy ({yes}, {no}); choose another proxy")
        return yes[:differ], yes[differ], no[differ]


@dataclass(frozen=True)
class TrainedYesNo:
    """[D, 2] log P of yes and of no after the question about a text: of the first token in which they differ.

    context_tokens: of a question.
    """

    width: ClassVar[int] = 2
    dtype: ClassVar[str] = "float64"
    name: str
    tokenizer_folder: Path
    asking: Asking
    context_tokens: int

    def open(self, device: str) -> Callable[[TextBatch], NDArray[Any]]:
        import torch

        from delt_exp.model.shared_prefix import read_prefix

        network, tokenizer = load_causal_lm(self.name).to(device), Tokenizer(self.tokenizer_folder)
        _, yes, no = self.asking.answers(tokenizer)
        with torch.inference_mode():
            prefix = read_prefix(network, (tokenizer.begin_id,))

        def judgement(batch: TextBatch) -> NDArray[Any]:
            with torch.inference_mode():
                logits_DV = prefix.last_logits(network, self.asking.ids(batch.texts, tokenizer))
                return np.asarray(answers(logits_DV, [yes], [no])[:, :2].cpu().numpy())

        return judgement
