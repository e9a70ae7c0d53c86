"""The head at labels alone: the losses and gradients of all logits, without those that nobody asks for."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from delt_exp.corpus.tokens import IGNORED
from delt_exp.model.next_token import label_logits, next_token_logits, next_token_losses, only_labels

SMALL = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
ARCHITECTURES = {
    "llama": {"num_key_value_heads": 2, "intermediate_size": 32, "tie_word_embeddings": True},
    "gpt2": {"n_positions": 32},
    "gpt_neox": {"intermediate_size": 32},
    "gemma2": {"num_key_value_heads": 2, "intermediate_size": 32, "head_dim": 8, "final_logit_softcapping": 3.0},
}


def network_of(architecture: str):
    torch.manual_seed(0)
    config = AutoConfig.for_model(architecture, **SMALL, **ARCHITECTURES[architecture])
    return AutoModelForCausalLM.from_config(config).double().eval()


def batch_of(*labelled: range):
    """One row of eight tokens for each range of positions that have a label."""
    ids_BT = torch.arange(1, 1 + 8 * len(labelled)).view(-1, 8)
    labels_BT = torch.full_like(ids_BT, IGNORED)
    for row, positions in enumerate(labelled):
        labels_BT[row, positions] = ids_BT[row, positions] + 1
    return {"input_ids": ids_BT, "labels": labels_BT}


PROMPTS = batch_of(range(5, 8), range(2, 6), range(0))


def losses_and_gradient(network, batch, logits):
    network.zero_grad()
    losses_BT = next_token_losses(logits, batch["labels"])
    (losses_BT * torch.arange(1, 1 + losses_BT.numel()).view_as(losses_BT)).sum().backward()
    return losses_BT.detach(), torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_labels_alone_give_the_losses_and_the_gradient_of_all_logits(architecture):
    network = network_of(architecture)
    whole = losses_and_gradient(network, PROMPTS, next_token_logits(network, PROMPTS))
    with only_labels(network, PROMPTS["labels"]):
        logits = next_token_logits(network, PROMPTS)
        assert logits.shape == (1, 3 + 4, 50)
        found = losses_and_gradient(network, PROMPTS, logits)
    for one, other in zip(found, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)
    assert next_token_logits(network, PROMPTS).shape == (3, 8, 50)  # and the head reads everything again


def test_a_failed_pass_leaves_the_head_as_it_was():
    network = network_of("llama")
    with pytest.raises(ZeroDivisionError), only_labels(network, PROMPTS["labels"]):
        _ = 1 / 0
    assert next_token_logits(network, PROMPTS).shape == (3, 8, 50)


def test_where_every_position_has_a_label_nothing_is_selected():
    network, batch = network_of("llama"), batch_of(range(8), range(8))
    with only_labels(network, batch["labels"]):
        assert torch.equal(next_token_logits(network, batch), network(input_ids=batch["input_ids"]).logits)


def test_a_batch_without_labels_has_no_loss_and_no_gradient():
    network, batch = network_of("llama"), batch_of(range(0), range(0))
    with only_labels(network, batch["labels"]):
        losses_BT, gradient = losses_and_gradient(network, batch, next_token_logits(network, batch))
    assert not losses_BT.any()
    assert not gradient.any()


@pytest.mark.parametrize("batch", [PROMPTS, batch_of(range(8))], ids=["prompts", "text"])
def test_logits_of_labels_are_those_rows_of_all(batch):
    network = network_of("llama")
    rows_NV = next_token_logits(network, batch)[batch["labels"] != IGNORED]
    torch.testing.assert_close(label_logits(network, batch), rows_NV, rtol=1e-12, atol=1e-12)


def test_a_network_that_does_not_name_its_head_makes_all_logits(monkeypatch):
    network = network_of("llama")
    monkeypatch.setattr(network, "get_output_embeddings", lambda: None)
    rows_NV = next_token_logits(network, PROMPTS)[PROMPTS["labels"] != IGNORED]
    assert torch.equal(label_logits(network, PROMPTS), rows_NV)
