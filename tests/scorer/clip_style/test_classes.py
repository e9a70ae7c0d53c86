"""Classes as they are named, and large ones in parts."""

import numpy as np

from delt_exp.scorer.clip_style import classes
from delt_exp.scorer.clip_style.classes import Classes


def test_only_classes_with_documents_are_kept():
    found = Classes.named(["a", "b", "c", "d"], np.array([3, 1, 3]))
    assert found.names == ["b", "d"]
    assert found.of_N.tolist() == [1, 0, 1]
    assert found.sizes.tolist() == [1, 2]
    assert found.centroids(np.array([[1.0, 0], [5, 5], [3, 0]])).tolist() == [[5, 5], [2, 0]]


def test_a_large_class_falls_into_parts_of_near_documents_and_copies_stay_together(monkeypatch):
    monkeypatch.setattr(classes, "LARGE", 25)
    monkeypatch.setattr(classes, "PART", 15)
    places = np.repeat([[0.0, 0], [9, 0]], 15, axis=0) + np.random.default_rng(0).normal(0, 0.1, (30, 2))
    vectors = np.concatenate([places, places[:9], np.ones((30, 2))]).astype(np.float32)
    of_N = np.repeat([0, 1, 2], [30, 9, 30])
    parts = Classes(["large", "small", "copies"], of_N).parts(vectors, np.arange(69, dtype=np.uint64), 0)
    assert parts[30:].tolist() == of_N[30:].tolist()
    assert len({*parts[:15]}) == len({*parts[15:30]}) == 1
    assert len({*parts}) == 4
