"""The embedding of a batch: fast against slow, Monte Carlo against the exact Fisher, and what it must not depend on.

B sequences, T positions, V vocabulary.
"""

import gc
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM

from delt_exp.alignment.task2vec import fisher
from delt_exp.alignment.task2vec.filters import filter_squares, filter_squares_reference, filters_of, matrix_squares
from delt_exp.alignment.task2vec.fisher import (
    FisherSettings,
    Passage,
    embedding_width,
    fisher_embedding,
    requiring_only,
)
from delt_exp.alignment.task2vec.head import Head, Tuning, split_network
from delt_exp.errors import ConfigError
from tests.alignment.task2vec.published import published_embedding, published_filters
from tests.gradients.tiny import VOCAB, tiny_model

FAMILIES = ("gpt2", "llama tied, padding row", "qwen3", "gemma", "neox")


def model(family):
    if family != "neox":
        return tiny_model(family).eval()
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=VOCAB, max_position_embeddings=32, **sizes)).double().eval()


def settings(**changes):
    values = {"context_tokens": 12, "tuning": Tuning(2, 2, 1e-2, 1e-2), "embeddings": True, "batch_passages": 3}
    return FisherSettings(**{**values, **changes})


UNTUNED = Tuning(0, 2, 1e-2, 1e-2)


def passages(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [Passage(rng.integers(VOCAB, size=n), rng.random(12, np.float32)) for n in lengths]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("axis", [None, 0])
@pytest.mark.parametrize("shape", [(3, 5), (2, 20)])  # the two forms of the product
def test_filter_squares_equal_one_full_gradient_per_sample(family, axis, shape, capsys):
    network = model(family)
    body, head = split_network(network)
    filters = filters_of(network, head, embeddings=True) if axis is None else published_filters(network, head)
    generator = torch.Generator().manual_seed(0)
    inputs_BT = torch.randint(VOCAB, shape, generator=generator)
    delta_BTD = torch.randn(*shape, 16, generator=generator, dtype=torch.float64)
    with requiring_only(network, [f.weight for f in filters]):
        fast = filter_squares(body, network, filters, inputs_BT, delta_BTD)
        slow = filter_squares_reference(body, filters, inputs_BT, delta_BTD)
    for f, a, b in zip(filters, fast, slow, strict=True):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-12 * b.abs().max().item()), f.name
        assert len(f) == len(a)
    assert "no fast rule" not in capsys.readouterr().err


def test_both_forms_of_the_product_are_the_definition():
    generator = torch.Generator().manual_seed(0)
    for positions in (2, 9):
        a, b = (torch.randn(3, positions, width, generator=generator, dtype=torch.float64) for width in (5, 7))
        expected = torch.einsum("ntf,ntc->nfc", a, b).square().mean(2).sum(0)
        assert torch.allclose(matrix_squares(a, b), expected, rtol=1e-12)


class SharedTwice(nn.Module):
    """One matrix applied twice, whose algebra the fast way does not know."""

    def __init__(self):
        super().__init__()
        self.table, self.layer = nn.Embedding(VOCAB, 4).double(), nn.Linear(4, 4).double()

    def forward(self, inputs_BT):
        return self.layer(self.layer(self.table(inputs_BT)).tanh())


def test_a_weight_used_in_an_unknown_way_is_squared_the_slow_way_and_said(capsys):
    torch.manual_seed(0)
    network = SharedTwice()
    filters = filters_of(network, nn.Identity(), embeddings=True)
    inputs_BT, delta_BTD = torch.randint(VOCAB, (2, 3)), torch.randn(2, 3, 4, dtype=torch.float64)
    fast = filter_squares(network, network, filters, inputs_BT, delta_BTD)
    slow = filter_squares_reference(network, filters, inputs_BT, delta_BTD)
    assert all(torch.allclose(a, b) for a, b in zip(fast, slow, strict=True))
    assert "layer.weight" in capsys.readouterr().err


class SoftmaxRegression(nn.Module):
    """Logits W x, with x a fixed vector for each token id: an identity head, so that W belongs to the embedding."""

    def __init__(self, x_VI):
        super().__init__()
        num_tokens, width = x_VI.shape
        self.base_model = self.body = nn.Module()
        self.body.x = nn.Embedding.from_pretrained(x_VI)
        self.body.w = nn.Linear(width, num_tokens, bias=False, dtype=torch.float64)
        self.body.forward = lambda input_ids, use_cache: SimpleNamespace(
            last_hidden_state=self.body.w(self.body.x(input_ids))
        )
        self.head = nn.Linear(num_tokens, num_tokens, bias=False, dtype=torch.float64)
        self.head.weight.data = torch.eye(num_tokens, dtype=torch.float64)

    def get_output_embeddings(self):
        return self.head

    def forward(self, input_ids, use_cache):
        return SimpleNamespace(logits=self.head(self.body.forward(input_ids, use_cache).last_hidden_state))


def test_drawn_labels_converge_to_the_exact_fisher_of_softmax_regression():
    # Exact: the mean over tokens of p_k (1 - p_k) x_i^2, and over i for the filter of unit k.
    torch.manual_seed(0)
    network = SoftmaxRegression(torch.randn(3, 4, dtype=torch.float64))
    rng = np.random.default_rng(0)
    batch = [Passage(rng.integers(3, size=4), rng.random(5, np.float32)) for _ in range(6000)]
    few = settings(context_tokens=5, tuning=UNTUNED, embeddings=False, batch_passages=2000)
    found = fisher_embedding(network, batch, (0, 0), few)
    inputs = torch.from_numpy(np.concatenate([[0, *p.ids] for p in batch]))
    p_NV = network(inputs, False).logits.softmax(-1)
    exact = (p_NV * (1 - p_NV) * network.body.x(inputs).square().mean(1, keepdim=True)).mean(0)
    assert found == pytest.approx(exact.detach().numpy(), rel=0.04)  # 6000 squared sums: relative error 2 %


@pytest.mark.parametrize("family", ["gpt2", "llama tied, padding row"])
def test_the_embedding_does_not_depend_on_how_documents_are_batched_and_padded(family):
    network, batch = model(family), passages([11, 3, 1, 7, 12])
    expected = fisher_embedding(network, batch, (0, 0), settings(batch_passages=1))
    for size in (2, 5):
        found = fisher_embedding(network, batch, (0, 0), settings(batch_passages=size))
        assert found == pytest.approx(expected, rel=1e-5)


def test_features_that_are_too_many_to_keep_are_computed_again_with_the_same_bits(monkeypatch):
    network, batch = model("llama"), passages([5, 12, 3, 20, 1, 7, 11])  # steps of 2 documents, passes of 3
    kept = fisher_embedding(network, batch, (0, 0), settings())
    passes = []
    network.base_model.register_forward_pre_hook(lambda *_: passes.append(1))
    fisher_embedding(network, batch, (0, 0), settings())
    few, passes[:] = len(passes), []
    monkeypatch.setattr(fisher, "MOST_FEATURES", 0)
    assert np.array_equal(fisher_embedding(network, batch, (0, 0), settings()), kept)
    assert len(passes) > few


def test_an_embedding_leaves_no_features_in_memory_even_where_nobody_collects_garbage(monkeypatch):
    made, compute = [], fisher._hidden_states

    def watched(*arguments):
        features = compute(*arguments)
        made.append(weakref.ref(features))
        return features

    monkeypatch.setattr(fisher, "_hidden_states", watched)
    gc.disable()
    try:
        fisher_embedding(model("llama"), passages([5, 12]), (0, 0), settings())
        assert [reference() for reference in made] == [None]
    finally:
        gc.enable()


def test_as_many_documents_as_positions_are_told_apart():
    network, batch = model("gpt2"), passages([20] * 12)
    found = [fisher_embedding(network, batch, (0, 0), settings(batch_passages=size)) for size in (5, 12)]
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_untuned_the_embedding_is_the_token_weighted_mean_of_those_of_the_documents():
    network, batch = model("gpt2"), passages([11, 3, 20])
    untuned = settings(tuning=UNTUNED)
    alone = [fisher_embedding(network, [p], (0, 0), untuned) for p in batch]
    # Each token and the end of text is predicted, up to the context of 12.
    expected = np.average(alone, axis=0, weights=[12, 4, 12])
    assert fisher_embedding(network, batch, (0, 0), untuned) == pytest.approx(expected, rel=1e-5)


def test_the_network_stays_as_it_was():
    network = model("llama tied, padding row")
    network.lm_head.weight.requires_grad_(False)
    before = [(p.clone(), p.requires_grad) for p in network.parameters()]
    for embed in (fisher_embedding, published_embedding):
        embed(network, passages([5, 4]), (0, 0), settings())
        after = [(p, p.requires_grad, p.grad) for p in network.parameters()]
        assert all(torch.equal(a, b) and r == s for (a, r), (b, s, _) in zip(before, after, strict=True))
        assert all(gradient is None for *_, gradient in after)


def test_lookup_tables_are_left_out_on_request():
    network, batch = model("gpt2"), passages([5])
    whole = fisher_embedding(network, batch, (0, 0), settings(tuning=UNTUNED))
    without = fisher_embedding(network, batch, (0, 0), settings(tuning=UNTUNED, embeddings=False))
    assert len(whole) - len(without) == VOCAB + 32  # tokens and positions
    assert whole[VOCAB + 32 :] == pytest.approx(without, rel=1e-6)


def test_tuning_is_that_of_the_obvious_loop():
    torch.manual_seed(0)
    linear = nn.Linear(4, VOCAB, dtype=torch.float64)
    head = Head(linear)
    features = [torch.randn(n, 4, dtype=torch.float64) for n in (5, 2, 3)]
    labels = [torch.randint(VOCAB, (len(f),)) for f in features]
    head.tune(features, labels, Tuning(epochs=3, batch_documents=2, lr=1e-2, weight_decay=0.1))
    optimizer = torch.optim.AdamW(linear.parameters(), lr=1e-2, eps=1e-8, weight_decay=0.1)
    for _ in range(3):
        for part in (slice(0, 2), slice(2, 3)):
            optimizer.zero_grad()
            nn.functional.cross_entropy(linear(torch.cat(features[part])), torch.cat(labels[part])).backward()
            optimizer.step()
    assert torch.allclose(head.weight_VD, linear.weight, rtol=1e-9)
    assert torch.allclose(head.bias_V, linear.bias, rtol=1e-9)


def test_gpt2_has_134993_numbers_in_the_published_code():
    with torch.device("meta"):
        network = GPT2LMHeadModel(GPT2Config())
    assert sum(map(len, published_filters(network, network.lm_head))) == 134_993
    # Filters of output units instead of input units: 2304 and 3072 for c_attn and c_fc, 768 for c_proj of the MLP.
    outputs = filters_of(network, network.lm_head, embeddings=True)
    assert sum(map(len, outputs)) == 134_993 + 12 * ((2304 - 768) + (3072 - 768) + (768 - 3072))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("embeddings", [False, True])
def test_the_configuration_tells_how_many_numbers_an_embedding_has(tmp_path, family, embeddings):
    network = model(family)
    network.save_pretrained(tmp_path)
    found = fisher_embedding(network, passages([5]), (0, 0), settings(embeddings=embeddings))
    assert embedding_width(str(tmp_path), None, embeddings=embeddings) == len(found)


def test_the_published_code_scores_labels_one_position_early_and_predicts_padding():
    network, (whole,) = model("gpt2"), passages([12])
    (short,) = passages([4])
    same = settings(tuning=UNTUNED)
    for passage, place, is_used in ((whole, 0, False), (whole, 11, True), (short, 11, True)):
        changed = Passage(passage.ids, passage.uniform.copy())
        changed.uniform[place] = (changed.uniform[place] + 0.5) % 1
        found = [published_embedding(network, [p], (30, 30), same) for p in (passage, changed)]
        assert np.array_equal(*found) != is_used
        correct = [fisher_embedding(network, [p], (30, 30), same) for p in (passage, changed)]
        assert np.array_equal(*correct) == (passage is short)


def test_the_published_code_squares_the_gradient_of_the_mean_loss_of_a_batch():
    # Two equal passages with equal draws: the mean loss, its gradient and its square are those of one of them.
    network, (one,) = model("gpt2"), passages([12])
    same = settings(tuning=UNTUNED)
    found = published_embedding(network, [one, one], (30, 30), same)
    assert found == pytest.approx(published_embedding(network, [one], (30, 30), same), rel=1e-5)


class NoHead(nn.Module):
    def get_output_embeddings(self):
        return None


def test_a_probe_without_a_head_is_refused():
    with pytest.raises(ConfigError, match="no linear head; use a causal language model"):
        split_network(NoHead())


def test_a_probe_that_changes_its_logits_after_the_head_is_refused():
    network = model("llama")
    network.lm_head.register_forward_hook(lambda module, args, output: 3 * output)
    original = network.get_output_embeddings
    network.get_output_embeddings = lambda: nn.Linear(16, VOCAB, dtype=torch.float64)
    assert original is not None
    with pytest.raises(ConfigError, match="changes its logits"):
        split_network(network)
