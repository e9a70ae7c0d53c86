"""Features in the store: what they are, that the pass that leaves them changes no score, and what may be multiplied."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from delt_exp.errors import ConfigError
from delt_exp.files import read_json, write_json
from delt_exp.gradients.features import per_sample_features
from delt_exp.gradients.flat import trainable_parameters
from delt_exp.gradients.projection import Projection
from delt_exp.gradients.sketch import sketched
from delt_exp.model.objective import CrossEntropy
from delt_exp.scorer.influence import passes as passes_module
from delt_exp.scorer.influence.directions import directions
from delt_exp.scorer.influence.stored import STAGE, StoredFeatures
from tests.helpers import make_pool, words
from tests.scorer.influence.tiny import again, less

pytestmark = pytest.mark.slow

KEEPING = less(save_features=True)
SIZE = 4096


def all_features(store):
    """The finished features of a store."""
    return [StoredFeatures(file.parent) for file in store.root.glob(f"{STAGE}/*/about.json") if not file.parent.suffix]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("features")


@pytest.fixture(scope="module")
def pool(place):
    return make_pool(place, words(12), words(5, seed=5))


@pytest.fixture(scope="module")
def scored(pool):
    return KEEPING.score(pool)


@pytest.fixture(scope="module")
def stored(pool, scored):
    (features,) = all_features(pool.resources.store)
    return features


def states_of(pool):
    proxy = KEEPING.proxy.prepare(pool.resources, pool.candidates, pool.target)
    return KEEPING.warm_up.states(pool.resources, proxy, pool.candidates.tokens)


def test_scores_are_to_the_bit_those_without_features(pool, place, scored):
    assert less().score(again(pool, place)).tobytes() == scored.tobytes()
    assert KEEPING.score(again(pool, place)).tobytes() == scored.tobytes()  # the features are there by now


def test_features_are_sketches_of_unit_steps(pool, stored):
    state = states_of(pool)[1]
    network, step = state.checkpoint.network(), state.checkpoint.step
    transform = KEEPING._gamma().transform(state.checkpoint.moments(), step)
    tokens, features = pool.candidates.tokens, np.load(stored.folder / f"features-{step}.npy")
    assert (features.shape, features.dtype) == ((12, SIZE), np.float32)
    np.testing.assert_array_equal(np.load(stored.folder / "ids.npy"), pool.candidates.corpus.ids)
    for row in range(3):
        ids = torch.tensor([tokens.begin_id, *tokens.document(row).tolist(), tokens.eos_id])[:17]
        batch = {"input_ids": ids[None, :-1], "labels": ids[None, 1:]}
        (expected,) = per_sample_features(network, batch, CrossEntropy(), Projection(SIZE, 0), transform)
        found = torch.from_numpy(features[row])
        assert float(F.cosine_similarity(found, expected, dim=0)) == pytest.approx(1, abs=1e-5)
        assert float(found.norm()) == pytest.approx(1, abs=0.1)  # of the unit step: 1 up to the error of the sketch


def test_the_sketch_of_a_direction_is_the_mean_of_the_sketches_of_its_shots(pool):
    network, projection = states_of(pool)[0].checkpoint.network(), Projection(SIZE, 0)
    shots = KEEPING.shots(pool, pool.target.tokens, None)
    sketches = []
    for shot in range(5):
        batch = shots.batch(np.array([shot]))
        inputs = {key: batch[key] for key in ("input_ids", "labels")}
        features = per_sample_features(network, inputs, CrossEntropy(), projection)
        norm = directions(network, replace(shots, groups={"one": np.array([shot])}), 64, 1)
        assert float(norm.norm()) == pytest.approx(1, abs=1e-5)
        sketches.append(features[0])
    parameters = trainable_parameters(network)
    whole = sketched(directions(network, shots, 64, 1), projection, parameters)[0]
    lengths = [_norm(network, shots, shot) for shot in range(5)]
    expected = torch.stack([sketch / length for sketch, length in zip(sketches, lengths, strict=True)]).mean(0)
    torch.testing.assert_close(whole, expected, rtol=1e-4, atol=1e-6)


def _norm(network, shots, shot):
    batch = shots.batch(np.array([shot]))
    loss = network(input_ids=batch["input_ids"]).logits[0]
    loss = F.cross_entropy(loss, batch["labels"][0])
    gradients = torch.autograd.grad(loss, list(trainable_parameters(network).values()))
    return torch.cat([g.flatten() for g in gradients]).norm()


def test_estimated_scores_err_as_said_and_read_no_document(pool, place, scored, monkeypatch):
    later = make_pool(place, words(2), words(6, seed=9)).target
    exact = less().score(replace(again(pool, place), target=later))
    monkeypatch.setattr(passes_module, "map_documents", lambda *_: pytest.fail("the corpus was read"))
    estimated = KEEPING.rescore(replace(again(pool, place), target=later))
    assert 0 < np.sqrt(np.mean((estimated - exact) ** 2)) <= 2 * SIZE**-0.5
    same = KEEPING.rescore(again(pool, place))
    assert np.sqrt(np.mean((same - scored) ** 2)) <= 2 * SIZE**-0.5


@pytest.mark.parametrize("change", [{"seed": 1}, {"num_features": 64}, {"gamma": "sgd"}, {"context_tokens": 8}])
def test_features_of_other_settings_are_not_found(pool, place, scored, change):
    with pytest.raises(ConfigError, match=r"no features are stored.*scorer.save_features=true"):
        less(save_features=True, **change).rescore(again(pool, place))


@pytest.mark.parametrize("key", ["law", "seed", "parameters", "num_features"])
def test_features_of_another_law_refuse_to_be_multiplied(pool, stored, tmp_path, key):
    other = tmp_path / "features"
    other.mkdir()
    step = stored.about["steps"][0]
    (other / f"features-{step}.npy").write_bytes((stored.folder / f"features-{step}.npy").read_bytes())
    projection = dict(stored.about["projection"])
    changed = list(reversed(projection["parameters"])) if key == "parameters" else 7
    write_json(other / "about.json", {**stored.about, "projection": {**projection, key: changed}})
    with pytest.raises(ConfigError, match=f"unlike projections cannot be multiplied: {key} is"):
        StoredFeatures(other).cosines(step, torch.zeros(1, SIZE), projection)


def test_a_killed_pass_continues_with_the_same_features(pool, place, stored, monkeypatch):
    fresh = make_pool(place, words(12), words(5, seed=5))
    real, calls = passes_module.map_documents, []

    def killed_at_the_second(*arguments, **settings):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **settings)

    monkeypatch.setattr(passes_module, "map_documents", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        KEEPING.score(fresh)
    KEEPING.score(fresh)
    assert len(calls) == 3  # the first checkpoint is not read again, and no exact pass follows
    (continued,) = all_features(fresh.resources.store)
    for step in stored.about["steps"]:
        name = f"features-{step}.npy"
        assert (continued.folder / name).read_bytes() == (stored.folder / name).read_bytes()
    assert sorted(path.name for path in continued.folder.glob("*")) == sorted(p.name for p in stored.folder.glob("*"))
    assert read_json(continued.folder / "about.json") == stored.about


def test_what_a_killed_pass_for_another_target_left_is_not_in_the_way(place, stored, scored, monkeypatch):
    fresh = make_pool(place, words(12), words(5, seed=5))
    other = replace(again(fresh, place), target=make_pool(place, words(2), words(6, seed=9)).target)
    real = passes_module.map_documents

    def killed_after_reading(*arguments):
        real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(passes_module, "map_documents", killed_after_reading)
        with pytest.raises(KeyboardInterrupt):
            KEEPING.score(other)
    assert list(fresh.resources.store.root.glob(f"{STAGE}/*.work/shards-*"))
    assert KEEPING.score(fresh).tobytes() == scored.tobytes()
    (features,) = all_features(fresh.resources.store)
    assert sorted(path.name for path in features.folder.glob("*")) == sorted(p.name for p in stored.folder.glob("*"))
