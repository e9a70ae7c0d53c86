"""New answers for preferences: two are sampled from a model after each prompt, and an oracle says which is better.

N prompts, M new tokens of an answer at most.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, PositiveFloat, Seed, settings
from delt_exp.config.keys import moved, naming
from delt_exp.corpus.answers import Answers, answered_stage
from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.errors import ConfigError, DataError
from delt_exp.mapping.items import document_name
from delt_exp.model.cost import FORWARD, PhaseCost, Sizes
from delt_exp.model.hf import PretrainedNetwork
from delt_exp.preference.oracle import Oracle, rewards_stage
from delt_exp.preference.writer import AnswerWriter, PromptItems, answers_stage
from delt_exp.proxy.base import ProxyModel
from delt_exp.resources import Resources
from delt_exp.rows.draws import seed_for

PLACE = "selector.answers.oracle"


@settings
class SampledAnswers:
    """Has the model of a round write both answers of preferences, and `oracle` label those that were picked.

    max_new_tokens, temperature: of an answer, drawn from the untruncated distribution. stop: texts that end an answer
    and do not belong to it. A prompt is cut at its beginning to fit the context. seed: of the draws, which depend on
    it, on the round and on the document.
    """

    VERSION: ClassVar[int] = 1
    max_new_tokens: Count
    temperature: PositiveFloat
    stop: list[str]
    oracle: Oracle
    seed: Seed

    def check(self, context_tokens: int) -> None:
        """Raise ConfigError where a context has no room for an answer and a token before it."""
        if self.max_new_tokens >= context_tokens:
            raise ConfigError(
                f"selector.answers.max_new_tokens={self.max_new_tokens} leaves no room for a prompt in "
                f"selector.context_tokens={context_tokens}; use at most {context_tokens - 1}"
            )

    def sampled(
        self, resources: Resources, documents: TokenizedCorpus, rows: NDArray[np.intp], model: ProxyModel, *,
        ids: NDArray[np.uint64], number: int, context_tokens: int,
    ) -> tuple[TokenizedCorpus, NDArray[np.intp]]:  # fmt: skip
        """Return the documents with new answers in `rows`, and the rows that keep theirs: the model wrote no text.

        ids: [of all documents] what the draws of a document depend on. number: of the round.
        """
        tokens = model.tokens(documents, resources)
        writer = AnswerWriter(
            PretrainedNetwork(model.name, model.revision), 0, model.tokenizer, num_answers=2,
            max_new_tokens=self.max_new_tokens, temperature=self.temperature, stop=tuple(self.stop),
            seed=seed_for(self.seed, "sampled answers", number), context_tokens=context_tokens,
        )  # fmt: skip
        items = PromptItems(tokens, rows, writer, ids, tokens.answer_starts)
        pairs = [(first, second) for first, second in answers_stage(resources, items)]
        has_text = np.array([all(_has_tokens(resources, text) for text in pair) for pair in pairs], np.bool_)
        new = Answers(rows[has_text], [pair for pair, known in zip(pairs, has_text, strict=True) if known])
        return answered_stage(resources.store, documents, new, resources.run_tokenizer), rows[~has_text]

    def labelled(
        self, resources: Resources, candidates: Corpus, documents: TokenizedCorpus, rows: NDArray[np.intp]
    ) -> TokenizedCorpus:
        """Return the documents with the answers of `rows` as the oracle orders them, the better one chosen.

        Raises DataError for a reward that is not finite.
        """
        with naming(moved(self.oracle, "oracle", PLACE)):
            rewards_N2 = rewards_stage(resources, self.oracle, candidates, documents, rows)
        bad = np.flatnonzero(~np.isfinite(rewards_N2).all(1))
        if len(bad):
            name = document_name(int(rows[bad[0]]), documents.corpus.ids)
            raise DataError(
                f"the oracle's rewards of the answers of {name} are {rewards_N2[bad[0]]}, not finite (nan: an answer "
                f"is longer than the oracle reads; raise its context_tokens under {PLACE})"
            )
        wrong = rows[rewards_N2[:, 1] > rewards_N2[:, 0]]
        found = [documents.corpus.document(int(row)) for row in wrong]
        swapped = Answers(wrong, [(one.rejected, one.answer) for one in found])
        return answered_stage(resources.store, documents, swapped, resources.run_tokenizer)

    def forecast(self, sizes: Sizes, resources: Resources, parameters: int, num_rounds: int) -> list[PhaseCost]:
        """Return the cost of writing two answers of full length to every document each round, and of the oracle."""
        num_answers = 2 * len(sizes.lengths_N) * num_rounds
        num_tokens = 2 * int((sizes.lengths_N + self.max_new_tokens).sum()) * num_rounds
        writing = PhaseCost("sampled answers", num_answers, float(FORWARD) * parameters * num_tokens, 0)
        return [writing, *self.oracle.forecast(sizes, resources)]


def _has_tokens(resources: Resources, text: str) -> bool:
    return bool(text.strip()) and bool(resources.run_tokenizer.encode([text])[0])
