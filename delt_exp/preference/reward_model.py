"""An oracle from elsewhere: a reward model, which is a sequence classifier of one label."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, settings
from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.pairs import PairBatch, fitting
from delt_exp.corpus.stages import tokenizer_stage, tokens_stage
from delt_exp.corpus.tokens import IGNORED, TokenizedCorpus
from delt_exp.errors import ConfigError
from delt_exp.mapping.pairs import map_pairs
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.preference.oracle import check_oracle_context
from delt_exp.pretrained.limits import position_limit
from delt_exp.pretrained.loading import load_config, load_pretrained, pretrained_fingerprint
from delt_exp.resources import Resources
from delt_exp.tokenizer.hf import HfTokenizer


@settings
class RewardModel:
    """The classifier of one label `name`, a folder or Hub name, reads prompt and answer with its own tokenizer.

    context_tokens: of both; the prompt is cut at its beginning.
    """

    VERSION: ClassVar[int] = 1
    PLACES: ClassVar[frozenset[str]] = frozenset({"name"})
    name: str
    revision: str | None
    context_tokens: Count

    def fingerprint(self) -> str:
        """Return what identifies the files that `name` stands for."""
        return pretrained_fingerprint(self.name, self.revision)

    def check_weights(self, *, fetch: bool) -> Sequence[str]:
        """Raise ConfigError for a model with more or fewer outputs than a reward, or with too few positions."""
        if not fetch and not Path(self.name).is_dir():
            return []
        config = load_config(self.name, self.revision)
        check_oracle_context(self.name, position_limit(config), self.context_tokens)
        num_labels = config.num_labels
        if num_labels != 1:
            raise ConfigError(
                f"oracle {self.name!r} has {num_labels} outputs, but a reward is one number; give a model for sequence "
                "classification that was saved with num_labels=1"
            )
        return []

    def rewards(
        self, resources: Resources, apart_from: Corpus, documents: TokenizedCorpus, rows: NDArray[np.intp],
        folder: Path,
    ) -> NDArray[np.float64]:  # fmt: skip
        """Return [N, 2]; raises DataError for a model without a head for rewards."""
        maker = HfTokenizer(self.name, self.revision, None, begin="auto", chat_template="own")
        tokens = tokens_stage(resources.store, documents.corpus, tokenizer_stage(resources.store, maker, None)).tokens
        judge = RewardJudge(self.name, self.revision, self.context_tokens - 1)  # the classifier reads end-of-text too
        fits = fitting(tokens, judge.context_tokens)[rows]
        rewards_N2 = np.full((len(rows), 2), np.nan)
        if fits.any():
            rewards_N2[fits] = map_pairs(resources, tokens, rows[fits], judge, folder / "shards", "rewards")
        return rewards_N2

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return nothing: it was trained elsewhere."""
        return []


@dataclass(frozen=True)
class RewardJudge:
    """[D, 2] rewards of the chosen and the rejected answer; context_tokens: before end-of-text, which is read too."""

    width: ClassVar[int] = 2
    dtype: ClassVar[str] = "float64"
    name: str
    revision: str | None
    context_tokens: int

    def open(self, device: str) -> Callable[[PairBatch], NDArray[Any]]:
        import torch

        network = _load(self.name, self.revision).to(device)

        def reward(ids_T: NDArray[np.int64], labels_T: NDArray[np.int64]) -> float:
            # One by one, without padding: a classifier reads the last token that it does not take for padding.
            length = int(np.flatnonzero(labels_T != IGNORED)[-1]) + 1
            read_1T = np.append(ids_T[:length], labels_T[length - 1])[None]
            with torch.inference_mode():
                return float(network(input_ids=torch.from_numpy(read_1T).to(device)).logits[0, 0])

        def judgement(pairs: PairBatch) -> NDArray[Any]:
            return np.array(list(map(reward, pairs.ids_RT, pairs.labels_RT))).reshape(-1, 2)

        return judgement


def _load(name: str, revision: str | None) -> Any:
    from transformers import AutoModelForSequenceClassification

    from delt_exp.pretrained.weights import checked_network

    def load(**options: Any) -> Any:
        return load_pretrained(AutoModelForSequenceClassification, name, revision, **options)

    return checked_network(load, name, causal=False)[0]
