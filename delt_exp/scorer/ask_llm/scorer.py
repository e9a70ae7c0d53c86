"""Ask a language model whether a document is worth learning from. R documents to score."""

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, NonNegativeInt, Seed, settings
from delt_exp.corpus.corpus import Corpus
from delt_exp.errors import ConfigError, DataError
from delt_exp.files import file_sha256
from delt_exp.mapping.items import document_name
from delt_exp.mapping.map_documents import map_texts
from delt_exp.model.cost import PhaseCost, Sizes, forward_cost
from delt_exp.proxy.base import Proxy, ProxyModel, ReadsAsTheRun
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.rows.draws import shuffled_rows
from delt_exp.scorer.ask_llm.check import check_corpus, show_answers, show_check
from delt_exp.scorer.ask_llm.examples import example_rows, made_examples, read_examples
from delt_exp.scorer.ask_llm.judge import YesNoJudge
from delt_exp.scorer.ask_llm.prompt import Example, Prompt, asked, cleaned, make_prompt
from delt_exp.scorer.base import Pool
from delt_exp.tokenizer.base import Tokenizer

CHARS_PER_TOKEN = 4  # of English, for a forecast
MADE_OF = {
    "corpus": " Made of candidates, whose own scores therefore say less: the prompt answers for them.",
    "target": " Made of target documents.",
}


@settings
class AskLlmScorer:
    """Scores a document by log P(yes), the answer of `judge` to `question` about its beginning (arXiv 2402.09668).

    normalise: `vocabulary`, log P(yes) over all tokens, the published one; `yes_no`, log P(yes) - log P(no), which is
    monotone in P(yes) among the two. Each counts all single tokens that spell the answer.
    shots: solved examples before the question; of a small judge, only answers after examples mean anything. examples: a
    JSON Lines file of them with `text` and `answer`; null makes them: documents of about median length for yes, others
    with their words in random order for no. examples_of: the `corpus`, or the `target` documents, where the corpus may
    hold what the judge should refuse. example_tokens: of each. context_tokens: of the document that is scored,
    from its beginning. num_checked: documents that are compared with spoiled copies of them; 0 leaves the check out.
    """

    VERSION: ClassVar[int] = 1
    PLACES: ClassVar[frozenset[str]] = frozenset({"examples"})
    judge: Proxy
    question: str
    normalise: Literal["vocabulary", "yes_no"]
    shots: Literal[0, 4]
    examples: str | None
    examples_of: Literal["corpus", "target"]
    example_tokens: Count
    context_tokens: Count
    num_checked: NonNegativeInt
    seed: Seed

    def __post_init__(self) -> None:
        if self.examples is not None and not self.shots:
            raise ConfigError(f"scorer.examples={self.examples}, but scorer.shots=0 uses none; use scorer.shots=4")
        if not self.question.strip():
            raise ConfigError("scorer.question is empty; ask something that yes or no can answer")

    @property
    def needs(self) -> frozenset[str]:
        of_target = self.shots and self.examples is None and self.examples_of == "target"
        return self.judge.needs | {"tokens"} | ({"target"} if of_target else set())

    @property
    def meaning(self) -> Meaning:
        name = "log P(yes)" if self.normalise == "vocabulary" else "log P(yes) - log P(no)"
        return Meaning(name, "nats", "higher", "How sure a language model is that the text is worth learning from.")

    def fingerprint(self) -> str | None:
        """Return a hash of the file of examples."""
        found = None if self.examples is None else Path(self.examples)
        return file_sha256(found) if found is not None and found.is_file() else None

    def score(self, pool: Pool) -> NDArray[np.float32]:
        """Return scores [R]; a killed call continues shard by shard."""
        resources, corpus, evidence = pool.resources, pool.candidates.corpus, pool.evidence
        _refuse_empty(corpus, pool.rows)
        if isinstance(self.judge, ReadsAsTheRun):  # what is trained here is checked before it is
            make_prompt(resources.run_tokenizer, self.question, self._given_examples(resources.run_tokenizer))
        with evidence.phase("warm start"):
            model = self.judge.prepare(resources, pool.candidates, pool.target)
        prompt, rows = self._prompt(pool, model)
        judge = YesNoJudge(model.name, model.revision, model.tokenizer.folder, prompt, self.context_tokens)
        if self.num_checked:
            with evidence.phase("self-check"):
                self._check(pool, judge, rows)
        with evidence.phase("asking"):
            numbers_R3 = map_texts(resources, corpus, pool.rows, judge, pool.work_dir / "shards", "asking")
        show_answers(evidence, numbers_R3, prompt, model.tokenizer)
        return self._scores(numbers_R3)

    def _scores(self, numbers_N3: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        yes_N, no_N = numbers_N3[:, 0], numbers_N3[:, 1]
        return (yes_N if self.normalise == "vocabulary" else yes_N - no_N).astype(np.float32)

    def _prompt(self, pool: Pool, model: ProxyModel) -> tuple[Prompt, NDArray[np.intp]]:
        """Return the prompt and the candidates that are examples in it, and leave these as evidence.

        Raises ConfigError where it does not fit the judge, or there are too few documents to make examples of.
        """
        examples = self._given_examples(model.tokenizer)
        corpus, rows = pool.candidates.corpus, _NONE
        if self.shots and self.examples is None:
            if self.examples_of == "target":
                assert pool.target is not None  # `needs` asks for it
                corpus = pool.target.corpus
            rows = example_rows(corpus, self.shots, self.seed)
            texts = list(corpus.texts(rows))
            examples = made_examples(texts, model.tokenizer, self.example_tokens, self.seed)
        prompt = make_prompt(model.tokenizer, self.question, examples)
        if model.position_limit is not None and len(prompt) + self.context_tokens > model.position_limit:
            left = model.position_limit - len(prompt)
            cure = f"use scorer.context_tokens={left}" if left > 0 else "use scorer.shots=0 or a smaller example_tokens"
            raise ConfigError(
                f"scorer.context_tokens={self.context_tokens} and {len(prompt)} tokens of question and examples are "
                f"more than the {model.position_limit} positions of {model.name!r}; {cure}"
            )
        if examples:
            columns: dict[str, Any] = {"text": [one.text for one in examples]}
            columns["answer"] = [one.answer for one in examples]
            caption = "What the judge saw solved before each question."
            if self.examples is None:
                columns["id"] = corpus.ids[rows]
                caption += MADE_OF[self.examples_of]
            pool.evidence.table("examples", columns, caption)
        return prompt, rows if corpus is pool.candidates.corpus else _NONE

    def _given_examples(self, tokenizer: Tokenizer) -> list[Example]:
        """Return the examples of the file, none without one; raises DataError for a file that has too few."""
        if self.examples is None:
            return []
        return read_examples(Path(self.examples), self.shots, tokenizer, self.example_tokens)

    def _check(self, pool: Pool, judge: YesNoJudge, example_rows: NDArray[np.intp]) -> None:
        corpus = pool.candidates.corpus
        shuffled = shuffled_rows(corpus.ids, self.seed, "documents of a self-check")
        rows = shuffled[~np.isin(shuffled, example_rows)][: self.num_checked]
        # A document without text has no spoiled copy; left in, it would shift the kinds of those after it.
        texts = [text for text in map(cleaned, corpus.texts(rows)) if text]
        checked = check_corpus(texts, self.seed, pool.work_dir / "checked")
        everything, shards = np.arange(len(checked)), pool.work_dir / "checked_shards"
        numbers_N3 = map_texts(pool.resources, checked, everything, judge, shards, "self-check")
        show_check(pool.evidence, self._scores(numbers_N3), self.meaning.name)

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of the judge, of the self-check, and of reading every document and the question after it."""
        size = self.judge.size(sizes, resources, self.context_tokens)
        tail = len(asked("", self.question)) // CHARS_PER_TOKEN
        lengths_N = np.minimum(sizes.scored_lengths, self.context_tokens) + tail
        num_checked = 2 * min(self.num_checked, len(sizes.lengths_N))
        per_pass = resources.runtime.tokens_per_pass()
        return [
            *self.judge.forecast(sizes, resources),
            forward_cost("self-check", size, num_checked, int(num_checked * lengths_N.mean()), per_pass),
            forward_cost("asking", size, len(lengths_N), int(lengths_N.sum()), per_pass),
        ]


_NONE = np.empty(0, np.intp)


def _refuse_empty(corpus: Corpus, rows: NDArray[np.intp]) -> None:
    for row, text in zip(rows, corpus.texts(rows), strict=True):
        if not cleaned(text):
            raise DataError(
                f"{document_name(int(row), corpus.ids)} has no text to ask about but {text[:60]!r}; leave it out"
            )
