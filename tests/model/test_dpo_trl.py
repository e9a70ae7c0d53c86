"""DPO is TRL's on the same tensors: losses, gradients, a mean over tokens, smoothing, adapters without a reference.

TRL is not a dependency: `pip install trl` to run this. P pairs; rows 2i and 2i + 1 of ours are rows i and P + i of TRL.
"""

from itertools import chain

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from delt_exp.corpus.tokens import IGNORED
from delt_exp.model.dpo import DPO
from delt_exp.model.objective import CrossEntropy

trl = pytest.importorskip("trl", reason="TRL is not installed (pip install trl)")
datasets = pytest.importorskip("datasets")

VOCABULARY, EOS = 30, 1
PAIRS = [  # prompt, chosen and rejected answer, of other lengths
    ([1, 2, 3], [4, 5, 6, 7, EOS], [8, EOS]),
    ([1, 9], [10, EOS], [11, 12, 13, EOS]),
    ([1, 14, 15, 16, 17], [18, 19, EOS], [20, 21, EOS]),
]


def llama(seed):
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.3,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def their_trainer(tmp_path, model, reference, **settings):
    words = {f"w{i}": i for i in range(VOCABULARY)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w0")), eos_token="w1", pad_token="w1"
    )
    unused = datasets.Dataset.from_list([{"prompt": "w2", "chosen": "w3", "rejected": "w4"}])
    config = trl.DPOConfig(
        output_dir=str(tmp_path), use_cpu=True, report_to=[], bf16=False, gradient_checkpointing=False, **settings
    )
    return trl.DPOTrainer(
        model=model, ref_model=reference, args=config, train_dataset=unused, processing_class=tokenizer
    )


def theirs(tmp_path, model, reference, pairs=PAIRS, change=lambda model: None, **settings):
    """Return TRL's mean loss, the gradients by name, and what it logs; `change` happens after the trainer began."""
    trainer = their_trainer(tmp_path, model, reference, **settings)
    change(model)
    names = ("prompt_ids", "chosen_ids", "rejected_ids")
    batch = trainer.data_collator([dict(zip(names, one, strict=True)) for one in pairs])
    model.zero_grad()
    loss = trainer.compute_loss(model, batch)
    loss.backward()
    return loss.item(), gradients(model), {key: value[-1] for key, value in trainer._metrics["train"].items()}


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def rows(pairs=PAIRS):
    """Return our batch: every side is read up to its last token, and its answer predicted."""
    sides = list(chain.from_iterable(((prompt, one), (prompt, other)) for prompt, one, other in pairs))
    width = max(len(prompt) + len(answer) for prompt, answer in sides) - 1
    ids, labels = (torch.full((len(sides), width), fill) for fill in (EOS, IGNORED))
    for row, (prompt, answer) in enumerate(sides):
        whole = torch.tensor(prompt + answer)
        ids[row, : len(whole) - 1] = whole[:-1]
        labels[row, len(prompt) - 1 : len(whole) - 1] = whole[len(prompt) :]
    return {"input_ids": ids, "labels": labels}


def log_probabilities(model, batch):
    with torch.no_grad():
        return -CrossEntropy().losses(model, batch)


def ours(model, start, pairs=PAIRS, **settings):
    """Return [P] losses and the gradients of their mean."""
    objective = DPO(**({"beta": 0.3, "label_smoothing": 0.0, "length": "sum", "reference": "start"} | settings))
    batch = rows(pairs)
    batch["reference"] = log_probabilities(start, batch)
    model.zero_grad()
    losses_P = objective.losses(model, batch)
    losses_P.mean().backward()
    return losses_P.detach(), gradients(model)


def check_same(found, expected):
    (losses_P, own), (loss, their, _) = found, expected
    assert losses_P.mean().item() == pytest.approx(loss, rel=1e-5)
    assert own.keys() == their.keys()
    for name, gradient in their.items():
        torch.testing.assert_close(own[name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("length", "their_name"), [("sum", "sigmoid"), ("mean", "sigmoid_norm")])
@pytest.mark.parametrize("beta", [0.1, 2.0])
def test_losses_and_gradients_are_those_of_trl(tmp_path, length, their_name, beta):
    """A sum is what TRL calls sigmoid, a mean over the tokens of each answer sigmoid_norm."""
    model, reference = llama(0), llama(1)
    expected = theirs(tmp_path, model, reference, beta=beta, loss_type=[their_name])
    check_same(ours(model, reference, beta=beta, length=length), expected)


def test_log_probabilities_and_rewards_are_sums_over_the_answer_with_its_end(tmp_path):
    """TRL logs means over pairs; its rewards and margins have the factor beta."""
    model, reference = llama(0), llama(1)
    _, _, logged = theirs(tmp_path, model, reference, beta=0.3)
    own, start = (log_probabilities(network, rows()).view(-1, 2) for network in (model, reference))
    rewards_P2 = 0.3 * (own - start)
    assert [logged[f"logps/{side}"] for side in ("chosen", "rejected")] == pytest.approx(own.mean(0).tolist(), rel=1e-5)
    margins_P = rewards_P2[:, 0] - rewards_P2[:, 1]
    assert logged["rewards/margins"] == pytest.approx(margins_P.mean().item(), rel=1e-4)
    assert logged["rewards/accuracies"] == pytest.approx((margins_P > 0).double().mean().item())


@pytest.mark.parametrize("pair", PAIRS)
def test_smoothing_is_that_of_aot_on_one_pair(tmp_path, pair):
    """AOT sorts log ratios over the batch before it smooths; of one pair there is nothing to sort."""
    model, reference = llama(0), llama(1)
    expected = theirs(tmp_path, model, reference, [pair], beta=0.3, loss_type=["aot"], label_smoothing=0.2)
    check_same(ours(model, reference, [pair], label_smoothing=0.2), expected)


def test_robust_dpo_of_trl_is_another_loss_with_the_same_setting(tmp_path):
    """It takes the loss of the swapped pair away instead of adding it, and divides by 1 - 2 s."""
    model, reference, s = llama(0), llama(1), 0.2
    loss, *_ = theirs(tmp_path, model, reference, beta=0.3, loss_type=["robust"], label_smoothing=s)
    (right_P, _), (wrong_P, _) = (
        ours(model, reference, [(prompt, *sides[::turn]) for prompt, *sides in PAIRS]) for turn in (1, -1)
    )
    assert loss == pytest.approx((((1 - s) * right_P - s * wrong_P) / (1 - 2 * s)).mean().item(), rel=1e-5)
    smoothed_P, _ = ours(model, reference, label_smoothing=s)
    torch.testing.assert_close(smoothed_P, (1 - s) * right_P + s * wrong_P)


def test_adapters_without_a_reference_model_are_compared_with_the_base(tmp_path):
    peft = pytest.importorskip("peft")
    adapted = peft.get_peft_model(llama(0), peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], lora_dropout=0.0))

    def learn(model):
        generator = torch.Generator().manual_seed(3)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)

    expected = theirs(tmp_path, adapted, None, change=learn, beta=0.3)
    assert expected[0] != pytest.approx(0.6931, abs=1e-3)
    check_same(ours(adapted, llama(0), reference="adapters_off"), expected)
