"""`packed_isolated`: packed documents are trained as if each stood alone, and networks that cannot are refused."""

import numpy as np
import pytest
import torch

from delt_exp.errors import ConfigError
from delt_exp.files import read_json
from delt_exp.model.fresh import FreshNetwork
from delt_exp.model.isolation import check_isolation
from delt_exp.model.next_token import next_token_logits, next_token_losses
from delt_exp.trainer.job import plan_for
from delt_exp.trainer.planning import PlanSettings
from delt_exp.trainer.train import train
from tests.helpers import make_pool, new_folder, tiny_recipe, words
from tests.trainer.test_train import job_of, trained

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 64}
LLAMA_LIKE = SIZES | {"intermediate_size": 32, "num_key_value_heads": 2}
NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
ISOLATING = {
    "llama": LLAMA_LIKE,
    "mistral": LLAMA_LIKE | {"sliding_window": 8},
    "qwen3": LLAMA_LIKE | {"head_dim": 8},
    "gpt_neox": SIZES | {"intermediate_size": 32},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64} | NO_DROPOUT,
    "mixtral": LLAMA_LIKE | {"num_local_experts": 2},
}
LEAKING = {
    "bloom": {"hidden_size": 16, "n_layer": 2, "n_head": 2},
    "mamba": {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4},
    "opt": SIZES | {"ffn_dim": 32, "word_embed_proj_dim": 16},
}


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return make_pool(tmp_path_factory.mktemp("isolation"), words(24))


def network_of(pool, name, config):
    return FreshNetwork(name, config).make(pool.resources.tokenizer, 0).eval()


def plan_of(pool, layout, context_tokens):
    recipe = tiny_recipe(context_tokens=context_tokens, batch_items=1)
    settings = PlanSettings(layout, epochs=1, max_tokens=None, completion_only=False)
    return plan_for(recipe, pool.candidates.tokens, np.arange(len(pool.candidates)), settings)


def losses_and_gradient(network, plan):
    """Return the loss of every predicted token in order, and the gradient of their sum, item by item."""
    network.zero_grad()
    losses = []
    for index in range(plan.num_items):
        item = plan.item(index)
        batch = {"input_ids": torch.from_numpy(item.inputs)[None]}
        if plan.isolates_documents:
            batch["position_ids"] = torch.from_numpy(item.positions)[None]
        labels = torch.from_numpy(item.labels)
        losses.append(next_token_losses(next_token_logits(network, batch), labels[None])[0])
        losses[-1].sum().backward()
    return torch.cat(losses).detach(), torch.cat([p.grad.flatten() for p in network.parameters()])


@pytest.mark.parametrize("name", ISOLATING)
def test_every_token_has_the_loss_and_gradient_of_the_padded_layout(pool, name):
    """All documents in one packed sequence, and each in a sequence of its own."""
    network = network_of(pool, name, ISOLATING[name] | ({"n_positions": 2048} if name == "gpt2" else {}))
    isolated, padded = plan_of(pool, "packed_isolated", 1024), plan_of(pool, "padded", 1024)
    assert (isolated.num_items, padded.num_items) == (1, 24)
    (losses, gradient), (expected, expected_gradient) = (losses_and_gradient(network, p) for p in (isolated, padded))
    torch.testing.assert_close(losses, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-4 * float(expected_gradient.abs().max()))


def test_packed_without_isolation_has_other_losses(pool):
    """So the test above can fail."""
    network = network_of(pool, "llama", LLAMA_LIKE)
    packed, padded = (losses_and_gradient(network, plan_of(pool, layout, 1024))[0] for layout in ("packed", "padded"))
    first = len(plan_of(pool, "padded", 1024).item(0).labels)
    torch.testing.assert_close(packed[:first], padded[:first], rtol=1e-5, atol=1e-5)
    assert (packed[first:] - padded[first:]).abs().max() > 1e-3


def test_a_document_cut_by_the_end_of_a_sequence_goes_on_alone_from_position_0(pool):
    """Each piece has the losses of a forward pass over nothing but the piece."""
    network, plan = network_of(pool, "llama", LLAMA_LIKE), plan_of(pool, "packed_isolated", 16)
    found, _ = losses_and_gradient(network, plan)
    pieces = []
    for index in range(plan.num_items):
        item = plan.item(index)
        starts = np.flatnonzero(item.positions == 0)
        for start, stop in zip(starts, [*starts[1:], len(item.labels)], strict=True):
            with torch.no_grad():
                logits = network(input_ids=torch.from_numpy(item.inputs[start:stop])[None]).logits[0]
            labels = torch.from_numpy(item.labels[start:stop])
            pieces.append(torch.nn.functional.cross_entropy(logits, labels, reduction="none"))
    torch.testing.assert_close(found, torch.cat(pieces), rtol=1e-5, atol=1e-5)


def test_the_separator_before_a_document_predicts_its_first_token_and_not_the_document_before(pool):
    """By hand: |a|bcd| in one sequence of 6; the separator that ends `a` as a label begins `bcd` as an input."""
    short = make_pool(pool.work_dir, ["a", "bcd"])
    item = plan_of(short, "packed_isolated", 6).item(0)
    a, bcd, eos = *(list(short.candidates.tokens.document(row)) for row in (0, 1)), short.candidates.tokens.eos_id
    assert item.inputs.tolist() == [eos, *a, eos, *bcd]
    assert item.labels.tolist() == [*a, eos, *bcd, eos]
    assert item.positions.tolist() == [0, 1, 0, 1, 2, 3]


@pytest.mark.parametrize("name", ISOLATING)
def test_networks_that_keep_documents_apart_are_accepted(pool, name):
    check_isolation(network_of(pool, name, ISOLATING[name]))


@pytest.mark.parametrize("name", LEAKING)
def test_networks_that_do_not_are_refused_before_any_step(pool, tmp_path, name):
    recipe = tiny_recipe(network=FreshNetwork(name, LEAKING[name]))
    folder = new_folder(tmp_path)
    with pytest.raises(ConfigError, match=f"packed_isolated: in a {name} network .* use training.layout=padded"):
        train(job_of(pool, layout="packed_isolated", recipe=recipe), folder)
    assert not (folder / "metrics.csv").exists()


@pytest.mark.slow
def test_training_with_isolated_documents_is_verified_on_any_micro_batch(pool, tmp_path):
    weights = []
    for micro_batch_items in (8, 3):
        job = job_of(pool, layout="packed_isolated", micro_batch_items=micro_batch_items)
        folder = trained(tmp_path, job)
        result = read_json(folder / "result.json")
        assert (result["order_verified"], result["order_mismatch"]) == (True, "")
        weights.append(result["final_train_loss"])
    assert weights[0] == pytest.approx(weights[1], rel=1e-4)


def test_the_layout_decides_the_plan(pool):
    digests = {plan_of(pool, layout, 16).digest for layout in ("packed", "packed_isolated", "padded")}
    assert len(digests) == 3
