"""From a model to its shares where all is known: domains of bigrams, and a network that samples their mixture."""

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.modeling_outputs import CausalLMOutput

from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.proportions.classifier import ClassifierSettings
from delt_exp.proportions.detector import Detector
from delt_exp.proportions.shares import total_variation
from delt_exp.store.store import Store
from tests.helpers import make_byte_tokenizer, make_corpus, make_resources, make_tokens

LETTERS = [*range(64, 70), 220]  # ids of a to f and the space in the tokenizer of bytes
SPACE = LETTERS[-1]
END = 256  # of a document, and what it begins after
LENGTHS = (30, 60, 200)  # mean letters of a document
BY_DOCUMENT = np.array([0.5, 0.3, 0.2])
MOST = 64  # tokens of a text


def bigrams():
    """Transitions [K, V, V] of three domains that share their letters and half of their habits."""
    rng, table_KVV = np.random.default_rng(0), np.zeros((3, 257, 257))
    ones, rows = np.ones(len(LETTERS) - 1), len(LETTERS) + 1
    shared = rng.dirichlet(ones, size=rows)
    for domain, length in enumerate(LENGTHS):
        habits = (shared + rng.dirichlet(ones, size=rows)) / 2
        for row, before in enumerate([*LETTERS, END]):
            is_word = before in LETTERS[:-1]  # goes on with a letter or ends, half of the time each
            table_KVV[domain, before, LETTERS[:-1]] = habits[row] / (2 if is_word else 1)
            table_KVV[domain, before, SPACE] = 0.5 if is_word else 0
        table_KVV[domain, LETTERS] *= 1 - 1 / length
        table_KVV[domain, LETTERS, END] = 1 / length
    return table_KVV


def document(table_VV, rng, tokenizer):
    ids = [rng.choice(257, p=table_VV[END])]
    while ids[-1] != END:
        ids.append(rng.choice(257, p=table_VV[ids[-1]]))
    return tokenizer.decode(ids[:-1])


class Ideal(LlamaForCausalLM):
    """P(next | all before) under documents of a mixture of domains, in place of what a network would have learnt."""

    def __init__(self, table_KVV, shares_K):
        sizes = {"hidden_size": 2, "intermediate_size": 2, "num_hidden_layers": 1, "num_attention_heads": 1}
        super().__init__(LlamaConfig(vocab_size=257, bos_token_id=END, eos_token_id=END, **sizes))
        self.log_KVV, self.log_K = torch.from_numpy(table_KVV).log(), torch.from_numpy(shares_K).log()

    def forward(self, input_ids, attention_mask=None, **_):
        seen_KB = self.log_K[:, None] + self.log_KVV[:, input_ids[:, :-1], input_ids[:, 1:]].sum(-1)
        next_BV = torch.logsumexp(seen_KB[..., None] + self.log_KVV[:, input_ids[:, -1]], 0)
        return CausalLMOutput(logits=next_BV[:, None])

    def prepare_inputs_for_generation(self, input_ids, attention_mask=None, **_):
        return {"input_ids": input_ids}


@pytest.mark.slow
def test_shares_of_an_ideal_sampler_of_bigram_domains_are_those_of_its_mixture(tmp_path, monkeypatch):
    table_KVV, rng = bigrams(), np.random.default_rng(1)
    ideal = Ideal(table_KVV, BY_DOCUMENT)
    monkeypatch.setattr("delt_exp.proportions.samples.load_causal_lm", lambda name: ideal)
    monkeypatch.setattr("delt_exp.proportions.samples.load_config", lambda name: ideal.config)
    tokenizer = make_byte_tokenizer(tmp_path, make_corpus(tmp_path, ["any"]))
    assert tokenizer.encode(["abcdef "]) == [LETTERS]
    domains = {}
    for label, table_VV in zip(("short", "middle", "long"), table_KVV, strict=True):
        corpus = make_corpus(tmp_path, [document(table_VV, rng, tokenizer) for _ in range(900)])
        domains[label] = TokenizedCorpus(corpus, make_tokens(tmp_path, corpus, tokenizer))
    detector = Detector(
        num_texts=1500, max_new_tokens=MOST, temperature=1.0, starts="documents", max_references=None,
        classifier=ClassifierSettings(max_ngram=2, num_buckets=8192, penalty=1e-4, max_iterations=100),
        num_bootstraps=60, alpha=0.05, seed=0,
    )  # fmt: skip
    resources = make_resources(Store(tmp_path / "store", verify="hash"), tokenizer)
    found, _ = detector.detect(resources, "ideal", "ideal", tokenizer, domains)
    by_token = BY_DOCUMENT * LENGTHS / (BY_DOCUMENT @ LENGTHS)
    for shares, interval in ((found.soft, found.soft_interval), (found.hard, found.hard_interval)):
        (low, high), near = np.transpose(interval), np.array(shares)
        assert ((low <= BY_DOCUMENT) & (high >= BY_DOCUMENT)).all()
        assert total_variation(near, BY_DOCUMENT) < 0.06
        assert total_variation(near, by_token) > 0.25
    assert total_variation(np.array(found.raw), BY_DOCUMENT) > 0.1
