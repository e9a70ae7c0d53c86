"""How often the answers that a model writes win against others, in the eyes of an oracle. P prompts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, NonNegativeFloat, Seed, settings
from delt_exp.config.identity import identity
from delt_exp.config.keys import moved, naming
from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.pairs import sides
from delt_exp.corpus.stages import corpus_stage, text_stage
from delt_exp.corpus.tokens import TokenizedCorpus, Tokens
from delt_exp.corpus.writing import WHOLE
from delt_exp.dataset.base import Dataset
from delt_exp.errors import ConfigError, DataError
from delt_exp.eval_dataset.base import Evaluation, Measure
from delt_exp.eval_dataset.evaluation import evaluation_stage, read_measures, write_columns, write_measures
from delt_exp.eval_dataset.preferences import left_out, which_fit
from delt_exp.files import digest, read_json, write_json
from delt_exp.model.cost import ModelSize, PhaseCost, Sizes, forward_cost
from delt_exp.model.hf import PretrainedNetwork
from delt_exp.model.recipe import Recipe
from delt_exp.preference.comparison import rewarded, wins_of_first
from delt_exp.preference.oracle import Oracle
from delt_exp.preference.writer import AnswerWriter, PromptItems, answers_stage
from delt_exp.resources import Resources
from delt_exp.rows.draws import seed_for
from delt_exp.statistics.ratio import ratio_stderr
from delt_exp.store.store import Store
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.trainer.job import TrainedModel


@settings
class WinRate:
    """Lets a model answer the first `limit` prompts of `dataset` that fit (null: all), and `oracle` judge the answers.

    `win_rate` is the share of prompts at which its answer has a higher reward than the chosen answer of the dataset,
    `win_rate_over_start` than what the network wrote before training, drawn with the same numbers; equal answers count
    half, and one without text loses. `oracle_accuracy` says what the oracle is worth: how often it ranks the chosen
    answer of the dataset above the rejected one; where that is near 0.5, no win rate says anything. Standard errors are
    over prompts: that of the oracle is not in them. Answers have at most `max_new_tokens` tokens, drawn at
    `temperature` (0: the most probable ones). The stage keeps them (`answers.parquet`).
    """

    VERSION: ClassVar[int] = 3
    dataset: Dataset
    oracle: Oracle
    limit: Count | None
    max_new_tokens: Count
    temperature: NonNegativeFloat
    seed: Seed

    def prepare(self, resources: Resources) -> NDArray[np.uint64]:
        """Read the prompts; return the content ids of their documents.

        Raises DataError where not all documents are preferences.
        """
        data = self._read(resources.store, resources.run_tokenizer)
        sides(data.tokens)
        return data.corpus.ids

    def check_model(self, name: str, model: Recipe, resources: Resources) -> None:
        self._check_room(name, model.context_tokens)
        which_fit(name, self._read(resources.store, resources.run_tokenizer).tokens, model.context_tokens)

    def text(self, store: Store) -> Corpus:
        """Return the documents of the dataset; whoever compares texts sees the chosen sides."""
        return corpus_stage(store, self.dataset, WHOLE)

    def forecast(self, size: ModelSize, resources: Resources) -> list[PhaseCost]:
        """Return the cost of writing the answers of model and start, and of training the oracle, not of its reading."""
        tokens = self._read(resources.store, resources.run_tokenizer).tokens
        starts_P = tokens.answer_starts[: self.limit]
        written = 2 * int((starts_P + self.max_new_tokens).sum())
        answers = forward_cost("answers", size, 2 * len(starts_P), written, resources.runtime.tokens_per_pass())
        return [answers, *self.oracle.forecast(Sizes(tokens.lengths, 0, 0, resources.run_tokenizer), resources)]

    def evaluate(self, name: str, model: TrainedModel, resources: Resources) -> Evaluation:
        """Return all measures; raises DataError where no prompt fits, ConfigError where an answer leaves no room."""
        self._check_room(name, model.context_tokens)
        data = self._read(resources.store, model.tokenizer)
        fits = which_fit(name, data.tokens, model.context_tokens)
        rows = np.flatnonzero(fits)[: self.limit]
        own, start = self._answers(model, resources, data.tokens, rows)
        inputs = {
            "evaluation": f"win rate {self.VERSION}",
            "oracle": identity(self.oracle),
            "prompts": [data.tokens.digest, digest(rows)],
            "answers": digest(own, start),
            "precision": resources.trainer.resolved_precision(),  # that the oracle is trained in
        }

        def build(folder: Path) -> None:
            with naming(moved(self.oracle, "oracle", f"eval_dataset.{name}.oracle")):
                self._measure(name, resources, data, rows, own, start, folder)

        result = evaluation_stage(resources.store, inputs, build)
        reasons = left_out(data.corpus, num_too_long=int((~fits).sum())) | read_json(result / "left_out.json")
        return Evaluation(read_measures(result, name, Measure), result, None, reasons)

    def _read(self, store: Store, tokenizer: Tokenizer) -> TokenizedCorpus:
        return text_stage(store, self.text(store), tokenizer)

    def _check_room(self, name: str, context_tokens: int) -> None:
        if self.max_new_tokens >= context_tokens:
            raise ConfigError(
                f"eval_dataset.{name}.max_new_tokens is {self.max_new_tokens}, and the context of the model has "
                f"{context_tokens} tokens for prompt and answer; lower max_new_tokens"
            )

    def _answers(
        self, model: TrainedModel, resources: Resources, tokens: Tokens, rows: NDArray[np.intp]
    ) -> tuple[list[str], list[str]]:
        """Return [P] what the model writes, and what its network wrote before training."""
        trained = AnswerWriter(
            PretrainedNetwork(str(model.pretrained), None), 0, model.tokenizer, num_answers=1,
            max_new_tokens=self.max_new_tokens, temperature=self.temperature, stop=(),
            seed=seed_for(self.seed, "answers to compare"), context_tokens=model.context_tokens,
        )  # fmt: skip
        start = replace(trained, network=model.network, network_seed=model.seed)
        ids, starts = np.asarray(tokens.ids), tokens.answer_starts
        own, before = (
            [text for (text,) in answers_stage(resources, PromptItems(tokens, rows, writer, ids, starts))]
            for writer in (trained, start)
        )
        return own, before

    def _measure(
        self, name: str, resources: Resources, data: TokenizedCorpus, rows: NDArray[np.intp], own: Sequence[str],
        start: Sequence[str], folder: Path,
    ) -> None:  # fmt: skip
        documents = [data.corpus.document(int(row)) for row in rows]
        chosen, rejected = ([getattr(one, side) for one in documents] for side in ("answer", "rejected"))
        # Of these, other runs have the same rewards.
        people = rewarded(resources, self.oracle, data, rows, chosen, rejected)
        models = rewarded(resources, self.oracle, data, rows, own, start)
        wins = {
            "win_rate": wins_of_first(models[0], people[0]),
            "win_rate_over_start": wins_of_first(*models),
            "oracle_accuracy": wins_of_first(*people),
        }
        write_columns(folder / "answers.parquet", {"answer": own, "answer_of_start": start, "chosen": chosen, **wins})
        num_unread = sum(int(np.isnan(wins_P).sum()) for wins_P in wins.values())
        reasons = {"comparisons with an answer longer than the oracle reads": num_unread}
        write_json(folder / "left_out.json", reasons if num_unread else {})
        write_measures(folder, name, win_measures(wins))


def win_measures(wins: Mapping[str, NDArray[np.float64]]) -> list[Measure]:
    """Return a share of prompts for each metric -> [P]: 1 a win, 0 a defeat, 0.5 a tie, NaN not read; no dataset yet.

    Raises DataError where nothing was read.
    """
    measures = []
    for metric, wins_P in wins.items():
        read = wins_P[~np.isnan(wins_P)]
        if not len(read):
            raise DataError("the oracle reads no answer to the end; give one with a longer context")
        stderr = ratio_stderr(read, np.ones(len(read)))
        measures.append(Measure("", metric, float(read.mean()), stderr, len(read), "share of prompts", "higher"))
    return measures
