"""What a model writes from the begin token: reproducible, extended without change, and continued after a kill."""

import json
from collections import Counter

import numpy as np
import pytest
import torch

from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.errors import ConfigError, DataError
from delt_exp.model.generate import generate_ids
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.proportions.classifier import ClassifierSettings
from delt_exp.proportions.detector import Detector
from delt_exp.proportions.references import read_references
from delt_exp.proportions.samples import NONE, SampleWriter, samples_stage
from delt_exp.store.store import Store
from tests.eval_dataset.models import make_model
from tests.helpers import make_corpus, make_resources, make_tokens, words

SETTINGS = ClassifierSettings(max_ngram=1, num_buckets=512, penalty=1e-6, max_iterations=20)


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path, 128)


def sampled(tmp_path, model, num_texts=40, **settings):
    chosen = {"max_new_tokens": 8, "temperature": 1.0, "seed": 0} | settings
    resources = make_resources(Store(tmp_path / "store", verify="hash"), model.tokenizer)
    return samples_stage(resources, SampleWriter(str(model.pretrained), model.tokenizer, **chosen), "m", num_texts)


def detector(**settings):
    defaults = {
        "num_texts": 12, "max_new_tokens": 16, "temperature": 1.0, "starts": "documents", "max_references": None,
        "classifier": SETTINGS, "num_bootstraps": 3, "alpha": 0.1, "seed": 0,
    }  # fmt: skip
    return Detector(**defaults | settings)


def domain(tmp_path, tokenizer, texts):
    corpus = make_corpus(tmp_path, texts)
    return TokenizedCorpus(corpus, make_tokens(tmp_path, corpus, tokenizer))


def test_texts_are_draws_of_the_network_after_the_begin_token_by_their_number(tmp_path, model):
    found, begin = sampled(tmp_path, model).ids(), model.tokenizer.begin_id
    expected = generate_ids(
        load_causal_lm(model.pretrained), model.tokenizer, [[begin]], [(17,)],
        max_new_tokens=8, stop=(), temperature=1.0, seed=0, batch_tokens=1,
    )  # fmt: skip
    assert found[17] == expected[0]
    assert len(set(map(tuple, found))) > 30


@pytest.mark.slow
def test_more_texts_include_the_fewer_and_another_seed_or_temperature_gives_others(tmp_path, model):
    few, many = sampled(tmp_path, model, 10).ids(), sampled(tmp_path, model, 30).ids()
    assert many[:10] == few
    assert sampled(tmp_path, model, 10, seed=1).ids() != few
    assert sampled(tmp_path, model, 10, temperature=0.5).ids() != few


def test_the_first_token_is_known_without_sampling_and_drawn_with_its_probability(tmp_path, model):
    samples = sampled(tmp_path, model, 2000, max_new_tokens=1)
    network = load_causal_lm(model.pretrained)
    with torch.inference_mode():
        exact = network(torch.tensor([[model.tokenizer.begin_id]])).logits[0, -1].double().softmax(-1).numpy()
    np.testing.assert_allclose(samples.first_V, exact, rtol=1e-6)
    counts = Counter(ids[0] for ids in samples.ids() if ids)
    for token in np.argsort(-exact)[:5]:
        error = np.sqrt(exact[token] * (1 - exact[token]) / 2000)
        assert counts[token] / 2000 == pytest.approx(exact[token], abs=5 * error)


def test_texts_that_need_more_positions_than_the_model_has_are_refused(tmp_path, model):
    with pytest.raises(ConfigError, match="use at most 127"):
        sampled(tmp_path, model, max_new_tokens=128)


def test_references_are_the_beginnings_of_documents_as_long_as_the_models_texts(tmp_path, model):
    texts = words(40, 0)
    domains = {name: domain(tmp_path, model.tokenizer, texts[part]) for name, part in
               (("one", slice(0, 20)), ("two", slice(20, 40)))}  # fmt: skip
    found = read_references(domains, model.tokenizer, "documents", 6, None, 0)
    assert sorted(found.texts) == sorted(text[:6] for text in texts)
    assert found.domain_R.tolist() == [0] * 20 + [1] * 20
    assert len(found.half(held_out=True)[0]) + len(found.half(held_out=False)[0]) == 40


def test_windows_begin_anywhere_and_long_documents_have_more_of_them(tmp_path, model):
    short, long = [f"{i:02d}" for i in range(60)], ["x" * 1000 + f"{i}" for i in range(9)]
    domains = {"one": domain(tmp_path, model.tokenizer, short + long), "two": domain(tmp_path, model.tokenizer, short)}
    found = read_references(domains, model.tokenizer, "windows", 4, None, 0)
    ours = [text for text, number in zip(found.texts, found.domain_R, strict=True) if number == 0]
    assert sum(text.startswith("x") for text in ours) > 0.9 * len(ours)  # 9000 of 9120 characters
    assert {len(text) for text, number in zip(found.texts, found.domain_R, strict=True) if number == 1} == {1, 2}


@pytest.mark.parametrize(
    ("sizes", "message"), [([20], "1 domains are given"), ([20, 1], "domain d1 has 1 documents"), ([], "0 domains")]
)
def test_domains_that_cannot_be_told_apart_are_refused(tmp_path, model, sizes, message):
    domains = {f"d{n}": domain(tmp_path, model.tokenizer, words(size, n)) for n, size in enumerate(sizes)}
    with pytest.raises(ConfigError, match=message):
        read_references(domains, model.tokenizer, "documents", 8, None, 0)


def test_a_detection_is_stored_whole_and_its_shares_sum_to_one(tmp_path, model):
    domains = {name: domain(tmp_path, model.tokenizer, words(30, seed)) for seed, name in enumerate("ab")}
    resources = make_resources(Store(tmp_path / "store", verify="hash"), model.tokenizer)
    found, folder = detector().detect(resources, model.pretrained, "m", model.tokenizer, domains)
    again, _ = detector().detect(resources, model.pretrained, "m", model.tokenizer, domains)
    assert found == again
    assert json.loads((folder / "detected.json").read_text())["soft"] == found.soft
    for estimate in ("soft", "hard", "raw", "first_token"):
        assert sum(getattr(found, estimate)) == pytest.approx(1)
    assert (found.unit, found.num_texts) == ("documents", 12)
    tokens, _ = detector(starts="windows").detect(resources, model.pretrained, "m", model.tokenizer, domains)
    assert tokens.unit == "tokens"


def test_a_model_that_writes_nothing_is_refused(tmp_path, model):
    samples = sampled(tmp_path, model, 4)
    samples.tokens_NM[:] = NONE
    domains = {name: domain(tmp_path, model.tokenizer, words(30, seed)) for seed, name in enumerate("ab")}
    one = detector()
    with pytest.raises(DataError, match="all 4 texts of the model are empty"):
        one._detected(samples, one.references(domains, model.tokenizer), model.tokenizer)
