"""Low-rank adapters, Adam's step and preference pairs against values that slow reference scripts computed.

The values come with the published code of LESS (arXiv 2402.04333) and ROSE (arXiv 2412.00631), which they were checked
with. Products with all targets are taken in one pass, as for a known target.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from delt_exp.gradients.features import per_sample_features
from delt_exp.gradients.flat import flatten
from delt_exp.gradients.kernel import per_sample_terms
from delt_exp.gradients.mapped import AdamStep, Transform
from delt_exp.gradients.projection import Projection
from delt_exp.gradients.signed_rows import SignedRows
from delt_exp.model.objective import CrossEntropy
from tests.gradients.tiny import gradients_by_name

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "gradient"
pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the folder of golden values is not beside the checkout")


@pytest.fixture(scope="module")
def less() -> dict[str, Any]:
    return json.loads((GOLDEN / "less" / "golden.json").read_text())


@pytest.fixture(scope="module")
def inputs() -> dict[str, Tensor]:
    return load_file(GOLDEN / "less" / "inputs.safetensors")


def checkpoint(inputs: dict[str, Tensor], number: int) -> Any:
    """The frozen base with the adapter of one checkpoint."""
    peft = pytest.importorskip("peft")
    config = LlamaConfig(
        vocab_size=37, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        attn_implementation="eager",
    )  # fmt: skip
    base = LlamaForCausalLM(config)
    base.load_state_dict({name[5:]: t for name, t in inputs.items() if name.startswith("base/")})
    targets = ["q_proj", "k_proj", "v_proj", "o_proj"]
    model = peft.get_peft_model(base, peft.LoraConfig(r=3, lora_alpha=6, target_modules=targets))
    trained = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in part(inputs, number, "adapter").items():
            trained[name].copy_(value)
    return model


def part(inputs: dict[str, Tensor], number: int, kind: str) -> dict[str, Tensor]:
    start = f"checkpoint{number}/{kind}/"
    return {name.removeprefix(start): t for name, t in inputs.items() if name.startswith(start)}


def adam_step(inputs: dict[str, Tensor], number: int, step: int, form: str) -> Transform | None:
    m, v = (part(inputs, number, kind) for kind in ("exp_avg", "exp_avg_sq"))
    moments = {name: (m[name], v[name]) for name in m}
    return None if form == "sgd" else AdamStep(moments, step, form)  # type: ignore[arg-type]


def padded(samples: list[dict[str, list[int]]]) -> dict[str, Tensor]:
    width = max(len(sample["labels"]) for sample in samples)
    return {
        key: torch.tensor([s[key] + [fill] * (width - len(s[key])) for s in samples])
        for key, fill in (("input_ids", 0), ("labels", -100))
    }


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("form", ["official", "adam", "sgd"])
def test_less_cosines_with_all_targets_in_one_pass(
    number: int, form: str, less: dict[str, Any], inputs: dict[str, Tensor]
) -> None:
    model, golden = checkpoint(inputs, number), less["checkpoints"][number]
    transform = adam_step(inputs, number, golden["step"], form)
    documents, shots = padded(less["train"]), padded(less["target"])
    shots_SP = torch.stack([flatten(g.values()) for g in gradients_by_name(model, shots, len(less["target"]))])
    assert torch.allclose(shots_SP.norm(dim=1), torch.tensor(golden["target_grad_norm"]), rtol=1e-5)
    dot_BS, norm_B = per_sample_terms(
        model, documents, CrossEntropy(), shots_SP / shots_SP.norm(dim=1)[:, None], transform=transform
    )
    expected_norm_B = golden["train_grad_norm" if form == "sgd" else "gamma_norm"]
    assert norm_B.tolist() == pytest.approx(expected_norm_B if form == "sgd" else expected_norm_B[form], rel=1e-5)
    cosine_BS = dot_BS / norm_B.clamp(min=1e-30)[:, None]
    assert (cosine_BS - torch.tensor(golden["cosine"][form], dtype=torch.float64)).abs().max() <= 1e-5


def test_less_cosines_from_features_are_within_their_error(less: dict[str, Any], inputs: dict[str, Tensor]) -> None:
    model, golden, projection = checkpoint(inputs, 0), less["checkpoints"][0], Projection(8192, 0)
    step = adam_step(inputs, 0, golden["step"], "adam")
    documents = per_sample_features(model, padded(less["train"]), CrossEntropy(), projection, step)
    shots = per_sample_features(model, padded(less["target"]), CrossEntropy(), projection)
    cosines = torch.nn.functional.normalize(documents) @ torch.nn.functional.normalize(shots).T
    errors = cosines - torch.tensor(golden["cosine"]["adam"])
    assert errors.square().mean().sqrt() <= 1.2 * 8192**-0.5


@pytest.mark.parametrize("number", [0, 1])
def test_rose_pairs_are_samples_of_two_signed_rows(
    number: int, less: dict[str, Any], inputs: dict[str, Tensor]
) -> None:
    """The gradient of a DPO loss is -beta sigmoid(-h) times that of log p(chosen) - log p(rejected)."""
    rose = json.loads((GOLDEN / "rose" / "golden.json").read_text())
    model, golden = checkpoint(inputs, number), rose["checkpoints"][number]
    rows = padded([pair[role] for pair in rose["pairs"] for role in ("chosen", "rejected")])
    batch = {**rows, "row_weights": torch.tensor([-1.0, 1.0]).repeat(len(rose["pairs"]))}  # log p = - loss
    step = adam_step(inputs, number, less["checkpoints"][number]["step"], "official")
    gamma_BP = torch.stack([
        flatten(step(name, g[None]) for name, g in one.items())
        for one in gradients_by_name(model, padded(less["train"]), 12)
    ])  # fmt: skip
    dot_PB, norm_P = per_sample_terms(model, batch, SignedRows(CrossEntropy(), 2), gamma_BP)
    margin_P = torch.tensor(golden["margin"], dtype=torch.float64)
    factor_P = rose["settings"]["beta"] * torch.sigmoid(-margin_P)
    assert (factor_P * norm_P).tolist() == pytest.approx(golden["pair_gradient_norm"], rel=1e-5, abs=1e-6)
    differing = torch.tensor(golden["pair_gradient_norm"]) > 0  # identical answers leave rounding alone
    cosine_PB = -dot_PB[differing] / norm_P[differing, None] / gamma_BP.norm(dim=1)
    expected_BP = torch.tensor(golden["cosine"]["official"], dtype=torch.float64)
    assert (cosine_PB.T - expected_BP[:, differing]).abs().max() <= 1e-5


def test_gamma_over_ten_decades_of_scale() -> None:
    golden = json.loads((GOLDEN / "less" / "gamma.json").read_text())
    g, m, v = (torch.tensor(golden[name], dtype=torch.float64) for name in ("g", "exp_avg", "exp_avg_sq"))
    for form in ("official", "adam"):
        step = AdamStep({"w": (m, v)}, golden["step_of_the_state"], form)  # type: ignore[arg-type]
        assert step("w", g[None])[0].tolist() == pytest.approx(golden[form], rel=1e-6)
