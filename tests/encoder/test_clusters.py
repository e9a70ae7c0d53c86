"""Clusters are those that were planted, whatever the order of the rows."""

import numpy as np
import pytest

from delt_exp.encoder.clusters import clustered, nearest
from delt_exp.errors import ConfigError
from delt_exp.rows.draws import generator

CENTRES = np.array([[0, 0], [9, 0], [0, 9], [9, 9]])


def planted(seed=0, count=40):
    draws = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    return (CENTRES[labels] + draws.normal(0, 0.3, (count, 2))).astype(np.float32), labels


def found(vectors, count=4, seed=0, ids=None):
    ids = np.arange(len(vectors), dtype=np.uint64) if ids is None else ids
    return clustered(vectors, ids, count, generator(seed, "test"), "scorer.num_clusters")


def test_planted_clusters_are_found_with_their_means_and_nearest_vectors():
    vectors, labels = planted()
    clusters = found(vectors)
    for cluster in range(4):
        members = np.flatnonzero(clusters.of_N == cluster)
        assert len(set(labels[members])) == 1
        assert clusters.centres_CD[cluster] == pytest.approx(vectors[members].mean(0), abs=1e-6)
        distances = np.linalg.norm(vectors[members] - clusters.centres_CD[cluster], axis=1)
        assert clusters.proxies_C[cluster] == members[distances.argmin()]
    np.testing.assert_array_equal(nearest(vectors, clusters.centres_CD), clusters.of_N)


def test_the_order_of_the_rows_changes_nothing():
    vectors, _ = planted()
    ids = np.random.default_rng(2).integers(2**64, size=len(vectors), dtype=np.uint64)
    clusters, turned = found(vectors, 7, ids=ids), found(vectors[::-1], 7, ids=ids[::-1])
    np.testing.assert_array_equal(turned.of_N[::-1], clusters.of_N)
    np.testing.assert_array_equal(len(vectors) - 1 - turned.proxies_C, clusters.proxies_C)


def test_every_cluster_has_a_member_and_at_most_as_many_as_documents():
    vectors, _ = planted(count=20)
    clusters = found(vectors, 50)
    assert len(clusters) == 20
    assert set(clusters.of_N) == set(range(20))


def test_fewer_different_vectors_than_clusters_are_refused_with_their_number():
    vectors = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    assert len(found(vectors, 3)) == 3
    with pytest.raises(ConfigError, match=r"scorer.num_clusters=5, but 12 documents have only 3 different embeddings"):
        found(vectors, 5)


def test_a_cluster_that_loses_all_its_vectors_on_the_way_is_left_out(monkeypatch):
    # From 0, 4 and 17 the means become 1.7, 7 and 11.2: 4 is then nearer to the first, 10 to the third.
    values = [0, *[1.9] * 9, 4, 10, *[10.6] * 9, 17]
    monkeypatch.setattr("delt_exp.encoder.clusters._plus_plus", lambda *_: np.array([[0.0], [4], [17]]))
    result = found(np.array(values, np.float32)[:, None], 3)
    assert result.of_N.tolist() == [0] * 11 + [1] * 11
    assert len(result) == 2


def test_blocks_change_nothing_and_centres_are_those_of_a_sample(monkeypatch):
    vectors, labels = planted(count=400)
    whole = found(vectors)
    monkeypatch.setattr("delt_exp.encoder.clusters.BLOCK_VECTORS", 7)
    np.testing.assert_array_equal(found(vectors).of_N, whole.of_N)
    monkeypatch.setattr("delt_exp.encoder.clusters.FITTED", 30)
    monkeypatch.setattr("delt_exp.encoder.clusters.FITTED_PER_CLUSTER", 5)
    few = found(vectors)
    assert len({(int(label), int(cluster)) for label, cluster in zip(labels, few.of_N, strict=True)}) == 4
    assert not np.array_equal(few.centres_CD, whole.centres_CD)
