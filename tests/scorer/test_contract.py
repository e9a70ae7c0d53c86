"""What every scorer promises; a new YAML in conf/scorer is met here without a change."""

import inspect
import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from delt_exp.cli.help import options
from delt_exp.config.build import CONF, build
from delt_exp.config.identity import identity
from delt_exp.quantity import Meaning
from delt_exp.scorer.table import ScoreTable
from tests.contract import configured, own
from tests.helpers import make_pool

NAMES = options(CONF, "scorer")

TEXTS = [
    "a b",
    "The first line.\nThe second line.\n\nA paragraph after a blank line.\n",
    "def f(x):\n\treturn x ** 2\n",
    "«Crème brûlée» — für 12 Leute …",
    "日本語のテキスト。１２３",
    "!!! ??? ...",
    "\u0001\u0002 \u0003",  # nothing is left of it after cc_net's normalisation
    "<s> a </s>",
    "word " * 200,
    "x",
    "Once upon a time there was a scorer.",
    "0 1 2 3 4 5 6 7 8 9",
]
SOME = np.array([2, 3, 8, 11])
TARGET_TEXTS = ["The target resembles the first document.", "a b a b a b"] * 4


@dataclass
class Case:
    """One scorer, asked four times: twice for the same documents in fresh folders, for the reversed ones, for SOME."""

    scorer: Any
    ids: np.ndarray
    scores: np.ndarray
    again: np.ndarray
    reversed_rows: np.ndarray
    some: np.ndarray


def with_models_slow(name):
    """A scorer as a parameter: those that load or train a model take seconds."""
    reads_a_model = re.search(r"\$\{(proxy|model|encoder|judge)\b|/proxy@", yaml_of(name))
    return pytest.param(name, marks=pytest.mark.slow if reads_a_model else ())


def yaml_of(name):
    """Return the text of an option, with those of the options that it continues."""
    text = (CONF / "scorer" / f"{name}.yaml").read_text()
    return text + "".join(yaml_of(parent) for parent in re.findall(r"^  - (\w+)$", text, re.M) if parent in NAMES)


@pytest.fixture(scope="module", params=map(with_models_slow, NAMES))
def case(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    scorer = build(configured("scorer", request.param, folder, "proxy=target").scorer)

    documents = own("scorer", request.param, "contract_documents", list)

    def pool_of(texts):
        return make_pool(folder, documents(texts), TARGET_TEXTS if "target" in scorer.needs else None)

    first = pool_of(TEXTS)
    pools = first, pool_of(TEXTS), pool_of(TEXTS[::-1]), replace(pool_of(TEXTS), chosen=SOME)
    return Case(scorer, first.candidates.corpus.ids, *(scorer.score(pool) for pool in pools))


def test_there_are_scorers_to_check():
    assert {"random", "length", "kenlm"} <= set(NAMES)


def test_one_finite_float32_per_document_makes_a_table(case):
    assert case.scores.dtype == np.float32
    assert case.scores.shape == (len(TEXTS),)
    assert len(ScoreTable(case.ids, case.scores, case.scorer.meaning).goodness) == len(TEXTS)


def test_scores_tell_documents_apart(case):
    assert len(np.unique(case.scores)) > 1


def test_the_same_documents_get_the_same_bits_again(case):
    assert case.scores.tobytes() == case.again.tobytes()


def test_the_score_follows_the_document_not_the_row(case):
    np.testing.assert_allclose(case.reversed_rows[::-1], case.scores, rtol=1e-5)


def test_some_documents_get_the_numbers_that_they_have_among_all(case):
    np.testing.assert_allclose(case.some, case.scores[SOME], rtol=1e-5)


def test_the_meaning_is_complete(case):
    meaning = case.scorer.meaning
    assert isinstance(meaning, Meaning)
    assert meaning.better in ("higher", "lower")
    assert meaning.name
    assert meaning.unit
    assert len(meaning.explanation) > 20


def test_the_identity_holds_the_version_and_every_setting(case):
    values = identity(case.scorer)
    assert values["VERSION"] >= 1
    assert set(inspect.signature(type(case.scorer)).parameters) <= set(values)
    assert case.scorer.needs <= {"target", "tokens"}
