"""How often the answers that a model writes win against others, under a judge. P prompts."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, NonNegativeFloat, Seed, settings
from delt_exp.config.identity import identity
from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.pairs import fitting, sides
from delt_exp.corpus.stages import corpus_stage, overlap_stage, text_stage
from delt_exp.corpus.tokens import TokenizedCorpus, Tokens
from delt_exp.dataset.base import Dataset, Document
from delt_exp.errors import ConfigError, DataError
from delt_exp.eval_dataset.base import Evaluation, Measure
from delt_exp.eval_dataset.evaluation import write_columns, write_measures
from delt_exp.eval_dataset.preferences import left_out
from delt_exp.eval_dataset.text_loss import WHOLE, ratio_stderr
from delt_exp.files import digest, read_json, write_json
from delt_exp.preference.answers import Writing, answers_stage
from delt_exp.preference.comparison import Comparison, wins_of_first
from delt_exp.preference.reward import Reward, RewardModel
from delt_exp.resources import Resources
from delt_exp.store.store import Store
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.trainer.job import TrainedModel


@settings
class WinRate:
    """Lets a model answer the prompts of `dataset` and asks `judge`, the first `limit` that fit (null: all).

    `win_rate` is the share of prompts at which its answer has a higher reward than the chosen answer of the dataset,
    `win_rate_over_start` than what the network wrote before training, drawn with the same numbers; equal answers count
    half, and one without text loses. `judge_accuracy` says what the judge is worth: how often it ranks the chosen
    answer of the dataset above the rejected one; where that is near 0.5, no win rate says anything. Standard errors are
    over prompts: that of the judge is not in them. Answers have at most `max_new_tokens` tokens, drawn at `temperature`
    (0: the most probable ones). The stage keeps them (`answers.parquet`).
    """

    VERSION: ClassVar[int] = 1
    dataset: Dataset
    judge: RewardModel
    limit: Count | None
    max_new_tokens: Count
    temperature: NonNegativeFloat
    seed: Seed

    def prepare(self, resources: Resources) -> NDArray[np.uint64]:
        """Read the prompts; return the content ids of their documents.

        Raises DataError where not all documents are preferences, or the judge learns from one of them; ConfigError for
        a judge that cannot be.
        """
        self.judge.check()
        data = self._read(resources.store, resources.run_tokenizer)
        sides(data.tokens)
        self._check_judge_is_apart(resources.store, data.corpus)
        return data.corpus.ids

    def text(self, store: Store) -> Corpus:
        """Return the documents of the dataset; whoever compares texts sees the chosen sides."""
        return corpus_stage(store, self.dataset, WHOLE)

    def evaluate(self, name: str, model: TrainedModel, resources: Resources) -> Evaluation:
        """Return all measures; raises DataError where no prompt fits, ConfigError where an answer leaves no room."""
        self._check_room(name, model.context_tokens)
        reward = self.judge.prepare(resources, model.context_tokens)
        data = self._read(resources.store, model.tokenizer)
        fits = fitting(data.tokens, model.context_tokens)
        rows = np.flatnonzero(fits)[: self.limit]
        if not len(rows):
            raise DataError(
                f"eval_dataset {name}: none of {len(fits)} preferences has answers that fit the context of the model, "
                f"{model.context_tokens} tokens; use a model with a longer context"
            )
        own, start = self._answers(model, resources, data.tokens, rows)
        documents = [data.corpus.document(int(row)) for row in rows]
        inputs = {
            "evaluation": f"win rate {self.VERSION}",
            "judge": [reward.key, reward.judge.context_tokens],
            "prompts": [data.tokens.digest, digest(rows)],
            "answers": digest(own, start),
        }

        def build(folder: Path) -> None:
            _measure(name, documents, own, start, reward, resources, folder)

        use = resources.store.get("evaluation", inputs, build)
        measures = [Measure(**{**values, "dataset": name}) for values in read_json(use.path / "measures.json")]
        reasons = left_out(data.corpus, num_too_long=int((~fits).sum()))
        return Evaluation(measures, use.path, None, reasons | read_json(use.path / "left_out.json"))

    def _read(self, store: Store, tokenizer: Tokenizer) -> TokenizedCorpus:
        return text_stage(store, self.text(store), tokenizer)

    def _check_judge_is_apart(self, store: Store, corpus: Corpus) -> None:
        learnt = self.judge.read(store)
        if learnt is None:
            return
        (shared,) = overlap_stage(store, learnt, [corpus])
        if shared["exact"]:
            raise DataError(
                f"{shared['exact']} of {shared['documents']} documents of the evaluation set are among those that its "
                "judge learns from; give judge.dataset others, such as another split"
            )

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
        writing = Writing(model.context_tokens, self.max_new_tokens, self.temperature, self.seed)

        def trained() -> Any:
            from delt_exp.pretrained.loading import load_causal_lm

            return load_causal_lm(model.pretrained).to(resources.runtime.torch_device())

        def start() -> Any:
            network = model.network.make(model.tokenizer, model.seed).eval()
            return network.to(resources.runtime.torch_device())

        networks = [(model.key, trained), ([identity(model.network), model.seed], start)]
        own, before = (
            answers_stage(resources, key, network, model.tokenizer, tokens, rows, writing) for key, network in networks
        )
        return own, before


def win_measures(wins: Mapping[str, NDArray[np.float64]]) -> list[Measure]:
    """Return a share of prompts for each metric -> [P]: 1 a win, 0 a defeat, 0.5 a tie, NaN not judged; no dataset yet.

    Raises DataError where nothing was judged.
    """
    measures = []
    for metric, wins_P in wins.items():
        judged = wins_P[~np.isnan(wins_P)]
        if not len(judged):
            raise DataError("no answer fits the context of the judge; give a judge with a longer one")
        stderr = ratio_stderr(judged, np.ones(len(judged)))
        measures.append(Measure("", metric, float(judged.mean()), stderr, len(judged), "share of prompts", "higher"))
    return measures


def _measure(
    name: str, documents: Sequence[Document], own: Sequence[str], start: Sequence[str], reward: Reward,
    resources: Resources, folder: Path,
) -> None:  # fmt: skip
    chosen = [document.parts[-1].text for document in documents]
    comparisons = [
        Comparison("win_rate", own, chosen),
        Comparison("win_rate_over_start", own, start),
        Comparison("judge_accuracy", chosen, [document.rejected for document in documents]),
    ]
    wins_CP = wins_of_first(name, documents, comparisons, reward, resources, folder / "comparisons")
    wins = {comparison.metric: wins_P for comparison, wins_P in zip(comparisons, wins_CP, strict=True)}
    write_columns(folder / "answers.parquet", {"answer": own, "answer_of_start": start, "chosen": chosen, **wins})
    num_not_judged = int(np.isnan(wins_CP).sum())
    reasons = {"comparisons with an answer that does not fit the context of the judge": num_not_judged}
    write_json(folder / "left_out.json", reasons if num_not_judged else {})
    write_measures(folder, name, win_measures(wins))
    shutil.rmtree(folder / "comparisons", ignore_errors=True)
