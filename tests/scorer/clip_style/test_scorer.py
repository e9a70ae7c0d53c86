"""The score of documents whose vectors are known, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from delt_exp.config.identity import identity
from delt_exp.dataset.base import Document
from delt_exp.encoder.hashing import HashingEncoder
from delt_exp.errors import ConfigError, DataError
from delt_exp.files import file_sha256
from delt_exp.scorer.clip_style.scorer import ClipStyleScorer
from tests.helpers import make_pool, new_folder, words
from tests.scorer.density.vectors import Written

DEFAULTS = {
    "encoder": Written(), "classes": "clusters", "num_clusters": 1, "labels": None, "by": "id", "column": "label",
    "prototype": "centroid", "descriptions": {}, "template": None,
    "adapter": "none", "adapter_epochs": 30, "adapter_rate": 1e-4,
    "num_neighbours": 49, "neighbour_share": 1.0, "diversity_weight": 0.1, "scaling": "standard", "seed": 0,
}  # fmt: skip
TWO = [Document("1 0", source="a"), Document("0.6 0.8", source="a"), Document("0 1", source="b"),
       Document("0.8 0.6", source="b")]  # fmt: skip


def contract_overrides(folder):
    return ["scorer.num_clusters=2", "encoder=hashing"]


def scorer(**changes):
    return ClipStyleScorer(**DEFAULTS | changes)


def test_a_text_stands_for_each_source(tmp_path):
    pool = make_pool(tmp_path, TWO)
    given = scorer(classes="sources", prototype="text", descriptions={"a": "1 0", "b": "0 1"}, diversity_weight=0.0)
    # cosines 1, 0.6, 1, 0.6: mean 0.8, deviation 0.2
    assert given.score(pool) == pytest.approx([1, -1, 1, -1], abs=1e-5)
    some = replace(pool, chosen=np.array([3, 0]), work_dir=new_folder(tmp_path))
    assert given.score(some) == pytest.approx([-1, 1], abs=1e-5)


class Named(Written):
    """Knows the vectors of some sentences, too."""

    def open(self, device):
        known = {"about a": [1.0, 0], "about b": [0.0, 1]}
        return lambda batch: np.array([known.get(text) or [float(n) for n in text.split()] for text in batch.texts])


def test_the_template_stands_for_classes_without_a_text_of_their_own(tmp_path):
    given = scorer(encoder=Named(), classes="sources", prototype="text", template="about {name}", diversity_weight=0.0)
    assert given.score(make_pool(tmp_path, TWO)) == pytest.approx([1, -1, 1, -1], abs=1e-5)
    turned = replace(given, descriptions={"b": "about a"})  # cosines 1, 0.6, 0, 0.8
    expected = np.array([1, 0.6, 0, 0.8])
    expected = (expected - expected.mean()) / expected.std()
    assert turned.score(make_pool(tmp_path / "turned", TWO)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("by", ["id", "row"])
def test_labels_of_a_file_are_classes_as_sources_are(tmp_path, by):
    pool = make_pool(tmp_path, TWO)
    ids = pool.candidates.corpus.ids
    lines = [f"{ids[row]:016x},{row},{label}" for row, label in ((2, "b"), (0, "a"), (3, "b"), (1, "a"))]
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(["id,row,kind", *lines]))
    given = scorer(classes="labels", labels=str(path), by=by, column="kind", diversity_weight=0.3)
    expected = replace(given, classes="sources", labels=None).score(replace(pool, work_dir=new_folder(tmp_path)))
    np.testing.assert_array_equal(given.score(pool), expected)
    some = replace(pool, chosen=np.array([3, 0]), work_dir=new_folder(tmp_path))
    np.testing.assert_array_equal(given.score(some), expected[[3, 0]])
    moved = tmp_path / "moved.csv"
    path.rename(moved)
    assert identity(replace(given, labels=str(moved)))["content"] == file_sha256(moved)


def test_a_file_of_labels_that_lacks_one_is_refused_before_anything_is_encoded(tmp_path):
    pool = make_pool(tmp_path, TWO)
    path = tmp_path / "labels.csv"
    given = scorer(classes="labels", labels=str(path), by="row")
    with pytest.raises(DataError, match=r"scorer\.labels=.*labels\.csv: there is no such file"):
        given.fingerprint()
    path.write_text("label\na\nb\na")
    with pytest.raises(DataError, match=r"labels\.csv has 3 labels for 3 different rows.*4 candidates"):
        given.score(pool)
    path.write_text("row,label\n0,a\n1,b\n2,\n3,a")
    with pytest.raises(DataError, match=r"labels\.csv:4: label is empty"):
        given.score(pool)
    path.write_text(f"id,label\n{pool.candidates.corpus.ids[0]},a")
    with pytest.raises(DataError, match=r"has no label for 3 of 4 documents, the first in row 1"):
        replace(given, by="id").score(pool)
    assert pool.resources.store.uses == []


def test_the_adapter_brings_documents_to_the_text_about_their_class(tmp_path):
    # The texts point nowhere near the documents, which differ only in their second number.
    draws = np.random.default_rng(0)
    sides = np.where(np.arange(40) % 2, 1.0, -1.0)
    documents = [
        Document(f"{1 + x} {0.3 * side}", source="ab"[int(side > 0)])
        for side, x in zip(sides, draws.normal(0, 0.05, 40), strict=True)
    ]
    told = {"descriptions": {"a": "0 1", "b": "0 -1"}, "classes": "sources", "prototype": "text"}
    pool = make_pool(tmp_path, documents)
    scorer(**told, adapter="linear", adapter_rate=0.05, adapter_epochs=100).score(pool)
    shares = pool.evidence.contents()["numbers"]["adapter"]["values"]
    assert shares["share nearest to the own prototype, before"] == 0
    assert shares["share nearest to the own prototype, after"] == 1
    assert set(pool.evidence.contents()["phases"]) == {"encoding", "adapting", "neighbours"}


def test_an_adapter_that_has_learnt_nothing_changes_nothing(tmp_path):
    given = scorer(classes="sources", neighbour_share=0.5)
    plain = given.score(make_pool(tmp_path / "plain", TWO))
    barely = replace(given, adapter="linear", adapter_rate=1e-9, adapter_epochs=1)
    assert barely.score(make_pool(tmp_path / "barely", TWO)) == pytest.approx(plain, abs=1e-4)


def test_an_adapter_needs_two_classes(tmp_path):
    with pytest.raises(ConfigError, match=r"learns to tell classes apart, and there is one; use scorer\.adapter=none"):
        scorer(adapter="linear").score(make_pool(tmp_path, TWO))


def test_clusters_tell_groups_apart_and_do_not_depend_on_the_order(tmp_path):
    texts = words(40)
    given = scorer(encoder=HashingEncoder(64, 0), num_clusters=4)
    found, turned = given.score(make_pool(tmp_path, texts)), given.score(make_pool(tmp_path, texts[::-1]))
    np.testing.assert_allclose(turned[::-1], found, rtol=1e-5, atol=1e-6)


def test_a_source_without_a_text_is_named_before_anything_is_encoded(tmp_path):
    pool = make_pool(tmp_path, TWO)
    with pytest.raises(DataError, match=r"class 'b' has no text .*scorer\.prototype=centroid"):
        scorer(classes="sources", prototype="text", descriptions={"a": "1 0"}).score(pool)
    assert pool.resources.store.uses == []


def test_a_document_alone_in_its_class_gets_the_mean_distance(tmp_path):
    pool = make_pool(tmp_path, [*TWO, Document("0 2", source="c")])
    scorer(classes="sources").score(pool)
    (remark,) = pool.evidence.contents()["remarks"]
    assert remark == "Documents alone in their class: 1; they got the mean SDS of all."
    table = pool.evidence.read_table("classes").to_pydict()
    assert table["SDS"][2] == pytest.approx(np.mean(table["SDS"][:2]))


def test_classes_of_one_document_each_are_refused(tmp_path):
    documents = [Document(f"1 {i}", source=str(i)) for i in range(3)]
    with pytest.raises(ConfigError, match=r"3 of 3 classes have one document"):
        scorer(classes="sources").score(pool := make_pool(tmp_path, documents))
    assert pool.resources.store.uses == []


def test_a_zero_vector_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"document 1 \(id"):
        scorer().score(make_pool(tmp_path, ["1 0", "0 0"]))


def test_a_class_whose_documents_cancel_has_no_prototype_and_is_named(tmp_path):
    documents = [Document(text, source=name) for name, texts in {"a": ("1 0", "2 0"), "b": ("0 1", "0 -1")}.items()
                 for text in texts]  # fmt: skip
    with pytest.raises(DataError, match=r"prototype of class 'b' has length 0\.0.*another scorer\.prototype"):
        scorer(classes="sources").score(make_pool(tmp_path, documents))


@pytest.mark.parametrize(("changes", "message"), [
    ({"prototype": "text"}, "needs classes with names"),
    ({"classes": "labels"}, r"scorer\.classes=labels, but scorer\.labels=None"),
    ({"labels": "file.csv"}, r"scorer\.classes=clusters, but scorer\.labels=file\.csv"),
    ({"template": "A text"}, r"scorer\.template='A text' has no \{name\}"),
    ({"adapter": "mlp"}, r"ClipStyleScorer\.adapter='mlp'.*none, linear"),
    ({"num_clusters": 0}, r"ClipStyleScorer\.num_clusters=0"),
    ({"neighbour_share": 0.0}, r"ClipStyleScorer\.neighbour_share=0\.0"),
    ({"diversity_weight": -1.0}, r"ClipStyleScorer\.diversity_weight=-1\.0"),
    ({"scaling": "rank"}, r"ClipStyleScorer\.scaling='rank'.*standard, minmax"),
])  # fmt: skip
def test_settings_that_mean_nothing_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        scorer(**changes)
