"""Costs of a network counted by hand."""

from transformers import LlamaConfig

from delt_exp.model.cost import ModelSize, forward_cost, model_size, total, training_cost

SIZE = ModelSize(parameters=10, activation_bytes_per_token=7)


def test_a_networks_size_follows_from_its_configuration() -> None:
    config = LlamaConfig(
        vocab_size=11, hidden_size=4, intermediate_size=6, num_hidden_layers=2, num_attention_heads=2,
        tie_word_embeddings=True,
    )  # fmt: skip
    size = model_size(config, sample_tokens=3)
    # A layer: 4 attention matrices of 4 x 4, 3 MLP matrices of 4 x 6, 2 norms of 4; a last norm; the embedding once.
    assert size.parameters == 2 * (4 * 16 + 3 * 24 + 2 * 4) + 4 + 11 * 4
    assert size.activation_bytes_per_token == 4 * (2 * (16 * 4 + 4 * 6 + 2 * 2 * 3) + 3 * 11)
    assert size.parameter_bytes == 4 * size.parameters


def test_training_and_reading_cost_what_their_tokens_cost() -> None:
    training = training_cost("training", SIZE, tokens=100, sequence_tokens=8, batch_tokens=16)
    reading = forward_cost("reading", SIZE, passes=3, tokens=100, batch_tokens=16)
    assert (training.passes, training.flops, training.peak_bytes) == (13, 6 * 10 * 100, 4 * 40 + 16 * 7)
    assert (reading.passes, reading.flops, reading.peak_bytes) == (3, 2 * 10 * 100, 40 + 16 * 7)
    both = total([training, reading])
    assert (both.passes, both.flops, both.peak_bytes) == (16, 8000, 4 * 40 + 16 * 7)


def test_nothing_costs_nothing() -> None:
    assert total([]).flops == 0
