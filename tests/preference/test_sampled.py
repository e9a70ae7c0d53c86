"""Answers are written by the model of a round, and labelled by an oracle that is known here; nothing else changes."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from delt_exp.config.fields import settings
from delt_exp.dataset.base import Document, Part
from delt_exp.errors import ConfigError, DataError
from delt_exp.model.generate import generate_ids
from delt_exp.preference.sampled import SampledAnswers
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.proxy.base import ProxyModel
from delt_exp.rows.draws import seed_for
from tests.eval_dataset.models import make_model
from tests.helpers import make_pool

TURNS = (Part("user", "how?"), Part("assistant", "so"))
PAIRS = [*(Document(f"yes {'a' * i}", f"{'why' * i}? ", rejected=f"no {i}") for i in range(5)),
         Document(turns=TURNS, rejected="not so")]  # fmt: skip
ROWS = np.arange(len(PAIRS))


def sevens(text: str) -> int:
    """Return how many letters of a text have a code that 7 divides."""
    return sum(ord(letter) % 7 == 0 for letter in text)


@settings
class Sevens:
    """Rewards an answer by `sevens`, or with what is no number."""

    VERSION = 1
    is_broken: bool = False

    def rewards(self, resources, apart_from, documents, rows, folder):
        found = [documents.corpus.document(int(row)) for row in rows]
        rewards = np.array([[sevens(one.answer), sevens(one.rejected)] for one in found], float)
        return rewards if not self.is_broken else rewards * np.nan

    def forecast(self, sizes, resources):
        return []


def answers_of(**changes) -> SampledAnswers:
    return SampledAnswers(
        **{"max_new_tokens": 6, "temperature": 1.0, "stop": [], "oracle": Sevens(), "seed": 3} | changes
    )


@dataclass(frozen=True, eq=False)
class Place:
    """Documents, and a model that writes."""

    pool: object
    model: ProxyModel

    @property
    def documents(self):
        return self.pool.candidates

    def sampled(self, answers, rows=ROWS, number=0, documents=None):
        documents = documents or self.documents
        return answers.sampled(
            self.pool.resources, documents, rows, self.model,
            ids=np.asarray(self.documents.corpus.ids), number=number, context_tokens=40,
        )  # fmt: skip


def place_of(tmp_path, pairs=PAIRS) -> Place:
    trained, pool = make_model(tmp_path, 64), make_pool(tmp_path, pairs)
    return Place(pool, ProxyModel(str(trained.pretrained), None, pool.resources.run_tokenizer, 64, 128))


def both(documents, row):
    document = documents.corpus.document(row)
    return document.answer, document.rejected


@pytest.mark.slow
def test_each_answer_is_what_the_model_writes_after_the_prompt_alone(tmp_path):
    place = place_of(tmp_path)
    found, kept = place.sampled(answers_of())
    tokens, tokenizer = place.documents.tokens, place.model.tokenizer
    network = load_causal_lm(place.model.name)
    assert len(found) == len(PAIRS)
    for row in np.setdiff1d(ROWS, kept):
        stop = tokens.answer_start(row)
        prompt = [tokens.begin_id, *tokens.document(row, max(0, stop - 33), stop).tolist()]
        for number, text in enumerate(both(found, row)):
            (ids,) = generate_ids(
                network, tokenizer, [prompt], [(int(tokens.ids[row]), number)], max_new_tokens=6, stop=[],
                temperature=1.0, seed=seed_for(3, "sampled answers", 0), batch_tokens=100,
            )  # fmt: skip
            assert text == tokenizer.text_before(ids, [])
        before, after = PAIRS[row], found.corpus.document(row)
        assert (after.prompt, after.turns[:-1], after.source) == (before.prompt, before.turns[:-1], before.source)
    assert len(kept) < len(ROWS)


@pytest.mark.slow
def test_answers_depend_on_the_document_and_the_round_and_not_on_its_row_or_company(tmp_path):
    place, other = place_of(tmp_path / "all"), place_of(tmp_path / "some", PAIRS[3:][::-1])
    found = place.sampled(answers_of())[0]
    again = other.sampled(answers_of(), np.arange(3))[0]
    assert [both(again, row) for row in range(3)] == [both(found, 5 - row) for row in range(3)]
    later = place.sampled(answers_of(), number=1)[0]
    assert sum(both(later, row) != both(found, row) for row in ROWS) > 3
    other_seed = place.sampled(answers_of(seed=4))[0]
    assert sum(both(other_seed, row) != both(found, row) for row in ROWS) > 3


def test_only_the_asked_rows_get_new_answers_and_only_labelled_rows_change_sides(tmp_path):
    place = place_of(tmp_path)
    found, _ = place.sampled(answers_of(max_new_tokens=20), np.array([1, 2, 3, 4]))
    assert both(found, 0) == both(place.documents, 0)
    assert both(found, 5) == both(place.documents, 5)
    rows = np.array([1, 3])
    labelled = answers_of().labelled(place.pool.resources, place.documents.corpus, found, rows)
    for row in ROWS:
        pair, before = both(labelled, row), both(found, row)
        assert set(pair) == set(before)
        assert pair == before if row not in rows else sevens(pair[0]) >= sevens(pair[1])
    swapped = [row for row in range(1, 5) if sevens(both(found, row)[1]) > sevens(both(found, row)[0])]
    assert 0 < len(swapped) < 4  # so that both kinds of label occur


def test_where_the_model_writes_no_text_the_earlier_answers_stay_and_are_counted(tmp_path, monkeypatch):
    place = place_of(tmp_path)
    texts = [("new", "other"), ("", "x"), ("x", " \n"), ("a", "a"), ("b", "c"), ("d", "e")]
    monkeypatch.setattr("delt_exp.preference.sampled.answers_stage", lambda *_: texts)
    found, kept = place.sampled(answers_of())
    assert kept.tolist() == [1, 2]
    assert [both(found, row) for row in (0, 3, 5)] == [texts[0], texts[3], texts[5]]
    assert [both(found, row) for row in (1, 2)] == [both(place.documents, row) for row in (1, 2)]


@pytest.mark.slow
def test_an_answer_ends_before_a_text_that_stops_it(tmp_path):
    place = place_of(tmp_path)
    whole, _ = place.sampled(answers_of(max_new_tokens=20))
    mark = both(whole, 1)[0][3:5]
    cut, _ = place.sampled(answers_of(max_new_tokens=20, stop=[mark]))
    assert both(cut, 1)[0] == both(whole, 1)[0].partition(mark)[0]


def test_what_was_written_and_labelled_once_is_reused(tmp_path):
    place = place_of(tmp_path)
    for _ in range(2):
        found, _ = place.sampled(answers_of())
        answers_of().labelled(place.pool.resources, place.documents.corpus, found, np.array([1, 2]))
    uses = [(use.stage, use.cached) for use in place.pool.resources.store.uses]
    assert uses[: len(uses) // 2] == [(stage, False) for stage, _ in uses[len(uses) // 2 :]]
    assert all(cached for _, cached in uses[len(uses) // 2 :])


def test_a_reward_that_is_not_finite_names_the_document(tmp_path):
    place, answers = place_of(tmp_path), answers_of(oracle=Sevens(is_broken=True))
    with pytest.raises(DataError, match=r"rewards of the answers of document 2 \(id [0-9a-f]{16}\) are .*not finite"):
        answers.labelled(place.pool.resources, place.documents.corpus, place.documents, np.array([2, 3]))


def test_an_answer_that_leaves_no_room_for_its_prompt_is_refused():
    answers_of(max_new_tokens=39).check(40)
    with pytest.raises(ConfigError, match=r"max_new_tokens=40 leaves no room .* use at most 39"):
        answers_of(max_new_tokens=40).check(40)


def test_the_forecast_counts_two_answers_of_every_document_in_every_round(tmp_path):
    pool = replace(make_pool(tmp_path, PAIRS))
    (cost,) = answers_of().forecast(pool.sizes, pool.resources, 1000, 3)
    num_tokens = 2 * (int(pool.candidates.tokens.lengths.sum()) + 6 * len(PAIRS))
    assert (cost.passes, cost.flops) == (2 * len(PAIRS) * 3, 2 * 1000 * num_tokens * 3)
