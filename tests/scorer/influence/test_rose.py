"""ROSE: golden values, known answers by hand, a slow reference, made pairs and refusals."""

import json
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import cosine_similarity, logsigmoid

from delt_exp.corpus.pairs import Side
from delt_exp.corpus.tokens import IGNORED
from delt_exp.corpus.windows import WindowBatch
from delt_exp.dataset.base import Document
from delt_exp.errors import ConfigError, DataError, DeltError
from delt_exp.gradients.flat import flatten, trainable_parameters
from delt_exp.gradients.kernel import per_sample_norms
from delt_exp.gradients.signed_rows import SignedRows
from delt_exp.model.generate import generate_ids
from delt_exp.model.objective import CrossEntropy
from delt_exp.model.optimizer import AdamW
from delt_exp.proxy.trained import TrainedProxy
from delt_exp.rows.draws import seed_for
from delt_exp.scorer.influence.directions import directions, save_directions
from delt_exp.scorer.influence.gamma import Gamma
from delt_exp.scorer.influence.judge import InfluenceJudge
from delt_exp.scorer.influence.made_pairs import MismatchedPairs, SampledPairs, mismatched, sampled_pairs
from delt_exp.scorer.influence.pairs import GivenPairs, Pairs, PairShots, margins
from delt_exp.scorer.influence.rose import RoseScorer
from delt_exp.scorer.influence.scorer import combined
from tests.gradients.test_golden import GOLDEN, checkpoint, padded, part
from tests.helpers import make_pool, words
from tests.scorer.influence.test_less import gradients, states_of, step_of_adam
from tests.scorer.influence.tiny import SETTINGS, WARM_UP, again

pytestmark = pytest.mark.slow

QUESTIONS = [f"which? {text[:20]} " for text in words(6, seed=2)]
CHOSEN, REJECTED = [" ".join(t.split()[1:3]) for t in words(6, seed=3)], ["no idea", "what", "hm", "x", "y z", "never"]
PREFERENCES = [
    Document(text, prompt=prompt, source="ab"[i % 2], rejected=rejected)
    for i, (prompt, text, rejected) in enumerate(zip(QUESTIONS, CHOSEN, REJECTED, strict=True))
]


def contract_overrides(folder):
    small = ["scorer.warm_up.share=1.0", "scorer.warm_up.batch_items=4", "scorer.warm_up.context_tokens=32"]
    return [*small, "scorer.pair_tokens=32"]


def rose(**changes: Any) -> RoseScorer:
    own = {
        "pairs": "auto",
        "pair_tokens": 48,
        "temperature": 1.0,
        "log_probs": "sum",
        "aggregate": "pairs",
        "beta": 0.1,
    }
    return RoseScorer(**{**SETTINGS, **own, **changes})


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("rose")


@pytest.fixture(scope="module")
def pool(place):
    return make_pool(place, words(10), PREFERENCES)


@pytest.fixture(scope="module")
def scored(pool):
    return rose().score(pool)


def with_target(pool, place, target):
    """The pool with other target documents."""
    return replace(again(pool, place), target=make_pool(place, words(1), target).target)


class GoldenPairs(Pairs):
    """The pairs of the golden values."""

    def __init__(self, found):
        self.found, self.tokens = found, SimpleNamespace(eos_id=0)

    def pair(self, position):
        sides = (self.found[position][role] for role in ("chosen", "rejected"))
        chosen, rejected = (Side(np.array(side["input_ids"]), np.array(side["labels"])) for side in sides)
        return chosen, rejected

    def sizes(self, positions):
        return np.array([max(len(side.inputs) for side in self.pair(position)) for position in positions])


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the folder of golden values is not beside the checkout")
@pytest.mark.parametrize("form", ["official", "sgd"])
def test_golden_margins_norms_and_scores_are_reproduced(form: str, tmp_path: Any) -> None:
    less, golden = (json.loads((GOLDEN / name / "golden.json").read_text()) for name in ("less", "rose"))
    inputs = load_file(GOLDEN / "less" / "inputs.safetensors")
    pairs = GoldenPairs(golden["pairs"])
    each = PairShots(pairs, {str(i): np.array([i]) for i in range(6)}, "sum", None)
    dpo = replace(each, beta=golden["settings"]["beta"])
    grouped = replace(each, groups={"first": np.array([0, 1]), "second": np.array([2, 3])})
    documents = padded(less["train"])
    batch = WindowBatch(
        documents["input_ids"].numpy(), documents["labels"].numpy(), np.zeros(12, np.int64), np.arange(12)
    )
    cosines: dict[str, list[np.ndarray]] = {"each": [], "grouped": []}
    for number, of_state in enumerate(golden["checkpoints"]):
        network, step = checkpoint(inputs, number), less["checkpoints"][number]["step"]
        shots = dpo.batch(np.arange(6))
        h = margins(network, {**shots, "row_weights": torch.tensor([1.0, -1.0]).repeat(6)}, dpo.beta)
        np.testing.assert_allclose(h, of_state["margin"], atol=1e-5)
        norm_B = per_sample_norms(network, shots, SignedRows(CrossEntropy(), 2))
        np.testing.assert_allclose(
            dpo.scales(network, shots, norm_B) * norm_B, of_state["pair_gradient_norm"], rtol=1e-5, atol=1e-6
        )
        m, v = (part(inputs, number, kind) for kind in ("exp_avg", "exp_avg_sq"))
        state: Any = SimpleNamespace(
            step=step,
            network=lambda net=network: net,
            moments=lambda m=m, v=v: {name: (m[name], v[name]) for name in m},
        )
        gamma = Gamma.of(form, True, AdamW(lr=1.0, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0))
        for kind, found in (("each", each), ("grouped", grouped)):
            path = tmp_path / f"{kind}-{number}.safetensors"
            content = save_directions(directions(network, found, 64, step), path)
            judge = InfluenceJudge(state, gamma, path, content, len(found.groups), 0, 0, 16, "fp32")
            numbers = judge.open("cpu")(batch)[:, : len(found.groups)]
            cosines[kind].append(numbers)
        np.testing.assert_allclose(cosines["each"][-1], of_state["cosine"][form], atol=1e-5)
    weights, scores = [state["weight"] for state in less["checkpoints"]], golden["scores"][form]
    each_RS, grouped_RS = (combined(weights, np.stack(found)) for found in cosines.values())
    np.testing.assert_allclose(each_RS, scores["all_pairs"], atol=1e-5)
    np.testing.assert_allclose(grouped_RS.max(1), scores["max_over_groups"], atol=1e-5)


class Answers(nn.Module):
    """Gives the answers of a pair, of one token each, these log-probabilities; others with the adapters off.

    grad log p(chosen) = (1, 0) and grad log p(rejected) = (0, 2) of its two parameters.
    """

    def __init__(self, policy, reference):
        super().__init__()
        p = torch.tensor(policy, dtype=torch.float64).exp()
        self.scale = torch.tensor([1.0, 2.0]) / (1 - p)
        self.parameter = nn.Embedding.from_pretrained((torch.logit(p) / self.scale)[:, None], freeze=False)
        self.reference, self.is_reference = torch.logit(torch.tensor(reference, dtype=torch.float64).exp()), False

    def forward(self, input_ids, **_: Any) -> Any:
        logit = (
            self.reference[input_ids]
            if self.is_reference
            else self.parameter(input_ids)[..., 0] * self.scale[input_ids]
        )
        return SimpleNamespace(logits=torch.stack([torch.zeros_like(logit), logit], dim=-1))

    @contextmanager
    def disable_adapter(self):
        self.is_reference = True
        yield
        self.is_reference = False


def one_pair(**settings):
    side = {"chosen": {"input_ids": [0], "labels": [1]}, "rejected": {"input_ids": [1], "labels": [1]}}
    return PairShots(GoldenPairs([side]), {"one": np.array([0])}, "sum", 0.1, **settings)


@pytest.mark.parametrize(
    ("reference", "margin", "factor"), [([-13.0, -14.0], 0.2, 0.0450166), ([-12.0, -15.0], 0.0, 0.05)]
)
def test_the_margin_and_the_factor_of_a_pair_by_hand(reference, margin, factor):
    """The loss is .5981389 at a margin of .2; equal policy and reference give half of beta."""
    shots, network = one_pair(), Answers([-12.0, -15.0], reference)
    batch = shots.batch(np.array([0]))
    h = margins(network, batch, 0.1)
    assert h.item() == pytest.approx(margin, abs=1e-6)
    if margin:
        assert -logsigmoid(h).item() == pytest.approx(0.5981389, abs=1e-6)
    assert shots.scales(network, batch, torch.ones(1)).item() == pytest.approx(factor, abs=1e-6)


@pytest.mark.parametrize("beta", [None, 0.1])
def test_the_direction_of_a_pair_by_hand(beta):
    """A document whose step is (-1, 0), against the gradient of log p(chosen), scores .4472136."""
    network = Answers([-12.0, -15.0], [-13.0, -14.0])
    (direction,) = directions(network, replace(one_pair(), beta=beta), 64, 1)
    assert direction.tolist() == pytest.approx([-0.4472136, 0.8944272], abs=1e-6)
    assert cosine_similarity(torch.tensor([-1.0, 0.0]), direction, dim=0).item() == pytest.approx(0.4472136, abs=1e-6)


def test_the_gradient_of_the_loss_by_hand():
    network, shots = Answers([-12.0, -15.0], [-13.0, -14.0]), one_pair()
    batch = shots.batch(np.array([0]))
    norm_B = per_sample_norms(network, batch, SignedRows(CrossEntropy(), 2))
    assert (shots.scales(network, batch, norm_B) * norm_B).item() == pytest.approx(
        np.hypot(0.0450166, 0.0900332), abs=1e-6
    )


def slow_directions(network, pool, *, mean, beta):
    """The gradient of -log p(chosen) + log p(rejected) of each pair, or of its DPO loss, by autograd."""
    parameters = list(trainable_parameters(network).values())
    tokens = pool.target.tokens
    for row in range(len(pool.target)):
        sides = []
        for side in (tokens, tokens.rejected):
            body, start = torch.from_numpy(side.document(row).astype(np.int64)), side.answer_start(row)
            ids = torch.cat([torch.tensor([tokens.begin_id]), body, torch.tensor([tokens.eos_id])])
            sides.append((ids, start))

        def log_p(of, sides=sides):
            found = []
            for ids, start in sides:
                logs = of(input_ids=ids[None, :-1]).logits[0].log_softmax(-1)
                taken = logs[torch.arange(start, len(ids) - 1), ids[start + 1 :]]
                found.append(taken.mean() if mean else taken.sum())
            return found[0] - found[1]

        difference = log_p(network)
        if beta is None:
            loss = -difference
        else:
            with torch.no_grad(), network.disable_adapter():
                reference = log_p(network)
            loss = -logsigmoid(beta * (difference - reference))
        yield flatten(torch.autograd.grad(loss, parameters)).double()


@pytest.mark.parametrize(
    ("changes", "beta"),
    [({}, None), ({"log_probs": "mean"}, None), ({"aggregate": "gradients", "beta": 2.0}, 2.0)],
    ids=["pairs", "means", "gradients"],
)
def test_scores_are_those_of_one_pair_gradient_and_step_at_a_time(pool, place, changes, beta):
    scorer, here = rose(**changes), again(pool, place)
    per_group_RS = np.zeros((10, 2))
    for state in states_of(here, scorer):
        network = state.checkpoint.network()
        shots = list(slow_directions(network, here, mean=scorer.log_probs == "mean", beta=beta))
        units = shots if beta else [shot / shot.norm() for shot in shots]
        targets = [torch.stack(units[group::2]).mean(0) for group in (0, 1)]
        for row, gradient in enumerate(gradients(network, here.candidates.tokens, range(10))):
            step = step_of_adam(state, gradient, list(trainable_parameters(network)), scorer.warm_up.optimizer)
            step = step / step.norm()
            found = [float(step @ (target / target.norm() if beta else target)) for target in targets]
            per_group_RS[row] += state.weight * np.array(found)
    scores = scorer.score(here)
    np.testing.assert_allclose(scores, per_group_RS.max(1), atol=1e-5)


def test_swapped_roles_negate_the_scores_of_every_group(pool, place, scored):
    swapped = [replace(d, text=d.rejected, rejected=d.text) for d in PREFERENCES]
    here = with_target(pool, place, swapped)
    rose().score(here)
    for group in ("group a", "group b"):
        before, after = (p.evidence.read_table("influence_of_groups")[group].to_numpy() for p in (pool, here))
        np.testing.assert_allclose(after, -before, atol=2e-6)
    assert np.abs(scored).max() > 1e-3


def test_a_pair_of_identical_answers_has_no_direction_and_is_counted(pool, place, scored):
    same = [replace(PREFERENCES[0], rejected=PREFERENCES[0].text, source="c"), *PREFERENCES]
    here = with_target(pool, place, same)
    rose().score(here)
    table = here.evidence.read_table("influence_of_groups")
    assert table["group c"].to_pylist() == [0.0] * 10
    np.testing.assert_allclose(table["group b"], pool.evidence.read_table("influence_of_groups")["group b"], atol=2e-6)
    numbers = here.evidence.contents()["numbers"]["pairs"]["values"]
    assert (numbers["pairs"], numbers["identical"], numbers["left_out_as_too_long"]) == (7, 1, 0)
    with pytest.raises(DataError, match="all 1 pairs of the target have identical answers"):
        rose().score(with_target(pool, place, same[:1]))


def test_with_one_pair_in_a_group_beta_and_the_reference_do_not_matter(pool, place):
    here = with_target(pool, place, PREFERENCES[:2])
    alone = rose().score(here)
    for beta in (0.01, 5.0):
        found = rose(aggregate="gradients", beta=beta).score(again(here, place))
        np.testing.assert_allclose(found, alone, atol=3e-6)
    assert rose(beta=3.0).score(again(here, place)).tobytes() == alone.tobytes()


def test_pairs_are_made_of_mismatched_answers_where_the_target_has_none(pool, place, scored):
    plain = [replace(document, rejected="") for document in PREFERENCES]
    here = with_target(pool, place, plain)
    scores = rose().score(here)
    remarks = here.evidence.contents()["remarks"]
    assert remarks[0] == "Each answer of the target was compared with that of another document."
    np.testing.assert_array_equal(scores, rose(pairs="mismatched").score(with_target(pool, place, plain)))
    assert not here.evidence.contents()["warnings"]
    some = with_target(pool, place, [*PREFERENCES[:-1], plain[-1]])
    rose().score(some)
    assert "5 of 6 documents of the target have a rejected answer" in some.evidence.contents()["warnings"][0]
    forced = rose(pairs="mismatched").score(again(pool, place))
    np.testing.assert_allclose(forced, scores, atol=1e-7)
    assert np.abs(scores - scored).max() > 1e-3


def test_a_target_without_preferences_is_refused_before_the_proxy_is_trained(pool, place, monkeypatch):
    def prepare(*_):
        raise AssertionError("trained")

    monkeypatch.setattr(TrainedProxy, "prepare", prepare)
    plain = [replace(document, rejected="") for document in PREFERENCES]
    with pytest.raises(DataError, match=r"scorer.pairs=given, but not every document of the target has a rejected"):
        rose(pairs="given").score(with_target(pool, place, plain))
    with pytest.raises(ConfigError, match="group b of the target has one document"):
        rose(pairs="mismatched").score(with_target(pool, place, PREFERENCES[:4:3] + PREFERENCES[2:3]))


def test_a_partner_is_another_document_of_the_group_and_every_one_serves_once():
    ids, groups = np.arange(9, dtype=np.uint64), {"a": np.array([0, 2, 4, 6, 8]), "b": np.array([1, 3, 5, 7])}
    partners = mismatched(ids, groups, seed=3)
    assert (partners != np.arange(9)).all()
    for members in groups.values():
        assert sorted(partners[members]) == members.tolist()
    assert (mismatched(ids, groups, seed=4) != partners).any()
    with pytest.raises(ConfigError, match=r"group b of the target has one document.*scorer.groups=one"):
        mismatched(ids, {"a": np.arange(8), "b": np.array([8])}, 0)


def test_made_sides_by_hand(place):
    target = make_pool(place, ["x"], [Document("abcdef", prompt="QRSTU"), "0123456789"]).target.tokens
    pairs = MismatchedPairs(target, np.arange(2), np.array([1, 0]), 8)
    eos, begin = target.eos_id, target.begin_id
    letters, digits = (target.document(row).tolist() for row in (0, 1))  # QRSTUabcdef and 0123456789
    chosen, rejected = pairs.pair(0)
    assert chosen.inputs.tolist() == [begin, *letters[1:8]]  # RSTU and abc: the last label is no input
    assert chosen.labels.tolist() == [*[IGNORED] * 4, *letters[5:9]]
    assert rejected.inputs.tolist() == [begin, *letters[1:5], *digits[4:7]]
    assert rejected.labels.tolist() == [*[IGNORED] * 4, *digits[4:8]]
    assert pairs.sizes(np.arange(2)).tolist() == [8, 8]
    whole = MismatchedPairs(target, np.arange(2), np.array([1, 0]), 60)
    assert whole.pair(0)[0].labels[-1] == eos
    assert len(whole.pair(1)[0].inputs) == 11  # a plain document and the begin token


def test_sampled_sides_are_what_the_proxy_writes_after_the_prompt(pool, place):
    target = make_pool(place, ["x"], [Document("abcdef", prompt="QRSTU" * 9), "0123456789"]).target.tokens
    proxy = SETTINGS["proxy"].prepare(pool.resources, pool.candidates, None)
    pairs = sampled_pairs(pool.resources, target, np.arange(2), proxy, pair_tokens=16, temperature=0.7, seed=0)
    for row, prompt in enumerate(["TUQRSTU", "01234"]):  # what 16 - 8 positions hold with the begin token
        read = [target.begin_id, *target.document(row, 0, 45 if row == 0 else 5)[-7:].tolist()]
        assert [read[1:]] == pool.resources.run_tokenizer.encode([prompt])
        (ids,) = generate_ids(
            proxy.network, proxy.tokenizer, [read], [(int(target.ids[row]), 0)], max_new_tokens=8, stop=[],
            temperature=0.7, seed=seed_for(0, "sampled answers of ROSE"), batch_tokens=100,
        )  # fmt: skip
        chosen, rejected = pairs.pair(row)
        assert rejected.labels[rejected.labels != IGNORED].tolist() == [*ids, target.eos_id][:8]
        start = int((chosen.labels == IGNORED).sum())
        assert chosen.inputs[: start + 1].tolist() == rejected.inputs[: start + 1].tolist()
        assert len(rejected.inputs) <= pairs.sizes(np.array([row]))[0] <= 16


def test_an_answer_without_a_token_is_its_end(place):
    target = make_pool(place, ["x"], [Document("abcdef", prompt="QR")]).target.tokens
    pairs = SampledPairs(target, np.arange(1), np.full((1, 4), -1, np.int32), 8)
    assert pairs.pair(0)[1].labels.tolist() == [IGNORED, IGNORED, target.eos_id]


def test_a_target_may_be_compared_with_what_the_proxy_writes(pool, place, scored):
    here, once_more = again(pool, place), again(pool, place)
    scores = rose(pairs="sampled").score(here)
    remarks = here.evidence.contents()["remarks"]
    assert remarks[0] == "Each answer of the target was compared with one that the proxy wrote."
    assert np.abs(scores - scored).max() > 1e-3
    np.testing.assert_array_equal(rose(pairs="sampled").score(once_more), scores)
    assert (rose(pairs="sampled", seed=1).score(again(pool, place)) != scores).any()
    assert (rose(pairs="sampled", temperature=0.1).score(again(pool, place)) != scores).any()


def test_pairs_that_do_not_fit_are_left_out_and_counted(pool, place):
    longer = replace(PREFERENCES[0], rejected="no " * 30)
    here = with_target(pool, place, [longer, *PREFERENCES])
    assert GivenPairs(here.target.tokens, np.arange(7), 48).fits().tolist() == [False] + [True] * 6
    scores = rose().score(here)
    np.testing.assert_allclose(scores, rose().score(again(pool, place)), atol=2e-6)
    (warning,) = here.evidence.contents()["warnings"]
    assert "1 of 7 pairs have an answer longer than scorer.pair_tokens=48" in warning
    with pytest.raises(DataError, match="group alone of the target has no pair whose answers fit"):
        rose().score(with_target(pool, place, [replace(longer, source="alone"), *PREFERENCES]))


def test_repeated_pairs_are_said(pool, place):
    here = with_target(pool, place, [*PREFERENCES, PREFERENCES[1]])
    rose().score(here)
    assert here.evidence.contents()["warnings"] == ["1 pairs of the target repeat an earlier one and count twice"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pairs": "made"}, "auto, given, mismatched, sampled"),
        ({"log_probs": "max"}, "sum, mean"),
        ({"aggregate": "loss"}, "pairs, gradients"),
        ({"beta": 0.0}, "beta=0.0"),
        ({"pair_tokens": 1}, "at least 4"),
        (
            {"aggregate": "gradients", "warm_up": replace(WARM_UP, adapters=None)},
            r"without its adapters, and scorer.warm_up.adapters=null trains none; use scorer.aggregate=pairs",
        ),
    ],
)
def test_settings_that_mean_nothing_are_refused_at_once(changes, message):
    with pytest.raises(ConfigError, match=message):
        rose(**changes)


def test_merged_adapters_leave_no_reference():
    network = Answers([-1.0, -2.0], [-1.0, -2.0])
    network.disable_adapter = None
    with pytest.raises(ConfigError, match="this one has none, or they are merged"):
        margins(network, one_pair().batch(np.array([0])), 0.1)


def test_a_side_longer_than_the_model_is_refused(pool, place):
    with pytest.raises(DeltError, match="reads up to 65 tokens at once, but the proxy has 64 positions"):
        rose(pair_tokens=65).score(again(pool, place))


def test_the_forecast_counts_both_sides_of_a_pair(pool):
    costs = {cost.phase: cost.flops for cost in rose().forecast(pool.sizes, pool.resources)}
    parameters = SETTINGS["proxy"].size(pool.sizes, pool.resources, 48).parameters
    num_tokens = 2 * rose().pair_tokens * len(pool.target)
    assert costs["target"] == 2 * 2 * 4 * parameters * num_tokens
    forecast = rose(aggregate="gradients").forecast(pool.sizes, pool.resources)
    with_reference = {cost.phase: cost.flops for cost in forecast}
    assert with_reference["target"] == 1.5 * costs["target"]
