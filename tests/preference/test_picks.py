"""The page tells of each pick, and what as many other choices would have brought."""

import numpy as np
import pytest

from delt_exp.dataset.base import Document
from delt_exp.preference.picks import Round, information, show_picks
from delt_exp.store.evidence import Evidence
from tests.helpers import make_pool

PAIRS = [Document("a" * (i + 1), "q: ", f"source {i % 2}", rejected="b" * (5 - i)) for i in range(5)]
FEATURES = np.array([[2, 0], [0, 1.5], [1.8, 0], [0, 0.5]], np.float32)  # of rows 0, 1, 2 and 4


def test_information_by_hand():
    assert information(FEATURES[:2].astype(float), 1.0) == pytest.approx(np.log(5 * 3.25))
    assert information(FEATURES[[0, 2]].astype(float), 0.5) == pytest.approx(np.log(1 + (4 + 3.24) / 0.5))


def test_picks_are_shown_in_their_order_with_round_source_lengths_and_what_they_added(tmp_path):
    documents, evidence = make_pool(tmp_path, PAIRS).candidates, Evidence(tmp_path / "evidence")
    rows = np.array([0, 1, 2, 4])
    first = Round(np.array([2]), np.array([1.8]), 0, rows, FEATURES / 2)
    second = Round(np.array([1, 0]), np.array([1.5, 0.97]), 3, rows, FEATURES)
    show_picks(evidence, rounds=[first, second], documents=documents, ridge=1.0, seed=0, oracle="Reward")
    table = evidence.read_table("picks").to_pydict()
    assert table["row"] == [2, 1, 0]
    assert table["round"] == [1, 2, 2]
    assert table["uncertainty"] == [1.8, 1.5, 0.97]
    np.testing.assert_allclose(table["gradient_difference"], [0.9, 1.5, 2], rtol=1e-6)
    assert table["source"] == ["source 0", "source 1", "source 0"]
    assert (table["chosen_tokens"], table["rejected_tokens"]) == ([4, 3, 2], [4, 5, 6])  # end-of-text included
    rounds = evidence.read_table("rounds").to_pydict()
    assert list(rounds.values()) == [[1, 2], [4, 4], [1, 1], [0, 3], [1, 2]]
    assert table["rejected"] == ["bbb", "bbbb", "bbbbb"]
    caption = evidence.contents()["tables"]["picks"]["caption"]
    assert caption.endswith("The model of each round wrote the answers, and Reward said which is better.")
    beside = evidence.read_table("picks_beside_others").to_pydict()
    assert beside["choice"] == ["picked", "random", "largest gradient difference", "longest answers"]
    of_all = information(FEATURES[[0, 1, 2]].astype(float), 1.0)
    np.testing.assert_allclose(np.array(beside["information"])[[0, 2]], of_all, rtol=1e-6)
    assert evidence.contents()["warnings"] == [
        "3 of 5 preferences kept their earlier answers in a round, because the model wrote no text after their prompt"
    ]
