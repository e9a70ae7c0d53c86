"""Costs of a network counted by hand."""

from transformers import BertConfig, LlamaConfig

from delt_exp.model.cost import ModelSize, encoding_cost, forward_cost, model_size, total, training_cost

SIZE = ModelSize(parameters=10, activation_bytes_per_token=7, reading_bytes_per_token=5)


def test_a_networks_size_follows_from_its_configuration() -> None:
    config = LlamaConfig(
        vocab_size=11, hidden_size=4, intermediate_size=6, num_hidden_layers=2, num_attention_heads=2,
        tie_word_embeddings=True,
    )  # fmt: skip
    size = model_size(config, sample_tokens=3)
    # A layer: 4 attention matrices of 4 x 4, 3 MLP matrices of 4 x 6, 2 norms of 4; a last norm; the embedding once.
    assert size.parameters == 2 * (4 * 16 + 3 * 24 + 2 * 4) + 4 + 11 * 4
    assert size.activation_bytes_per_token == 4 * (2 * (16 * 4 + 4 * 6 + 2 * 2 * 3) + 3 * 11)
    assert size.reading_bytes_per_token == 4 * (1 * (16 * 4 + 4 * 6 + 2 * 2 * 3) + 3 * 11)
    assert size.parameter_bytes == 4 * size.parameters


def test_training_and_reading_cost_what_their_tokens_cost() -> None:
    training = training_cost("training", SIZE, tokens=100, sequence_tokens=8, batch_tokens=16)
    reading = forward_cost("reading", SIZE, passes=3, tokens=100, batch_tokens=16)
    assert (training.passes, training.flops, training.peak_bytes) == (13, 6 * 10 * 100, 4 * 40 + 16 * 7)
    assert (reading.passes, reading.flops, reading.peak_bytes) == (3, 2 * 10 * 100, 40 + 16 * 5)
    both = total([training, reading])
    assert (both.passes, both.flops, both.peak_bytes) == (16, 8000, 4 * 40 + 16 * 7)


def test_nothing_costs_nothing() -> None:
    assert total([]).flops == 0


def test_an_encoder_multiplies_all_its_parameters_but_the_table_of_token_vectors() -> None:
    config = BertConfig(vocab_size=1000, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=16, max_position_embeddings=20, type_vocab_size=2)  # fmt: skip
    layer = 4 * (8 * 8 + 8) + (8 * 16 + 16) + (16 * 8 + 8) + 2 * 16  # attention, both halves of the MLP, two norms
    multiplied = (20 + 2) * 8 + 16 + layer + (8 * 8 + 8)  # positions, types, norm, layer, pooler
    cost = encoding_cost(config, passes=3, tokens=50, sample_tokens=20, batch_tokens=40)
    assert (cost.phase, cost.passes, cost.flops) == ("encoding", 3, 2 * multiplied * 50)
    assert cost.peak_bytes > 4 * (multiplied + 8 * 1000)
