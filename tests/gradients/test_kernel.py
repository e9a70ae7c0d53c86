"""Per-sample terms of the kernel against one gradient per sample, and by hand."""

import gc
import warnings
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

from delt_exp.errors import ConfigError
from delt_exp.gradients.kernel import per_sample_norms, per_sample_terms
from delt_exp.gradients.reference import per_sample_terms_reference
from delt_exp.model.objective import CrossEntropy
from tests.gradients.tiny import FAMILIES, VOCAB, draw_batch, draw_direction, tiny_model

lengths = st.lists(st.integers(0, 9), min_size=1, max_size=5)


@pytest.fixture(autouse=True)
def no_fallback() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*one sample at a time")
        yield


def assert_equal_terms(model: nn.Module, batch: dict[str, Tensor], tolerance: float) -> None:
    direction = draw_direction(model)
    found = per_sample_terms(model, batch, CrossEntropy(), direction)
    expected = per_sample_terms_reference(model, batch, direction)
    scale = 1e-3 + expected[1]
    assert (found[1] - expected[1]).abs().max() <= tolerance * scale.max()
    assert ((found[0] - expected[0]).abs() <= tolerance * scale * direction.norm()).all()
    assert torch.allclose(
        per_sample_norms(model, batch, CrossEntropy()), found[1], rtol=max(tolerance, 1e-9), atol=tolerance
    )


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=8, deadline=None)
@given(lengths=lengths, seed=st.integers(0, 9))
def test_terms_equal_one_sample_at_a_time_in_float64(family: str, lengths: list[int], seed: int) -> None:
    assert_equal_terms(tiny_model(family, seed), draw_batch(lengths, seed), 1e-10)


@pytest.mark.parametrize("family", FAMILIES)
def test_terms_equal_one_sample_at_a_time_in_float32(family: str) -> None:
    assert_equal_terms(tiny_model(family, dtype=torch.float32), draw_batch([9, 4, 1, 0]), 1e-4)


@pytest.mark.parametrize("family", ["llama", "llama tied, padding row", "gpt2"])
def test_long_samples_take_the_other_form_of_the_products_and_agree(family: str) -> None:
    assert_equal_terms(tiny_model(family), draw_batch([31, 20]), 1e-10)


def test_an_attention_mask_is_passed_on() -> None:
    batch = draw_batch([6, 4])
    batch["attention_mask"] = torch.tensor([[1] * 6, [0, 0, 1, 1, 1, 1]])
    assert_equal_terms(tiny_model("llama"), batch, 1e-10)


def test_as_many_samples_as_positions_are_told_apart() -> None:
    assert_equal_terms(tiny_model("gpt2"), draw_batch([4, 4, 3, 2]), 1e-10)


def test_as_many_samples_as_the_network_has_positions_are_told_apart() -> None:
    """One more position would be beyond the table of a network that learns them."""
    config = GPT2Config(vocab_size=VOCAB, n_positions=6, n_embd=8, n_layer=1, n_head=2)
    network = GPT2LMHeadModel(config).double()
    assert_equal_terms(network, draw_batch([6, 6, 5, 4, 3, 6]), 1e-10)
    settings = LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True, task_type="CAUSAL_LM")
    assert_equal_terms(get_peft_model(network, settings).double(), draw_batch([6, 6, 5, 4, 3, 6]), 1e-10)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_frozen_parameters_are_left_out(family: str) -> None:
    model = tiny_model(family)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("mlp" in name or "norm" in name or "ln" in name)
    assert_equal_terms(model, draw_batch([5, 3]), 1e-10)


def test_biases_alone_are_differentiated() -> None:
    model = tiny_model("gpt2")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("bias" in name)
    assert_equal_terms(model, draw_batch([5, 3]), 1e-10)


def test_lora_layers_are_ordinary_linear_layers() -> None:
    peft = pytest.importorskip("peft")
    targets = ["q_proj", "v_proj", "down_proj"]
    model = peft.get_peft_model(tiny_model("llama"), peft.LoraConfig(r=2, target_modules=targets))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)  # the second factor starts at zero
    assert_equal_terms(model.double(), draw_batch([5, 3, 1]), 1e-10)


@pytest.mark.slow
@given(mates=st.lists(st.integers(1, 9), max_size=3), place=st.integers(0, 3))
@settings(max_examples=10, deadline=None)
def test_a_sample_does_not_depend_on_its_batch_mates_or_its_place(mates: list[int], place: int) -> None:
    model = tiny_model("llama tied, padding row")
    direction, alone = draw_direction(model), draw_batch([5], seed=3)
    mates_batch = draw_batch([*mates, 9], seed=4)
    rows = list(range(len(mates) + 1))
    place = min(place, len(rows))
    together = {}
    for key, value in mates_batch.items():
        row = torch.full((1, value.shape[1]), -100 if key == "labels" else 0)
        row[:, :5] = alone[key]
        together[key] = torch.cat([value[:place], row, value[place:]])
    found = per_sample_terms(model, together, CrossEntropy(), direction)
    expected = per_sample_terms(model, alone, CrossEntropy(), direction)
    for of_batch, of_one in zip(found, expected, strict=True):
        assert of_batch[place].item() == pytest.approx(of_one.item(), rel=1e-9)


def test_a_sample_without_targets_has_no_gradient_at_all() -> None:
    model = tiny_model("llama tied, padding row", dtype=torch.float32)
    dot_B, norm_B = per_sample_terms(model, draw_batch([0, 5]), CrossEntropy(), draw_direction(model))
    assert dot_B[0] == 0
    assert norm_B[0] == 0
    assert norm_B[1] > 0


def test_the_model_is_left_as_it_was() -> None:
    model = tiny_model("llama")
    model.model.layers[0].eval()
    before = [(module.training, "forward" in module.__dict__) for module in model.modules()]
    per_sample_terms(model, draw_batch([3]), CrossEntropy(), draw_direction(model))
    assert [(module.training, "forward" in module.__dict__) for module in model.modules()] == before
    assert all(isinstance(p, nn.Parameter) and p.grad is None for p in model.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_of_a_batch_stays_in_memory(family: str) -> None:
    """Autograd's part of a cycle is invisible to the collector, so that a cycle would stay for good."""
    model = tiny_model(family)
    direction, batch = draw_direction(model), draw_batch([5, 3])
    per_sample_terms(model, batch, CrossEntropy(), direction)
    before = live_tensors()
    for _ in range(4):
        per_sample_terms(model, batch, CrossEntropy(), direction)
    assert live_tensors() <= before + 2


def live_tensors() -> int:
    gc.collect()
    return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())


class OneLayer(nn.Module):
    """Logits = W[id]: the gradient of a token's loss is softmax minus one-hot, in the row of the token."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding.from_pretrained(torch.zeros(2, 2, dtype=torch.float64), freeze=False)

    def forward(self, input_ids: Tensor, use_cache: bool) -> "OneLayer":
        self.logits = self.table(input_ids)
        return self


def test_terms_worked_by_hand() -> None:
    # Zero logits: p = (1/2, 1/2). Sample 0 reads 0, 1 and predicts 0, 1, each with weight 1/2: rows (-1/4, 1/4) and
    # (1/4, -1/4), norm sqrt(4/16) = 1/2. Sample 1 reads 0, 0 and predicts 0 once: row 0 = (-1/2, 1/2), norm sqrt(1/2).
    batch = {"input_ids": torch.tensor([[0, 1], [0, 0]]), "labels": torch.tensor([[0, 1], [0, -100]])}
    dot_B, norm_B = per_sample_terms(
        OneLayer(), batch, CrossEntropy(), torch.tensor([1.0, 2.0, 3.0, 5.0], dtype=torch.float64)
    )
    assert norm_B.tolist() == pytest.approx([0.5, 0.5**0.5], rel=1e-12)
    assert dot_B.tolist() == pytest.approx([-0.25, 0.5], rel=1e-12)  # (-1 + 2 + 3 - 5) / 4 and (-1 + 2) / 2


def test_bfloat16_forward_stays_near_float32() -> None:
    model, batch = tiny_model("llama", dtype=torch.float32), draw_batch([9, 5])
    direction = draw_direction(model)
    _, exact_B = per_sample_terms(model, batch, CrossEntropy(), direction)
    _, norm_B = per_sample_terms(model, batch, CrossEntropy(), direction, torch.bfloat16)
    assert norm_B.tolist() == pytest.approx(exact_B.tolist(), rel=0.05)


def test_a_model_without_trainable_parameters_is_refused() -> None:
    model = tiny_model("llama").requires_grad_(False)
    with pytest.raises(ConfigError, match="none; allowed is one kind"):
        per_sample_norms(model, draw_batch([3]), CrossEntropy())
