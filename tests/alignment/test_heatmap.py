"""The picture of a table."""

import numpy as np

from delt_exp.alignment.heatmap import cluster_order, write_heatmap
from delt_exp.quantity import Meaning


def test_similar_rows_stand_beside_each_other():
    kinds = np.array([0, 1, 0, 1, 0])
    values = np.where(kinds[:, None] == kinds, 1.0, 0.0) + np.arange(5)[:, None] / 100
    order = cluster_order(values)
    assert sorted(order.tolist()) == [0, 1, 2, 3, 4]
    assert np.abs(np.diff(kinds[order])).sum() == 1  # one change of kind


def test_two_rows_stay_in_order():
    assert cluster_order(np.array([[1.0, 2], [0, 1]])).tolist() == [0, 1]


def test_a_picture_is_written_for_any_number_of_texts(tmp_path):
    meaning = Meaning("alignment", "cosine", "higher", "How alike they are.")
    for shape in ((1, 1), (2, 5), (4, 4)):
        names = [[f"text {i}" for i in range(size)] for size in shape]
        write_heatmap(tmp_path / "heatmap.png", *names, np.random.default_rng(0).random(shape), meaning)
        assert (tmp_path / "heatmap.png").read_bytes().startswith(b"\x89PNG")
