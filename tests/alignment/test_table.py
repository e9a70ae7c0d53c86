"""Descriptions and comparisons through the store."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest

from delt_exp.alignment.base import Coefficient, Text
from delt_exp.alignment.table import coefficients, matrix
from delt_exp.errors import DataError
from delt_exp.quantity import Meaning
from tests.alignment.tiny import make_resources, make_text

CALLS: list[str] = []


@dataclass(frozen=True)
class LengthAlignment:
    """Minus the difference of the mean lengths, plus `offset`."""

    VERSION: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset()
    COMPARED: ClassVar[tuple[str, ...]] = ("offset",)
    offset: float
    unit: str = field(default="characters")

    @property
    def meaning(self):
        return Meaning("length", self.unit, "higher", "How alike the lengths are.")

    def inputs(self, resources):
        return {}

    def describer(self, resources):
        CALLS.append("loaded")

        def describe(text, folder):
            CALLS.append("described")
            return {"mean": np.array([np.mean([len(t) for t in text.read(np.arange(len(text.ids)))])])}

        return describe

    def compare(self, train, evaluation):
        CALLS.append("compared")
        return Coefficient(self.offset - float(abs(train.arrays["mean"] - evaluation.arrays["mean"])[0]), None, None)


@pytest.fixture(autouse=True)
def no_calls():
    CALLS.clear()


def test_a_table_describes_each_text_once_and_a_second_one_nothing(tmp_path):
    resources = make_resources(tmp_path)
    trained = {"a": make_text(tmp_path, ["12", "1234"]), "b": make_text(tmp_path, ["12345"])}
    evaluation = {name: make_text(tmp_path, [text]) for name, text in {"c": "1", "d": "123", "e": "1234"}.items()}
    rows = coefficients(LengthAlignment(0.0), trained, evaluation, resources)
    names, others, values = matrix(rows)
    assert (names, others) == (["a", "b"], ["c", "d", "e"])
    assert values.tolist() == [[-2, 0, -1], [-4, -2, -1]]
    assert (CALLS.count("loaded"), CALLS.count("described"), CALLS.count("compared")) == (1, 5, 6)
    assert all(row.train_seconds > 0 and row.evaluation_seconds > 0 for row in rows)
    assert coefficients(LengthAlignment(0.0), trained, evaluation, resources) == rows
    assert len(CALLS) == 12  # nothing was added


def test_a_setting_of_the_comparison_describes_nothing_again(tmp_path):
    resources, texts = make_resources(tmp_path), {"a": make_text(tmp_path, ["12"])}
    coefficients(LengthAlignment(0.0), texts, texts, resources)
    (row,) = coefficients(LengthAlignment(5.0), texts, texts, resources)
    assert row.value == 5
    assert CALLS.count("described") == 1


def test_rows_choose_documents(tmp_path):
    whole = make_text(tmp_path, ["1", "123", "12345"])
    texts = {"part": Text(whole.corpus, np.array([0, 2]))}
    (row,) = coefficients(LengthAlignment(0.0), texts, {"one": make_text(tmp_path, ["1"])}, make_resources(tmp_path))
    assert row.value == -2


def test_a_text_without_documents_is_refused_with_its_name(tmp_path):
    whole = make_text(tmp_path, ["1"])
    texts = {"nothing": Text(whole.corpus, np.array([], np.intp))}
    with pytest.raises(DataError, match="nothing: alignment: a text has no documents"):
        coefficients(LengthAlignment(0.0), texts, texts, make_resources(tmp_path))
