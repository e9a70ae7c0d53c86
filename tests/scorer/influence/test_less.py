"""LESS: golden values, a slow reference, planted documents, invariances, restarts and refusals."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cosine_similarity, cross_entropy

from delt_exp.corpus.windows import WindowBatch
from delt_exp.data_scorer.ridge import Ridge
from delt_exp.dataset.base import Document
from delt_exp.errors import ConfigError, DataError, DeltError
from delt_exp.gradients.flat import flatten, trainable_parameters
from delt_exp.gradients.signed_rows import ROW_WEIGHTS
from delt_exp.mapping import shards as shards_module
from delt_exp.model.optimizer import AdamW
from delt_exp.model.schedule import WarmupLinear
from delt_exp.proxy.trained import TrainedProxy
from delt_exp.runtime import Runtime
from delt_exp.scorer.base import Forecasting
from delt_exp.scorer.distilled import DistilledScorer
from delt_exp.scorer.influence import passes as passes_module
from delt_exp.scorer.influence.directions import directions, inverse, save_directions
from delt_exp.scorer.influence.gamma import Gamma
from delt_exp.scorer.influence.judge import InfluenceJudge
from delt_exp.scorer.influence.scorer import LOWEST, combined
from delt_exp.scorer.influence.warm_up import weighted
from delt_exp.scorer.reverse.documents import document_samples
from delt_exp.store.store import Store
from delt_exp.trainer.trajectory import Checkpoint
from tests.gradients.test_golden import GOLDEN, checkpoint, padded, part
from tests.helpers import make_pool, new_folder, words
from tests.scorer.influence.tiny import PROXY, WARM_UP, again, less

pytestmark = pytest.mark.slow

TARGET = [
    *(Document(text, source="first") for text in words(3, seed=5)),
    *(Document(text, source="second") for text in words(4, seed=6)),
]


def contract_overrides(folder):
    return ["scorer.warm_up.share=1.0", "scorer.warm_up.batch_items=4", "scorer.warm_up.context_tokens=32"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("less")


@pytest.fixture(scope="module")
def pool(place):
    """Twelve documents, of which two are long, and a target of two sources."""
    return make_pool(place, [*words(10), "fold " * 9, "sort " * 12], TARGET)


@pytest.fixture(scope="module")
def scored(pool):
    return less().score(pool)


def states_of(pool, scorer):
    proxy = scorer.proxy.prepare(pool.resources, pool.candidates, pool.target)
    return scorer.warm_up.states(pool.resources, proxy, pool.candidates.tokens)


def gradients(network, tokens, rows):
    """The flat gradient of the mean token loss of each document's beginning, one at a time."""
    parameters = list(trainable_parameters(network).values())
    for row in rows:
        (sample,) = document_samples(tokens, [row], 16)
        loss = cross_entropy(network(input_ids=sample.input_ids_T[None]).logits[0], sample.labels_T)
        yield flatten(torch.autograd.grad(loss, parameters)).double()


def step_of_adam(state, gradient_P, parameters, optimizer):
    """What torch.optim.Adam does next from the state of a checkpoint, with a learning rate of 1."""
    moments = {name: state.checkpoint.moments()[name] for name in parameters}
    m, v = (flatten(moment[i] for moment in moments.values()).double() for i in (0, 1))
    theta = torch.zeros_like(gradient_P, requires_grad=True)
    adam = torch.optim.Adam([theta], lr=1.0, betas=optimizer.betas, eps=optimizer.eps)
    adam.state[theta] = {"step": torch.tensor(float(state.checkpoint.step)), "exp_avg": m, "exp_avg_sq": v}
    theta.grad = gradient_P
    adam.step()
    return -theta.detach()


def slow_scores(pool, scorer):
    """[R, S] by the definition: one gradient, one step and one cosine at a time."""
    per_group_RS = np.zeros((len(pool.candidates), 2))
    for state in states_of(pool, scorer):
        network = state.checkpoint.network()
        shots = list(gradients(network, pool.target.tokens, range(7)))
        for row, gradient in enumerate(gradients(network, pool.candidates.tokens, range(len(pool.candidates)))):
            names = list(trainable_parameters(network))
            step = step_of_adam(state, gradient, names, scorer.warm_up.optimizer)
            cosines = np.array([float(cosine_similarity(step, shot, dim=0)) for shot in shots])
            per_group_RS[row] += state.weight * np.array([cosines[:3].mean(), cosines[3:].mean()])
    return per_group_RS


class GoldenShots:
    """The target of the golden values."""

    rows_per_sample = 1
    sum_is_normalised = False

    def __init__(self, samples, group_of):
        self.samples = samples
        names = sorted(set(group_of))
        self.groups = {str(name): np.flatnonzero(np.array(group_of) == name) for name in names}

    def sizes(self, shots):
        return np.array([len(self.samples[shot]["labels"]) for shot in shots])

    def batch(self, shots):
        batch = padded([self.samples[shot] for shot in shots])
        return {**batch, ROW_WEIGHTS: 1 / (batch["labels"] != -100).sum(1).double()}

    def name(self, shot):
        return f"shot {shot}"

    def scales(self, network, batch, norm_B):
        return inverse(norm_B)


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the folder of golden values is not beside the checkout")
@pytest.mark.parametrize("num_groups", [9, 1])
@pytest.mark.parametrize("form", ["official", "adam", "sgd"])
def test_golden_scores_of_every_group_and_of_the_whole_target_are_reproduced(
    form: str, num_groups: int, tmp_path: Any
) -> None:
    golden = json.loads((GOLDEN / "less" / "golden.json").read_text())
    inputs = load_file(GOLDEN / "less" / "inputs.safetensors")
    shots = GoldenShots(golden["target"], golden["target_group"] if num_groups == 9 else [0] * 18)
    documents = padded(golden["train"])
    batch = WindowBatch(
        documents["input_ids"].numpy(), documents["labels"].numpy(), np.zeros(12, np.int64), np.arange(12)
    )
    cosines = []
    for number, of_state in enumerate(golden["checkpoints"]):
        network, step = checkpoint(inputs, number), of_state["step"]
        m, v = (part(inputs, number, kind) for kind in ("exp_avg", "exp_avg_sq"))
        state: Any = SimpleNamespace(
            step=step,
            network=lambda net=network: net,
            moments=lambda m=m, v=v: {name: (m[name], v[name]) for name in m},
        )
        path = tmp_path / f"{number}.safetensors"
        content = save_directions(directions(network, shots, 64, step), path)
        gamma = Gamma.of(form, True, AdamW(lr=1.0, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0))
        judge = InfluenceJudge(state, gamma, path, content, num_groups, 0, 0, 16, "fp32")
        numbers_RN = judge.open("cpu")(batch)
        norms = of_state["train_grad_norm"] if form == "sgd" else of_state["gamma_norm"][form]
        assert numbers_RN[:, num_groups].tolist() == pytest.approx(norms, rel=1e-5)
        cosines.append(numbers_RN[:, :num_groups])
    per_group_RS = combined([c["weight"] for c in golden["checkpoints"]], np.stack(cosines))
    expected = golden["scores"][form]
    best = "max_over_groups" if num_groups == 9 else "mean_over_targets"
    np.testing.assert_allclose(per_group_RS.max(1), expected[best], atol=1e-5)
    if num_groups == 9:
        np.testing.assert_allclose(per_group_RS, expected["per_group"], atol=1e-5)


def test_checkpoints_shots_and_groups_combine_as_by_hand():
    """Two groups of two shots, two checkpoints with learning rates 3e-5 and 1e-5."""
    checkpoints: list[Any] = [None, None]
    weights = [state.weight for state in weighted(checkpoints, [3e-5, 1e-5])]
    assert weights == pytest.approx([0.75, 0.25])
    means = np.array([[[(0.2 + 0.4) / 2, (0.9 - 0.1) / 2]], [[0.0, (0.2 + 0.2) / 2]]])
    groups = combined(weights, means)[0]
    assert groups.tolist() == pytest.approx([0.225, 0.35])


@pytest.mark.parametrize("rates", [[1.0], [0.0, 0.0], [1.0, -1e-9], [float("nan"), 1.0]])
def test_weights_that_are_none_are_refused(rates):
    checkpoints: list[Any] = [None, None]
    with pytest.raises(ConfigError, match="weights"):
        weighted(checkpoints, rates)


def test_scores_are_those_of_one_gradient_step_and_cosine_at_a_time(pool, scored):
    expected_RS = slow_scores(pool, less())
    np.testing.assert_allclose(scored, expected_RS.max(1), atol=1e-5)
    table = pool.evidence.read_table("influence_of_groups")
    assert table.column_names == ["id", "group first", "group second"]
    for name, expected in zip(("group first", "group second"), expected_RS.T, strict=True):
        np.testing.assert_allclose(table[name].to_numpy(), expected, atol=1e-5)


def test_the_weights_of_checkpoints_are_mean_learning_rates_of_their_epochs(pool):
    states = states_of(pool, less())
    num_steps = states[-1].checkpoint.step
    recipe = states[0].checkpoint.recipe
    rates = np.array([recipe.lr(step, num_steps) for step in range(num_steps)])
    middle = states[0].checkpoint.step
    assert middle == -(-num_steps // 2)
    means = np.array([rates[:middle].mean(), rates[middle:].mean()])
    np.testing.assert_allclose([state.weight for state in states], means / means.sum(), rtol=1e-12)


def test_with_plain_gradients_one_checkpoint_and_one_shot_the_score_is_a_cosine(pool, place):
    scorer = less(gamma="sgd", num_target=1, groups="one", warm_up=replace(WARM_UP, epochs=1))
    here = again(pool, place)
    scores = scorer.score(here)
    (state,) = states_of(here, scorer)
    (row,) = scorer._target_rows(here.target.tokens)
    network = state.checkpoint.network()
    (shot,) = gradients(network, here.target.tokens, [row])
    for score, gradient in zip(scores, gradients(network, here.candidates.tokens, range(12)), strict=True):
        assert score == pytest.approx(float(cosine_similarity(gradient, shot, dim=0)), abs=3e-6)


def ranks_of_planted(place, settings):
    """The target asks for numbers, which 3 of 30 documents are: their ranks."""
    numbers = [" ".join(str(n * k) for k in range(1, 9)) for n in (7, 11, 13, 17, 19)]
    texts = [*words(15), *numbers[:3], *words(12, seed=4)]
    best = np.argsort(-less(**settings).score(make_pool(place, texts, numbers))).tolist()
    return sorted(best.index(i) for i in (15, 16, 17))


@pytest.mark.parametrize("settings", [{"gamma": "sgd"}, {"gamma": "adam", "momentum": False}, {"gamma": "official"}])
def test_planted_documents_of_the_target_rank_first(place, settings):
    assert ranks_of_planted(place, settings) == [0, 1, 2]


def test_with_the_momentum_of_adam_planted_documents_are_near_the_top(place):
    """Every document gets the momentum's share of the score, so that short ones can come between."""
    assert ranks_of_planted(place, {})[-1] < 5


def test_a_shot_that_is_a_document_ranks_first_for_its_group(place):
    texts = words(12)
    target = [Document(texts[7], source="first"), *(Document(t, source="second") for t in words(4, seed=6))]
    here = make_pool(place, texts, target)
    less(gamma="sgd", warm_up=replace(WARM_UP, epochs=1)).score(here)
    scores = here.evidence.read_table("influence_of_groups")["group first"].to_numpy()
    assert scores.argmax() == 7
    assert scores[7] == pytest.approx(1, abs=1e-6)


def test_neither_batch_mates_nor_padding_nor_the_order_of_documents_matter(pool, place, scored):
    alone = less().score(again(pool, place, batch_tokens=1))
    np.testing.assert_allclose(alone, scored, atol=2e-6)
    backwards = replace(again(pool, place), chosen=np.arange(12)[::-1])
    np.testing.assert_allclose(less().score(backwards)[::-1], scored, atol=2e-6)


def test_two_processes_give_the_scores_of_one(pool, place, scored, monkeypatch):
    monkeypatch.setattr(shards_module, "SHARD_SIZE", 40)
    monkeypatch.setattr(shards_module, "SHARD_ITEMS", 5)
    two = less().score(again(pool, place, strategy="ddp", devices=2))
    np.testing.assert_allclose(two, scored, atol=2e-6)


def test_a_killed_call_continues_after_the_last_checkpoint_with_the_same_bits(pool, place, scored, monkeypatch):
    here, calls, real = again(pool, place), [], passes_module.map_documents

    def killed_at_the_second(*arguments, **settings):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **settings)

    monkeypatch.setattr(passes_module, "map_documents", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        less().score(here)
    continued = less().score(here)
    assert len(calls) == 3
    assert continued.tobytes() == scored.tobytes()


def test_all_weights_can_be_trained_instead_of_adapters(pool, place):
    scorer = less(warm_up=replace(WARM_UP, adapters=None))
    here = again(pool, place)
    scores = scorer.score(here)
    assert len(trainable_parameters(states_of(here, scorer)[0].checkpoint.network())) > 16
    np.testing.assert_allclose(scores, slow_scores(here, scorer).max(1), atol=1e-5)


def test_the_published_step_and_momentum_alone_give_other_scores(pool, place, scored):
    found = [less(**s).score(again(pool, place)) for s in ({"gamma": "official"}, {"momentum": False})]
    assert all(np.abs(scores - scored).max() > 1e-3 for scores in found)


def test_one_group_is_the_whole_target(pool, place):
    here = again(pool, place)
    scores = less(groups="one").score(here)
    per_group_RS = slow_scores(here, less())
    np.testing.assert_allclose(scores, (3 * per_group_RS[:, 0] + 4 * per_group_RS[:, 1]) / 7, atol=1e-5)


def test_what_was_done_can_be_seen(pool, scored):
    contents = pool.evidence.contents()
    numbers = contents["numbers"]["influence"]["values"]
    beyond = int((pool.candidates.tokens.lengths + 1 > 16).sum())
    assert (numbers["documents"], numbers["without_label"], numbers["longer_than_context"]) == (12, 0, beyond)
    assert beyond > 2
    table = pool.evidence.read_table("checkpoints").to_pydict()
    assert table["weight"][0] + table["weight"][1] == pytest.approx(1)
    assert sum(table["all_documents"]) == pytest.approx(scored.mean(), abs=1e-6)
    assert all(0 <= share <= 1 for share in table["below_floor"])
    assert f"At most {max(table['below_floor']):.0%} of the coordinates" in " ".join(contents["remarks"])
    assert contents["figures"]["checkpoints"]["table"] == "checkpoints"
    groups = pool.evidence.read_table("groups").to_pydict()
    assert (groups["group"], groups["shots"]) == (["first", "second"], [3, 4])
    assert sum(groups["best_for_documents"]) == 12
    assert {"warm start", "warm-up", "target", "scoring"} <= set(contents["phases"])


def test_momentum_below_the_floor_is_said(pool, place):
    here = again(pool, place)
    flat = replace(WARM_UP, optimizer=AdamW(lr=1e-2, betas=(0.9, 0.9999999), eps=1e-8, weight_decay=0.0))
    less(gamma="official", warm_up=flat).score(here)
    (warning,) = here.evidence.contents()["warnings"]
    assert "it is momentum and not Adam" in warning
    table = here.evidence.read_table("checkpoints").to_pydict()
    assert min(table["below_floor"]) > 0.5


def without_label(pool, rows, place):
    """The same pool, with documents of which nothing is predicted."""
    here = again(pool, place)
    counts = np.array(here.candidates.tokens.num_predicted)
    counts[rows] = 0
    tokens = replace(here.candidates.tokens)
    tokens.__dict__["num_predicted"] = counts
    return replace(here, candidates=replace(here.candidates, tokens=tokens))


def test_documents_without_a_label_are_named_or_get_the_lowest_score(pool, place, scored):
    with pytest.raises(DataError, match=r"documents 2 \(id [0-9a-f]{16}\), 5 .* have nothing to predict.*lowest"):
        less().score(without_label(pool, [2, 5], place))
    here = without_label(pool, [2, 5], place)
    scores = less(on_empty="lowest").score(here)
    assert scores[[2, 5]].tolist() == [LOWEST, LOWEST]
    np.testing.assert_allclose(np.delete(scores, [2, 5]), np.delete(scored, [2, 5]), atol=2e-6)
    groups, documents = (here.evidence.read_table(name).to_pydict() for name in ("groups", "influence_of_groups"))
    assert sum(groups["best_for_documents"]) == 10
    of_read = [np.delete(documents[f"group {name}"], [2, 5]).mean() for name in groups["group"]]
    np.testing.assert_allclose(groups["mean_score"], of_read, rtol=1e-5)


def test_a_shot_without_a_label_is_named(pool, place):
    here = without_label(replace(pool, candidates=pool.target), [4], place)
    with pytest.raises(DataError, match=r"document 4 \(id [0-9a-f]{16}\) has nothing to predict.*target_dataset"):
        less().score(replace(here, candidates=pool.candidates, target=here.candidates))


def test_a_gradient_that_is_not_finite_names_document_and_checkpoint(place, monkeypatch):
    """One letter of one document has an embedding that is not a number."""
    here = make_pool(place, [*words(7), "fold Z fold", *words(3, seed=3)], TARGET)
    scorer, real = less(), Checkpoint.network
    letter = here.candidates.tokens.document(7)[5]

    def broken(self):
        network = real(self)
        with torch.no_grad():
            network.get_input_embeddings().weight[int(letter)] = float("nan")
        network.get_output_embeddings().weight = torch.nn.Parameter(
            real(self).get_output_embeddings().weight.detach(), requires_grad=False
        )
        return network

    monkeypatch.setattr(Checkpoint, "network", broken)
    with pytest.raises(DeltError, match=r"document 7 \(id .*not finite at the checkpoint of step \d+"):
        scorer.score(here)


def test_a_target_gradient_that_is_not_finite_names_the_shot(pool, place, monkeypatch):
    real = Checkpoint.network

    def broken(self):
        network = real(self)
        next(iter(trainable_parameters(network).values())).data.fill_(float("nan"))
        return network

    monkeypatch.setattr(Checkpoint, "network", broken)
    with pytest.raises(DataError, match=r"document \d \(id .*of the target has a gradient that is not finite .*step"):
        less().score(again(pool, place))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_target": 8}, "scorer.num_target=8 is more than the 7 documents of the target"),
        ({"num_target": 1}, "none of the 1 target documents drawn comes from '(first|second)'.*scorer.groups=one"),
        ({"warm_up": replace(WARM_UP, share=0.01, batch_items=5)}, r"1 updates for scorer.warm_up.epochs=2.*raise"),
        ({"warm_up": replace(WARM_UP, batch_items=500)}, r"the warm-up run on 6 random candidates: 12 doc.*500; raise"),
        (
            {"warm_up": replace(WARM_UP, adapters=replace(WARM_UP.adapters, targets=["q"]))},
            r"^scorer.warm_up.adapters.targets=\['q'\]: q is not a linear layer",
        ),
        (
            {"warm_up": replace(WARM_UP, context_tokens=65)},
            "^scorer.warm_up.context_tokens is 65, but .* 64 positions; use scorer.warm_up.context_tokens=64",
        ),
        (
            {"warm_up": replace(WARM_UP, schedule=WarmupLinear(99, None, 0.0))},
            "^scorer.warm_up.schedule: 99 warm-up steps .* use scorer.warm_up.schedule.warmup_steps=null",
        ),
        (
            {"warm_up": replace(WARM_UP, optimizer=replace(WARM_UP.optimizer, lr=1e30), clip_norm=None)},
            r"diverged.*lower scorer.warm_up.optimizer.lr \(1e\+30\).*\(scorer.warm_up.clip_norm, null\)",
        ),
    ],
)
def test_settings_that_do_not_fit_the_documents_are_refused(pool, place, changes, message, monkeypatch):
    if "diverged" not in message:  # all but this can be known before anything is trained

        def prepare(*_):
            raise AssertionError("trained")

        monkeypatch.setattr(TrainedProxy, "prepare", prepare)
    with pytest.raises(DeltError, match=message):
        less(**changes).score(again(pool, place))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gamma": "adamw"}, "adam, official, sgd"),
        ({"groups": "task"}, "source, one"),
        ({"on_empty": "skip"}, "error, lowest"),
        ({"num_features": 1}, "at least 2"),
        ({"context_tokens": 0}, "at least 1"),
    ],
)
def test_settings_that_mean_nothing_are_refused_at_once(changes, message):
    with pytest.raises(ConfigError, match=message):
        less(**changes)


def test_a_batch_of_prompts_alone_names_the_keys_of_the_warm_up(place):
    prompts = [Document(f"{i}", prompt="read this long prompt " * 9) for i in range(8)]
    pool = make_pool(place, prompts, words(4))
    with pytest.raises(
        DataError, match=r"nothing to predict.*; raise scorer.warm_up.batch_items or scorer.warm_up.con"
    ):
        less(warm_up=replace(WARM_UP, share=1.0)).score(pool)


def test_a_store_that_was_moved_trains_nothing_again(pool, place, scored):
    copied = new_folder(place) / "moved"
    shutil.copytree(pool.resources.store.root, copied)
    store = Store(copied, verify="hash")
    moved = replace(again(pool, place), resources=replace(pool.resources, store=store))
    np.testing.assert_array_equal(less().score(moved), scored)
    assert {use.stage for use in store.uses} >= {"model", "trajectory"}
    assert all(use.cached for use in store.uses)


def test_a_context_beyond_the_positions_of_the_model_is_refused(pool, place):
    with pytest.raises(ConfigError, match="reads up to 65 tokens at once, but the proxy has 64 positions"):
        less(context_tokens=65).score(again(pool, place))


def test_without_a_target_there_is_nothing_to_serve(pool, place):
    with pytest.raises(ConfigError, match="choose target_dataset"):
        less().score(replace(again(pool, place), target=None))


def test_half_precision_changes_scores_by_rounding_alone_and_keeps_features_of_its_own(pool, place):
    whole, half = (less(precision=name, save_features=True) for name in ("fp32", "bf16"))
    exact_R, rounded_R = (scorer.score(again(pool, place)) for scorer in (whole, half))
    errors_R = np.abs(exact_R - rounded_R)
    assert 1e-5 < errors_R.max() < 0.05 * np.ptp(exact_R) + 0.01
    estimated_R = half.rescore(again(pool, place))
    assert np.abs(estimated_R - rounded_R).max() < 6 / np.sqrt(4096)
    assert not np.array_equal(estimated_R, whole.rescore(again(pool, place)))


def test_it_can_be_distilled(pool, place):
    ridge = Ridge(penalties=(0.1, 10.0), folds=4, clip_sigma=3.0, seed=0)
    here = again(pool, place)
    scores = DistilledScorer(less(), ridge, PROXY, 10, seed=0).score(here)
    assert scores.shape == (12,)
    assert len(np.unique(scores)) == 12
    assert here.evidence.read_table("influence_of_groups").num_rows == 10


def test_the_forecast_counts_two_passes_for_the_target_and_one_for_documents(pool):
    scorer = less()
    assert isinstance(scorer, Forecasting)
    costs = {cost.phase: cost for cost in scorer.forecast(pool.sizes, pool.resources)}
    assert list(costs) == ["warm start", "warm-up", "target", "scoring"]
    parameters = PROXY.size(pool.sizes, pool.resources, 16).parameters
    num_tokens = np.minimum(pool.candidates.tokens.lengths + 1, 16).sum()
    assert costs["scoring"].flops == 2 * 4 * parameters * num_tokens
    assert costs["target"].flops == 2 * 2 * 4 * parameters * 16 * len(pool.target)
    whole = less(warm_up=replace(WARM_UP, adapters=None)).forecast(pool.sizes, pool.resources)
    assert whole[1].flops == 1.5 * costs["warm-up"].flops


def test_the_forecast_counts_the_memory_of_kept_features(pool):
    few = replace(pool, resources=replace(pool.resources, runtime=Runtime("cpu", 32)))
    plain, kept = (less(save_features=keep).forecast(few.sizes, few.resources)[-1] for keep in (False, True))
    read = np.minimum(pool.candidates.tokens.lengths + 1, 16)
    assert kept.peak_bytes - plain.peak_bytes == int(32 / read.mean()) * 4096 * 44
    assert kept.flops == plain.flops
