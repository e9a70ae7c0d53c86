"""A language model that has learnt here to tell documents from spoiled copies of them, asked as Ask-LLM asks.

R documents to score.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, NonNegativeInt, Seed, settings
from delt_exp.config.keys import moved, naming
from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.stages import tokens_stage
from delt_exp.corpus.writing import WHOLE, write_corpus
from delt_exp.errors import ConfigError
from delt_exp.mapping.map_documents import map_texts
from delt_exp.model.cost import PhaseCost, Sizes, forward_cost, training_cost
from delt_exp.model.hf import PretrainedNetwork
from delt_exp.model.recipe import Recipe
from delt_exp.proxy.base import Proxy, ProxyModel, ReadsAsTheRun, check_before
from delt_exp.proxy.trained import trained_model
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.rows.draws import generator, seed_for, shuffled_rows
from delt_exp.scorer.ask_llm.check import KINDS, check_corpus, show_check, spoiled
from delt_exp.scorer.ask_llm.prompt import NO, YES, asked, cleaned
from delt_exp.scorer.base import Pool
from delt_exp.scorer.trained_judge.judge import Asking, Solved, TrainedYesNo
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.trainer.job import TrainJob, plan_for
from delt_exp.trainer.planning import PlanSettings

CHARS_PER_TOKEN = 4  # of English, for a forecast


@settings
class TrainedJudgeScorer:
    """Scores a document by log P(yes) - log P(no) of `proxy`, after `recipe` taught it this question.

    It learns `num_examples` documents with the answer yes and a copy of each with the answer no, spoiled in one of four
    ways in turn, for `epochs`; only answers are predicted. The network of the recipe is replaced by that of the proxy.
    examples_of: the `target` documents, or the `corpus`, whose documents the judge then says yes to because it learnt
    to. text_tokens: of a document, from its beginning. num_checked: other documents that are compared with spoiled
    copies of them; 0 leaves the check out.
    """

    VERSION: ClassVar[int] = 1
    proxy: Proxy
    recipe: Recipe
    epochs: Count
    question: str
    num_examples: Count
    examples_of: Literal["target", "corpus"]
    text_tokens: Count
    num_checked: NonNegativeInt
    seed: Seed

    @property
    def needs(self) -> frozenset[str]:
        return self.proxy.needs | {"tokens"} | ({"target"} if self.examples_of == "target" else set())

    @property
    def meaning(self) -> Meaning:
        explanation = "How sure a model that was trained on such documents and spoiled copies is of the former."
        return Meaning("log P(yes) - log P(no)", "nats", "higher", explanation)

    def score(self, pool: Pool) -> NDArray[np.float32]:
        """Return scores [R]; raises ConfigError for too few documents, and prompts beyond the context of training."""
        resources, place = pool.resources, "scorer.recipe.context_tokens"
        check_before(self.proxy, resources, self.recipe.context_tokens, place)
        learnt, checked = self._documents(pool)
        asking = Asking(self.question, self.text_tokens)
        if isinstance(self.proxy, ReadsAsTheRun):  # what is trained here is checked before it is
            self._solved(asking, resources.run_tokenizer, learnt)
        with pool.evidence.phase("warm start"):
            base = self.proxy.prepare(resources, pool.candidates, pool.target)
        base.check_context(self.recipe.context_tokens, place)
        with pool.evidence.phase("training of the judge"):
            model = self._trained(base, asking, learnt, pool)
        judge = TrainedYesNo(model.name, model.tokenizer.folder, asking, self.recipe.context_tokens)
        if checked:
            with pool.evidence.phase("self-check"):
                show_check(pool.evidence, _scores(self._checked(pool, judge, checked)), self.meaning.name)
        with pool.evidence.phase("asking"):
            numbers = map_texts(resources, pool.candidates.corpus, pool.rows, judge, pool.work_dir / "shards", "asking")
        return _scores(numbers)

    def _documents(self, pool: Pool) -> tuple[list[str], list[str]]:
        """Return the documents that are learnt, and those of the self-check."""
        text = pool.target if self.examples_of == "target" else pool.candidates
        assert text is not None  # `needs` asks for it
        corpus = text.corpus
        rows = shuffled_rows(corpus.ids, self.seed, "documents of a trained judge")
        texts = [one for one in map(cleaned, corpus.texts(rows)) if one]
        if len(texts) < self.num_examples:
            raise ConfigError(
                f"scorer.num_examples={self.num_examples}, but the {self.examples_of} has {len(texts)} documents with "
                f"text; use scorer.num_examples={len(texts) // 2} or fewer, or more documents"
            )
        return texts[: self.num_examples], texts[self.num_examples :][: self.num_checked]

    def _trained(self, base: ProxyModel, asking: Asking, texts: Sequence[str], pool: Pool) -> ProxyModel:
        folder = pool.work_dir / "solved"
        folder.mkdir(exist_ok=True)
        write_corpus(self._solved(asking, base.tokenizer, texts), WHOLE, folder)
        solved = tokens_stage(pool.resources.store, Corpus(folder), base.tokenizer)
        recipe = replace(self.recipe, network=PretrainedNetwork(base.name, base.revision))
        until = PlanSettings("padded", epochs=self.epochs, max_tokens=None, completion_only=True)
        rows = shuffled_rows(solved.corpus.ids, self.seed, "order of a trained judge")
        with naming(moved(Recipe, "model", "scorer.recipe") | {"model.network": "proxy"}):
            plan = plan_for(recipe, solved.tokens, rows, until)
            seed = seed_for(self.seed, "training of a judge")
            return trained_model(TrainJob(recipe, plan, base.tokenizer, pool.resources.trainer, seed), pool.resources)

    def _solved(self, asking: Asking, tokenizer: Tokenizer, texts: Sequence[str]) -> Solved:
        """Return the questions about documents and their copies with the answers.

        Raises ConfigError for a question that does not fit the context of training.
        """
        draws = generator(self.seed, "spoiled copies for a trained judge")
        copies = [spoiled(text, KINDS[i % len(KINDS)], draws) for i, text in enumerate(texts)]
        longest = max(map(len, asking.ids([*texts, *copies], tokenizer)))
        if longest > self.recipe.context_tokens:
            raise ConfigError(
                f"scorer.recipe.context_tokens={self.recipe.context_tokens}, but a question takes up to {longest} "
                f"tokens; use scorer.recipe.context_tokens={longest}, or fewer scorer.text_tokens"
            )
        answered = [*((text, YES) for text in texts), *((copy, NO) for copy in copies)]
        return Solved(tuple((asking.prompt(text, tokenizer), answer) for text, answer in answered))

    def _checked(self, pool: Pool, judge: TrainedYesNo, texts: Sequence[str]) -> NDArray[np.floating[Any]]:
        corpus = check_corpus(texts, self.seed, pool.work_dir / "checked")
        shards = pool.work_dir / "checked_shards"
        return map_texts(pool.resources, corpus, np.arange(len(corpus)), judge, shards, "self-check")

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of the proxy, of training the judge, of the self-check and of asking about every document."""
        context = self.recipe.context_tokens
        size, per_pass = self.proxy.size(sizes, resources, context), resources.runtime.tokens_per_pass()
        tail = len(asked("", self.question)) // CHARS_PER_TOKEN
        lengths_N = np.minimum(sizes.scored_lengths, self.text_tokens) + tail
        read = 2 * self.num_examples * self.epochs * int(lengths_N.mean())
        held = min(self.recipe.batch_items, resources.trainer.micro_batch_items) * context
        checked = 2 * self.num_checked
        return [
            *self.proxy.forecast(sizes, resources),
            training_cost("training of the judge", size, read, context, held),
            forward_cost("self-check", size, checked, int(checked * lengths_N.mean()), per_pass),
            forward_cost("asking", size, len(lengths_N), int(lengths_N.sum()), per_pass),
        ]


def _scores(numbers_N2: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    return (numbers_N2[:, 0] - numbers_N2[:, 1]).astype(np.float32)
