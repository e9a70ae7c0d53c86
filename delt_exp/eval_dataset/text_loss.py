"""Loss of a model on the documents of a dataset: nats per token, perplexity, bits per byte."""

import math
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import settings
from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.stages import corpus_stage, text_stage
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.corpus.writing import WHOLE
from delt_exp.dataset.base import Dataset
from delt_exp.eval_dataset.base import Evaluation, Measure
from delt_exp.eval_dataset.evaluation import evaluation_stage, read_measures, write_columns, write_measures
from delt_exp.mapping.map_documents import map_documents
from delt_exp.model.token_loss import TokenLossJudge
from delt_exp.resources import Resources
from delt_exp.statistics.ratio import ratio_stderr
from delt_exp.store.store import Store
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.trainer.job import TrainedModel


@dataclass(frozen=True)
class TextMeasure(Measure):
    """A measure over documents, with the sizes that it is made from: predicted tokens and UTF-8 bytes of the texts."""

    num_tokens: int
    num_bytes: int


@settings
class TextLoss:
    """Measures the loss on every document of `dataset`, which stays whole; a prompt is read but not measured.

    `loss` is the mean over all tokens [nats/token], `perplexity` its exponential; `bits_per_byte` divides the same sum
    by the size of the text, so that models with different tokenizers compare. The store keeps the loss of each document
    (`documents.parquet`: id, sum_nats, num_tokens, num_bytes).
    """

    VERSION: ClassVar[int] = 2
    dataset: Dataset

    def prepare(self, resources: Resources) -> NDArray[np.uint64]:
        """Read and tokenise the dataset; return the content ids of its documents."""
        return self._read(resources.store, resources.run_tokenizer).corpus.ids

    def text(self, store: Store) -> Corpus:
        """Return the documents of the dataset."""
        return corpus_stage(store, self.dataset, WHOLE)

    def evaluate(self, name: str, model: TrainedModel, resources: Resources) -> Evaluation:
        """Return loss, perplexity and bits per byte; raises DivergedError when the model gives no finite loss."""
        data = self._read(resources.store, model.tokenizer)
        inputs = {
            "evaluation": f"text_loss {self.VERSION}",
            "model": model.key,
            "tokens": data.tokens.digest,
            "context_tokens": model.context_tokens,
        }

        folder = evaluation_stage(resources.store, inputs, partial(_measure, name, data, model, resources))
        return Evaluation([*read_measures(folder, name, TextMeasure)], folder, folder / "documents.parquet")

    def _read(self, store: Store, tokenizer: Tokenizer) -> TokenizedCorpus:
        return text_stage(store, self.text(store), tokenizer)


def text_measures(sum_nats: NDArray[Any], num_tokens: NDArray[Any], num_bytes: NDArray[Any]) -> list[TextMeasure]:
    """Return the measures of documents with these sums of losses, numbers of tokens and bytes; no dataset name yet."""
    sizes = (int(num_tokens.sum()), int(num_bytes.sum()))
    sum_bits = sum_nats / math.log(2)
    loss, loss_stderr = float(sum_nats.sum() / sizes[0]), ratio_stderr(sum_nats, num_tokens)
    perplexity = float(np.exp(loss))
    perplexity_stderr = None if loss_stderr is None else perplexity * loss_stderr  # delta method
    rows = [
        ("loss", loss, loss_stderr, "nats/token"),
        ("perplexity", perplexity, perplexity_stderr, "per token"),
        ("bits_per_byte", float(sum_bits.sum() / sizes[1]), ratio_stderr(sum_bits, num_bytes), "bits/byte"),
    ]
    return [
        TextMeasure("", metric, value, stderr, len(sum_nats), unit, "lower", *sizes)
        for metric, value, stderr, unit in rows
    ]


def _measure(name: str, data: TokenizedCorpus, model: TrainedModel, resources: Resources, folder: Path) -> None:
    judge, shards = TokenLossJudge(str(model.pretrained), None, model.context_tokens), folder / "shards"
    sum_nats = map_documents(resources, data.tokens, np.arange(len(data)), judge, shards, f"evaluating {name}")[:, 0]
    num_tokens, num_bytes = data.tokens.num_predicted, data.corpus.text_bytes
    columns = {"id": data.corpus.ids, "sum_nats": sum_nats, "num_tokens": num_tokens, "num_bytes": num_bytes}
    write_columns(folder / "documents.parquet", columns)
    write_measures(folder, name, text_measures(sum_nats, num_tokens, num_bytes))
    shutil.rmtree(shards)
