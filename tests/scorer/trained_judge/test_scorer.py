"""A trained judge reads a question as it learnt it, and tells the documents from what it was shown as spoiled."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.stages import tokens_stage
from delt_exp.corpus.writing import WHOLE, write_corpus
from delt_exp.errors import ConfigError
from delt_exp.mapping.judge import TextBatch
from delt_exp.model.schedule import WarmupCosine
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.proxy.trained import TrainedProxy
from delt_exp.scorer.ask_llm.check import KINDS, spoiled
from delt_exp.scorer.trained_judge.judge import Asking, Solved, TrainedYesNo
from delt_exp.scorer.trained_judge.scorer import TrainedJudgeScorer
from delt_exp.statistics.diagnostics import auc
from tests.helpers import make_pool, new_folder, tiny_recipe, words

pytestmark = pytest.mark.slow

CONTEXT = 128
CONFIG = {**tiny_recipe().network.config, "hidden_size": 32, "max_position_embeddings": CONTEXT}
RECIPE = tiny_recipe(
    network=replace(tiny_recipe().network, config=CONFIG), context_tokens=CONTEXT, batch_items=8,
    schedule=WarmupCosine(warmup_steps=2, warmup_ratio=None, min_ratio=0.1),
)  # fmt: skip
TEXTS = [f"{text} {text}" for text in words(60, seed=3)]


def contract_overrides(folder):
    return [
        "scorer.num_examples=4", "scorer.num_checked=2", "scorer.text_tokens=8", "scorer.question='fit?'",
        "scorer.recipe.batch_items=4",
    ]  # fmt: skip


def scorer_of(**changes):
    settings = {
        "proxy": TrainedProxy(RECIPE, "target", 8_000, 0), "recipe": RECIPE, "epochs": 20, "question": "fit?",
        "num_examples": 32, "examples_of": "target", "text_tokens": 48, "num_checked": 16, "seed": 0,
    }  # fmt: skip
    return TrainedJudgeScorer(**(settings | changes))


@pytest.fixture
def pool(tmp_path):
    draws = np.random.default_rng(1)
    copies = [spoiled(text, "boilerplate", draws) for text in words(12, seed=9)]
    return make_pool(tmp_path, [*words(12, seed=5), *copies], target_texts=TEXTS)


def test_a_question_is_read_token_for_token_as_it_was_learnt(pool, tmp_path):
    """The tokens of training up to the answer, and the first of the answer."""
    asking, tokenizer = Asking("fit?", 5), pool.resources.run_tokenizer
    folder = new_folder(tmp_path)
    write_corpus(
        Solved(
            tuple(
                (asking.prompt(text, tokenizer), answer) for text, answer in zip(TEXTS[:2], ("yes", "no"), strict=True)
            )
        ),
        WHOLE,
        folder,
    )
    learnt = tokens_stage(pool.resources.store, Corpus(folder), tokenizer).tokens
    begun, *firsts = asking.answers(tokenizer)
    assert tokenizer.decode([*begun, firsts[0]]) == " y"  # one byte is one token here
    for row, (ids, first) in enumerate(zip(asking.ids(TEXTS[:2], tokenizer), firsts, strict=True)):
        assert [*ids, first] == [tokenizer.begin_id, *learnt.document(row).tolist()][: len(ids) + 1]
        assert len(learnt.document(row)) - int(learnt.num_predicted[row]) + len(begun) + 1 == len(ids)


def test_only_the_beginning_of_a_text_is_asked_about_and_a_fence_in_it_cannot_end_it(pool):
    tokenizer = pool.resources.run_tokenizer
    prompt = Asking("fit?", 4).prompt("ab###cdefgh", tokenizer)
    assert prompt == "###\nabcd\n###\n\nfit?\n\nOPTIONS:\n- yes\n- no\n\nANSWER:"  # one byte is one token here


def test_probabilities_are_those_of_the_network_on_the_whole_question(pool, tmp_path):
    model = scorer_of().proxy.prepare(pool.resources, pool.candidates, pool.target)
    tokenizer, asking = pool.resources.run_tokenizer, Asking("fit?", 16)
    judge = TrainedYesNo(model.name, tokenizer.folder, asking, CONTEXT)
    texts = TEXTS[:5]
    found = judge.open("cpu")(TextBatch(texts, np.arange(5, dtype=np.uint64), np.arange(5)))
    network, both = load_causal_lm(model.name).eval(), asking.answers(tokenizer)[1:]
    with torch.no_grad():
        logits = [network(torch.tensor([ids])).logits[0, -1].double() for ids in asking.ids(texts, tokenizer)]
    expected = torch.stack([row.log_softmax(-1)[list(both)] for row in logits])
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=0, atol=1e-5)


def test_it_learns_what_it_is_shown_and_says_how_well_on_documents_that_it_has_not_read(pool):
    scorer = scorer_of()
    assert scorer.needs == {"tokens", "target"}
    learnt, checked = scorer._documents(pool)
    assert (len(learnt), len(checked)) == (32, 16)
    assert not set(learnt) & set(checked)
    assert auc(scorer.score(pool), np.arange(24) < 12) > 0.9
    check = pool.evidence.contents()["numbers"]["self_check"]
    kinds = [name for name in check["values"] if name.startswith("AUC, all 16 copies")]
    assert kinds
    assert len(check["values"]) == 1 + len(KINDS)
    phases = {cost.phase for cost in scorer.forecast(pool.sizes, pool.resources)}
    assert phases <= set(pool.evidence.contents()["phases"])


def test_a_killed_call_goes_on_with_the_judge_that_it_has(pool):
    first = scorer_of(num_checked=0).score(pool)
    models = [use.cached for use in pool.resources.store.uses if use.stage == "model"]
    again = scorer_of(num_checked=0).score(replace(pool, work_dir=new_folder(pool.work_dir)))
    assert [use.cached for use in pool.resources.store.uses if use.stage == "model"] == [*models, True, True]
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_examples": 61}, "num_examples=61, but the target has 60 documents .*; use scorer.num_examples=30"),
        ({"text_tokens": 500, "question": "x" * 120}, r"context_tokens=128, but a question takes up to \d+"),
    ],
)  # fmt: skip
def test_what_cannot_be_learnt_is_refused_with_a_number_that_works(pool, changes, message):
    with pytest.raises(ConfigError, match=message):
        scorer_of(**changes).score(pool)
