"""Draws depend on the seed and the id, never on the rows."""

import ast
import inspect
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import delt_exp
from delt_exp.errors import ConfigError
from delt_exp.rows import draws
from delt_exp.rows.draws import generator, occurrence, random_rows, target_rows, uniform_per_id

P = "a test"
SOURCES = Path(delt_exp.__file__).parent
DRAWING = {
    name: list(inspect.signature(function).parameters).index("purpose")
    for name, function in inspect.getmembers(draws, inspect.isfunction)
    if "purpose" in inspect.signature(function).parameters
}
UNSEEDED = {"default_rng", "manual_seed", "seed_step", "RandomState", "Generator"}
SEEDED_ELSEWHERE = ("rows/draws.py", "runtime.py", "eval_dataset/isolation.py")


def calls():
    """Yield (file, name of the function, call) of every call in the package."""
    for file in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                yield file.relative_to(SOURCES), getattr(node.func, "attr", getattr(node.func, "id", "")), node


def purposes():
    """Return the purpose of every draw in the package."""
    return [
        ast.literal_eval(call.args[DRAWING[name]])
        for file, name, call in calls()
        if name in DRAWING and file.name != "draws.py"
    ]


def make_ids(values):
    return np.array(values, dtype=np.uint64)


def test_occurrence_counts_the_earlier_rows_of_the_same_id():
    np.testing.assert_array_equal(occurrence(make_ids([5, 7, 5, 5, 7, 1])), [0, 0, 1, 2, 1, 0])
    assert occurrence(make_ids([])).shape == (0,)


@given(st.lists(st.integers(0, 2**64 - 1), unique=True), st.integers(0, 2**40), st.randoms())
def test_a_document_keeps_its_number_wherever_its_row_is(ids, seed, random):
    shuffled = random.sample(ids, len(ids))
    before = dict(zip(ids, uniform_per_id(make_ids(ids), seed, P), strict=True))
    after = dict(zip(shuffled, uniform_per_id(make_ids(shuffled), seed, P), strict=True))
    assert before == after


def test_a_document_keeps_its_number_when_others_leave():
    ids = np.arange(100, dtype=np.uint64)
    np.testing.assert_array_equal(uniform_per_id(ids[::3], 1, P), uniform_per_id(ids, 1, P)[::3])


def test_copies_of_a_document_get_numbers_of_their_own():
    assert len(np.unique(uniform_per_id(np.full(1000, 42, dtype=np.uint64), 0, P))) == 1000


def test_numbers_are_uniform_and_unrelated_between_seeds_neighbours_and_copies():
    count = 100_000
    ids = np.arange(count, dtype=np.uint64)
    first, second = uniform_per_id(ids, 0, P), uniform_per_id(ids, 1, P)
    copies = uniform_per_id(np.zeros(count, dtype=np.uint64), 0, P)
    for numbers in (first, second, copies):
        assert numbers.min() > 0
        assert numbers.max() < 1
        # The largest gap to the uniform distribution exceeds 2.2 / sqrt(N) once in 10,000 samples.
        assert np.abs(np.sort(numbers) - (np.arange(count) + 0.5) / count).max() < 2.2 / count**0.5
    for other in (second, np.roll(first, 1), copies):
        assert abs(np.corrcoef(first, other)[0, 1]) < 4 / count**0.5


@pytest.mark.parametrize("seed", [-1, 1.5, None, "0"])
def test_a_seed_that_is_not_a_whole_number_from_0_is_refused(seed):
    with pytest.raises(ConfigError, match=r"seed=.*whole number of at least 0"):
        generator(seed, P)


def test_target_documents_are_random_in_order_and_all_of_them_without_a_number():
    ids = make_ids(range(9))
    few, more = (target_rows(ids, count, 0, P, "scorer.num_target") for count in (3, 5))
    assert few.tolist() == sorted(few.tolist())
    assert len(few) == 3
    assert set(few) < set(more)
    for count in (9, None):
        assert target_rows(ids, count, 0, P, "scorer.num_target").tolist() == list(range(9))


def test_more_target_documents_than_there_are_is_an_error_that_names_the_key():
    with pytest.raises(ConfigError, match=r"scorer.num_target=10 is more than the 9 documents of the target set; use"):
        target_rows(make_ids(range(9)), 10, 0, P, "scorer.num_target")


@pytest.mark.slow
def test_every_draw_of_the_package_has_a_purpose_that_no_other_draw_has():
    found = purposes()
    assert len(found) > 20
    assert len(set(found)) == len(found)


@pytest.mark.slow
def test_no_random_number_comes_from_elsewhere():
    """All generators are made in draws.py; runtime.py seeds the global ones as it is told, isolation.py those of a
    foreign harness.
    """
    for file, name, call in calls():
        if name in UNSEEDED and str(file) not in SEEDED_ELSEWHERE:
            assert name in ("manual_seed", "seed_step"), f"{file}:{call.lineno}"
            assert getattr(call.args[0], "func", None) is not None, f"{file}:{call.lineno}"
            assert call.args[0].func.id == "seed_for", f"{file}:{call.lineno}"


@pytest.mark.slow
def test_draws_of_different_purposes_are_independent_on_one_corpus():
    count, share = 20_000, 0.3
    ids = np.arange(count, dtype=np.uint64) * 7
    numbers = {purpose: uniform_per_id(ids, 0, purpose) for purpose in purposes()}
    numbers |= {f"generator: {purpose}": generator(0, purpose).random(count) for purpose in numbers}
    for first, second in combinations(numbers, 2):
        assert abs(np.corrcoef(numbers[first], numbers[second])[0, 1]) < 5 / count**0.5, (first, second)
        both = np.mean((numbers[first] < share) & (numbers[second] < share))
        assert abs(both - share**2) < 5 * (share**2 * (1 - share**2) / count) ** 0.5, (first, second)


def test_draws_of_one_purpose_differ_by_their_parts_and_not_by_sums_of_seed_and_part():
    ids = np.arange(1000, dtype=np.uint64)
    assert not np.array_equal(uniform_per_id(ids, 0, P, 1), uniform_per_id(ids, 1, P, 0))
    assert not np.array_equal(uniform_per_id(ids, 0, P), uniform_per_id(ids, 0, P, 0))


@pytest.mark.slow
def test_selections_keep_documents_whether_or_not_a_score_was_learnt_from_them():
    """With the same seed everywhere, as in a run: no selector knows which documents were annotated."""
    from delt_exp.rows.candidates import Candidates
    from delt_exp.selector.gumbel_top_k import gumbel_top_k
    from delt_exp.selector.random import random_ratio

    ids = np.arange(2000, dtype=np.uint64) * 11
    alike = Candidates.ungrouped(ids, np.zeros(2000, np.float32))
    purpose = next(p for p in purposes() if p.startswith("annotated documents"))
    annotated = random_rows(ids, 600, 0, purpose)
    for kept in (
        random_ratio(alike, unit="documents", ratio=0.4, nested=True, draw=0, seed=0),
        gumbel_top_k(alike, unit="documents", ratio=0.4, temperature=0.1, standardise=True, seed=0),
    ):
        assert abs(np.isin(annotated, kept).mean() - 0.4) < 0.08
