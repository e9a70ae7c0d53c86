"""How a model judges held-out preferences, compared with the network that its training run began with. P pairs."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, settings
from delt_exp.config.identity import identity
from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.pairs import answer_tokens, fitting, sides
from delt_exp.corpus.stages import corpus_stage, text_stage
from delt_exp.corpus.tokens import TokenizedCorpus, Tokens
from delt_exp.corpus.writing import WHOLE
from delt_exp.dataset.base import Dataset
from delt_exp.errors import DataError
from delt_exp.eval_dataset.base import Evaluation, Measure
from delt_exp.eval_dataset.evaluation import evaluation_stage, read_measures, write_columns, write_measures
from delt_exp.mapping.pairs import map_pairs
from delt_exp.model.recipe import Recipe
from delt_exp.preference.judges import PreferenceJudge, ReferenceJudge
from delt_exp.progress import say
from delt_exp.resources import Resources
from delt_exp.statistics.ratio import ratio_stderr
from delt_exp.store.store import Store
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.trainer.job import TrainedModel

COLUMNS = ("log_p", "reference_log_p", "kl")


@settings
class Preferences:
    """Measures the answers of the pairs of `dataset`, the first `limit` of those that fit the context (null: all).

    The reward of an answer is log p(model) - log p(start), summed over its tokens; a margin is the reward of the chosen
    answer less that of the rejected one. `reward_accuracy` is the share of pairs with a positive margin (0 counts half:
    a model like its start has 0.5), `margin` its mean [nats]. Both can grow while a model gets worse at writing either
    answer, so there are `chosen_log_likelihood` and `rejected_log_likelihood` [nats/token] and `kl`, the mean over the
    tokens of the chosen answers of the exact KL(model || start) of the next token [nats/token]: an estimate on given
    answers, not on those the model would write. All have standard errors over pairs. The stage keeps them pair by pair
    (`pairs.parquet`).
    """

    VERSION: ClassVar[int] = 1
    dataset: Dataset
    limit: Count | None

    def prepare(self, resources: Resources) -> NDArray[np.uint64]:
        """Read and tokenise the dataset; return the content ids of its documents.

        Raises DataError where not all documents are preferences.
        """
        tokens = self._read(resources.store, resources.run_tokenizer).tokens
        sides(tokens)
        return tokens.ids

    def text(self, store: Store) -> Corpus:
        """Return the documents of the dataset; whoever compares texts sees the chosen sides."""
        return corpus_stage(store, self.dataset, WHOLE)

    def check_model(self, name: str, model: Recipe, resources: Resources) -> None:
        which_fit(name, self._read(resources.store, resources.run_tokenizer).tokens, model.context_tokens)

    def evaluate(self, name: str, model: TrainedModel, resources: Resources) -> Evaluation:
        """Return all measures; raises DataError where no pair fits the context of the model."""
        data = self._read(resources.store, model.tokenizer)
        tokens, fits = data.tokens, which_fit(name, data.tokens, model.context_tokens)
        if not fits.all():
            say(f"{name}: {int((~fits).sum())} of {len(tokens)} pairs do not fit the context and are left out")
        rows = np.flatnonzero(fits)[: self.limit]
        inputs = {
            "evaluation": f"preferences {self.VERSION}",
            "model": model.key,
            "start": [identity(model.network), model.seed],
            "tokens": tokens.digest,
            "pairs": len(rows),
            "context_tokens": model.context_tokens,
        }

        folder = evaluation_stage(resources.store, inputs, partial(_measure, name, tokens, rows, model, resources))
        reasons = left_out(data.corpus, num_too_long=int((~fits).sum()))
        return Evaluation(read_measures(folder, name, Measure), folder, None, reasons)

    def _read(self, store: Store, tokenizer: Tokenizer) -> TokenizedCorpus:
        return text_stage(store, self.text(store), tokenizer)


def which_fit(name: str, tokens: Tokens, context_tokens: int) -> NDArray[np.bool_]:
    """Return [N] whether the answers of each preference fit the context; raises DataError where none does."""
    fits = fitting(tokens, context_tokens)
    if not fits.any():
        raise DataError(
            f"eval_dataset {name}: none of {len(tokens)} pairs has answers that fit the context of the model, "
            f"{context_tokens} tokens; use a model with a longer context"
        )
    return fits


def left_out(corpus: Corpus, num_too_long: int) -> dict[str, int]:
    """Return how many preferences of a dataset are not measured, by reason."""
    reasons = {
        **corpus.meta["left_out"],
        "preferences with an answer of which the tokenizer makes no token": corpus.meta["counts"].get(
            "without_tokens", 0
        ),
        "preferences with an answer that does not fit the context": num_too_long,
    }
    return {reason: number for reason, number in reasons.items() if number}


def preference_measures(numbers_P23: NDArray[np.float64], tokens_P2: NDArray[np.int64]) -> list[Measure]:
    """Return the measures of pairs; no dataset name yet.

    numbers_P23: log p, reference log p and KL of the chosen and of the rejected answer. tokens_P2: their tokens.
    """
    reward_P2 = numbers_P23[..., 0] - numbers_P23[..., 1]
    margin_P = reward_P2[:, 0] - reward_P2[:, 1]
    ones_P, count = np.ones(len(margin_P)), len(margin_P)
    rows: list[tuple[str, NDArray[Any], NDArray[Any], str, Any]] = [
        ("reward_accuracy", (np.sign(margin_P) + 1) / 2, ones_P, "share of pairs", "higher"),
        ("margin", margin_P, ones_P, "nats", "higher"),
        ("chosen_log_likelihood", numbers_P23[:, 0, 0], tokens_P2[:, 0], "nats/token", "higher"),
        ("rejected_log_likelihood", numbers_P23[:, 1, 0], tokens_P2[:, 1], "nats/token", "lower"),
        ("kl", numbers_P23[:, 0, 2], tokens_P2[:, 0], "nats/token", "lower"),
    ]
    return [
        Measure("", metric, float(sums_P.sum() / sizes_P.sum()), ratio_stderr(sums_P, sizes_P), count, unit, better)
        for metric, sums_P, sizes_P, unit, better in rows
    ]


def _measure(
    name: str, tokens: Tokens, rows: NDArray[np.intp], model: TrainedModel, resources: Resources, folder: Path
) -> None:
    start = ReferenceJudge(model.network, model.tokenizer, model.seed, "32-true", model.context_tokens)
    judge, shards = PreferenceJudge(str(model.pretrained), start), folder / "shards"
    numbers_P23 = map_pairs(resources, tokens, rows, judge, shards, f"evaluating {name}").reshape(-1, 2, 3)
    tokens_P2 = answer_tokens(tokens, rows)
    columns: dict[str, Any] = {"id": tokens.ids[rows]}
    for side, which in enumerate(("chosen", "rejected")):
        columns |= {f"{which}_{column}": numbers_P23[:, side, k] for k, column in enumerate(COLUMNS)}
        columns[f"{which}_tokens"] = tokens_P2[:, side]
    write_columns(folder / "pairs.parquet", columns)
    write_measures(folder, name, preference_measures(numbers_P23, tokens_P2))
    shutil.rmtree(shards)
