"""Data Whisperer with a small model: against whole prompts, parts of a prompt, queries, resume, and what is refused."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from delt_exp.corpus.stages import tokenizer_stage
from delt_exp.dataset.base import Document, Part
from delt_exp.errors import ConfigError, DataError, DeltError, DependencyError
from delt_exp.model.cost import Sizes
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.proxy.pretrained import PretrainedProxy
from delt_exp.scorer.data_whisperer.judge import GroupBatch, WhisperJudge
from delt_exp.scorer.data_whisperer.pairs import Pair, pair_of
from delt_exp.scorer.data_whisperer.prompt import make_frame, make_prompt, shown
from delt_exp.scorer.data_whisperer.scorer import DataWhispererScorer
from delt_exp.tokenizer.hf import HfTokenizer
from tests.helpers import TRAINER, make_pool, make_resources, words
from tests.scorer.ask_llm.tiny import save_judge

TEXTS = [f"{text} {text[::-1]}" for text in words(13, seed=3)]
TARGET = [f"{text} and more" for text in words(7, seed=5)]
DEMONSTRATIONS = [(Part("prompt", f"ask {i}"), Part("text", f"say the {i}{i}")) for i in range(3)]
QUERIES = [(Part("prompt", f"what is {i}"), Part("text", f"it is {i} one")) for i in range(2)]


def contract_overrides(folder):
    judge = save_judge(folder / "judge")
    return ["judge=pretrained", f"judge.name={judge}", "scorer.context_tokens=24"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_judge(tmp_path_factory.mktemp("judge"))


@pytest.fixture(scope="module", params=["chat", "plain"])
def any_folder(request, folder, tmp_path_factory):
    return folder if request.param == "chat" else save_judge(tmp_path_factory.mktemp("plain"), template=None)


def scorer_of(folder, **changes):
    settings = {
        "judge": PretrainedProxy(str(folder), None, None, None), "queries": "target", "num_demonstrations": 3,
        "num_queries": 2, "passes": 2, "metric": "prob", "weighting": "attention", "layer": None,
        "joint_queries": False, "instruction": "Go on.", "split": True, "context_tokens": 24, "max_new_tokens": 8,
        "seed": 0,
    }  # fmt: skip
    return DataWhispererScorer(**(settings | changes))


def tokenizer_of(folder, tmp_path):
    pool = make_pool(tmp_path, ["any"])
    return tokenizer_stage(pool.resources.store, HfTokenizer(str(folder), None, None, "auto", "own"), None)


def judge_of(folder, tokenizer, **changes):
    settings = {
        "name": str(folder), "revision": None, "tokenizer_folder": tokenizer.folder, "instruction": "Go on.",
        "num_demonstrations": 3, "num_queries": 2, "metric": "neg_ce", "layer": 1, "joint_queries": False,
        "context_tokens": 64, "max_new_tokens": 9,
    }  # fmt: skip
    return WhisperJudge(**(settings | changes))


def numbers_of(judge, demonstrations=DEMONSTRATIONS, queries=QUERIES):
    numbers_1K = judge.open("cpu")(GroupBatch(list(demonstrations), list(queries), 0))
    attention_1QD, metrics_1Q = judge.unpacked(numbers_1K)
    return attention_1QD[0], metrics_1Q[0]


# The judge against a slow reference


@pytest.mark.parametrize("joint", [False, True])
def test_losses_and_attention_are_those_of_whole_prompts_and_unfused_maps(any_folder, tmp_path, joint):
    """The reference reads each prompt from its beginning, alone, without a cache, with an unfused network."""
    tokenizer = tokenizer_of(any_folder, tmp_path)
    attention_QD, metrics_Q = numbers_of(judge_of(any_folder, tokenizer, joint_queries=joint))
    config = AutoConfig.from_pretrained(any_folder)
    network = AutoModelForCausalLM.from_pretrained(any_folder, config=config, attn_implementation="eager")
    pairs, asked = ([pair_of(parts, tokenizer, 64) for parts in some] for some in (DEMONSTRATIONS, QUERIES))
    row = 0
    for queries in [asked] if joint else [[query] for query in asked]:
        prompt = make_prompt(tokenizer, make_frame(tokenizer), "Go on.", pairs, queries)
        with torch.no_grad():
            whole = network(input_ids=torch.tensor([prompt.ids]), output_attentions=True, use_cache=False)
        map_LL = whole.attentions[1][0].double().sum(0)
        expected = [
            float(
                map_LL[prompt.block, span].sum() / ((span.stop - span.start) * (prompt.block.stop - prompt.block.start))
            )
            for span in prompt.demonstrations
        ]
        for answer in prompt.answers:
            log_p_TV = whole.logits[0].double().log_softmax(-1)
            losses = [-float(log_p_TV[i - 1, prompt.ids[i]]) for i in range(answer.start, answer.stop)]
            np.testing.assert_allclose(metrics_Q[row], -np.mean(losses), atol=1e-5)
            np.testing.assert_allclose(attention_QD[row], expected, atol=1e-6)
            row += 1
    assert row == 2


def test_demonstrations_are_read_once_and_logits_are_those_of_answers(folder, tmp_path, monkeypatch):
    tokenizer, network, seen, heads = tokenizer_of(folder, tmp_path), load_causal_lm(folder), [], []
    monkeypatch.setattr("delt_exp.scorer.data_whisperer.judge.load_causal_lm", lambda *_: network)
    network.register_forward_pre_hook(lambda m, a, kw: seen.append(tuple(kw["input_ids"].shape)), with_kwargs=True)
    network.lm_head.register_forward_pre_hook(lambda m, a: heads.append(a[0].shape[1]))
    judge = judge_of(folder, tokenizer)
    numbers_of(judge)
    pairs, asked = ([pair_of(parts, tokenizer, 64) for parts in some] for some in (DEMONSTRATIONS, QUERIES))
    prompts = [make_prompt(tokenizer, make_frame(tokenizer), "Go on.", pairs, [query]) for query in asked]
    assert [rows for rows, _ in seen] == [1, 2]
    assert seen[0][1] >= prompts[0].demonstrations[-1].stop
    assert seen[0][1] + seen[1][1] == max(len(prompt.ids) for prompt in prompts)
    assert heads[0] == 1
    assert heads[1] <= sum(answer.stop - answer.start for prompt in prompts for answer in prompt.answers)


def test_queries_do_not_see_each_other(folder, tmp_path):
    judge = judge_of(folder, tokenizer_of(folder, tmp_path))
    both, metrics = numbers_of(judge)
    for i in range(2):
        alone, metric = numbers_of(judge, queries=QUERIES[i : i + 1])
        np.testing.assert_allclose(alone[0], both[i], atol=1e-6)
        np.testing.assert_allclose(metric[0], metrics[i], atol=1e-5)
        assert not alone[1].any()


def test_equal_questions_with_different_responses_keep_their_losses(folder, tmp_path):
    """What such prompts share goes on into the responses, whose logits are needed."""
    judge = judge_of(folder, tokenizer_of(folder, tmp_path))
    queries = [(Part("prompt", "what"), Part("text", f"the same beginning, {end}")) for end in ("one", "two")]
    _, both = numbers_of(judge, queries=queries)
    alone = [numbers_of(judge, queries=[query])[1][0] for query in queries]
    np.testing.assert_allclose(both, alone, atol=1e-5)


def test_prob_is_exp_of_the_negative_loss_and_a_judge_travels(folder, tmp_path):
    judge = judge_of(folder, tokenizer_of(folder, tmp_path))
    _, losses = numbers_of(judge)
    _, found = numbers_of(pickle.loads(pickle.dumps(replace(judge, metric="prob", layer=None))))
    np.testing.assert_allclose(found, np.exp(losses))


@pytest.mark.slow
@pytest.mark.parametrize("joint", [False, True])
def test_what_the_judge_writes_is_compared_with_the_response(folder, tmp_path, monkeypatch, joint):
    def write(network, tokenizer, prompts, **options):
        assert all(tokenizer.decode(ids).endswith("Output 1:" if joint else "assistant\n") for ids in prompts)
        return [" It is 0  ONE\nOutput 2: it was"] if joint else [" It is 0  ONE", "it was"]

    monkeypatch.setattr("delt_exp.model.generate.generate", write)
    judge = judge_of(folder, tokenizer_of(folder, tmp_path), metric="exact", joint_queries=joint)
    assert numbers_of(judge)[1].tolist() == [1, 0]
    _, rouge = numbers_of(replace(judge, metric="rouge_l"))
    assert rouge.tolist() == pytest.approx([1, 2 * (1 / 2 * 1 / 4) / (1 / 2 + 1 / 4)])


def problem(number):
    """Return a worked problem whose response has far more than half of 24 tokens, its answer at the end."""
    steps = " ".join(f"Then {i} and {number} make {i + number}." for i in range(20))
    return Document(turns=(Part("user", f"What is {number} and one, {'please ' * 20}?"),
                           Part("assistant", f"{steps}\n#### {number + 1}")))  # fmt: skip


PROBLEMS, ASKED = [problem(i) for i in range(7)], [problem(10 + i) for i in range(3)]


def write_responses(folder, tmp_path, monkeypatch, responses):
    """Let a network go on after each prompt with the response of the question in it, up to its limit of tokens."""
    network, tokenizer = load_causal_lm(folder), tokenizer_of(folder, tmp_path)

    def go_on(inputs, attention_mask, max_new_tokens, **_):
        rows = []
        for ids, mask in zip(inputs.tolist(), attention_mask.tolist(), strict=True):
            prompt = tokenizer.decode([token for token, seen in zip(ids, mask, strict=True) if seen])
            (found,) = (text for question, text in responses.items() if prompt.split("Input:")[-1].startswith(question))
            row = [*tokenizer.encode([found])[0], tokenizer.eos_id][:max_new_tokens]
            rows.append([*ids, *row, *[tokenizer.eos_id] * (max_new_tokens - len(row))])
        return torch.tensor(rows)

    monkeypatch.setattr(network, "generate", go_on)
    monkeypatch.setattr("delt_exp.scorer.data_whisperer.judge.load_causal_lm", lambda *_: network)
    return tokenizer


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["exact", "rouge_l"])
@pytest.mark.parametrize("weighting", ["attention", "uniform"])
def test_long_worked_problems_that_are_answered_right_score_1(folder, tmp_path, monkeypatch, metric, weighting):
    """The metric is 1 for all queries, so the mean over the three members of a group is 1; uniform, each member's."""
    responses = {f" {one.turns[0].text}": one.turns[1].text for one in ASKED}
    tokenizer = write_responses(folder, tmp_path, monkeypatch, responses)
    assert min(len(ids) for ids in tokenizer.encode(list(responses.values()))) > 64
    scorer = scorer_of(folder, metric=metric, weighting=weighting, passes=1, max_new_tokens=1000)
    pool = make_pool(tmp_path, PROBLEMS[:6], ASKED)
    scores = scorer.score(pool)
    members_GD = scorer._groups(pool).members_GD
    np.testing.assert_allclose(scores[members_GD].mean(1), 1, rtol=1e-6)
    assert (np.ptp(scores) > 0.01) == (weighting == "attention")
    assert pool.evidence.contents()["numbers"]["prompts"]["values"]["mean metric"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["exact", "rouge_l"])
def test_answers_that_are_all_wrong_are_warned_of(folder, tmp_path, monkeypatch, metric):
    write_responses(folder, tmp_path, monkeypatch, {f" {one.turns[0].text}": "..." for one in ASKED})
    pool = make_pool(tmp_path, PROBLEMS, ASKED)
    assert not scorer_of(folder, metric=metric, max_new_tokens=1000).score(pool).any()
    warned = pool.evidence.contents()["warnings"]
    assert [
        f"no answer of the judge agrees with its response under scorer.metric={metric}" in one for one in warned
    ].count(True) == 1


def test_a_judge_stops_where_it_asks_the_next_question_itself(folder, tmp_path, monkeypatch):
    """The right number stands before the question that the judge makes up, a wrong one after it."""
    made_up = {f" {one.turns[0].text}": f"it is {i + 11}\n\nInput: more\nOutput: 99" for i, one in enumerate(ASKED)}
    write_responses(folder, tmp_path, monkeypatch, made_up)
    scores = scorer_of(folder, metric="exact", weighting="uniform", max_new_tokens=1000).score(
        make_pool(tmp_path, PROBLEMS, ASKED)
    )
    assert scores.tolist() == [1.0] * 7


@pytest.mark.slow
def test_cut_pairs_are_counted_and_the_length_that_is_named_fits_most(folder, tmp_path):
    """Three of the thirteen demonstrations are longer than 12 tokens a side, and one more of the ten queries."""
    short = [Document(turns=(Part("user", f"ask {i}"), Part("assistant", "yes"))) for i in range(10)]
    pool = make_pool(tmp_path, [*short, *PROBLEMS[:3]], [*short[:9], ASKED[0]])
    scorer_of(folder, passes=3, num_queries=9).score(pool)
    found = pool.evidence.contents()
    assert found["numbers"]["cut_demonstrations"]["values"] == {"share of demonstrations cut": pytest.approx(3 / 13)}
    assert found["numbers"]["cut_queries"]["values"] == {"share of queries cut": pytest.approx(1 / 10)}
    (warning,) = [one for one in found["warnings"] if "are cut" in one]
    assert warning.startswith("23% of the demonstrations are cut")
    fits = int(warning.split("use scorer.context_tokens=")[1].split(",")[0])
    again = make_pool(tmp_path, [*short, *PROBLEMS[:3]], [*short[:9], ASKED[0]])
    scorer_of(folder, passes=3, context_tokens=fits).score(again)
    assert not [one for one in again.evidence.contents()["warnings"] if "are cut" in one]


@pytest.mark.slow
def test_responses_that_are_longer_than_what_is_written_are_warned_of_and_refused_where_none_could_be_right(
    folder, tmp_path, monkeypatch
):
    write_responses(folder, tmp_path, monkeypatch, {f" {one.turns[0].text}": one.turns[1].text for one in ASKED})
    pool = make_pool(tmp_path, PROBLEMS, ASKED)
    scorer_of(folder, metric="exact", max_new_tokens=20).score(pool)
    found = pool.evidence.contents()
    assert found["numbers"]["written"]["values"] == {"share of responses with more tokens than are written": 1}
    assert any(
        "100% of the responses of queries have more than scorer.max_new_tokens=20" in w for w in found["warnings"]
    )
    plain = [Document(turns=(Part("user", "say"), Part("assistant", f"{i} " + "the text " * 30))) for i in range(3)]
    with pytest.raises(
        ConfigError, match=r"has \d+ tokens at least, and scorer\.max_new_tokens=20 are written: none could"
    ):
        scorer_of(folder, metric="exact", max_new_tokens=20).score(make_pool(tmp_path, PROBLEMS, plain))


@pytest.mark.slow
@pytest.mark.parametrize("joint", [False, True])
def test_of_a_query_that_is_answered_in_writing_only_the_question_has_to_fit(tmp_path, monkeypatch, joint):
    """Both responses are longer than the model; what is written besides a prompt, and what is read, is not."""
    asked = [Document(turns=(Part("user", one), Part("assistant", "the text " * 90 + "#### 1"))) for one in ("a", "b")]
    texts = [Document(turns=(Part("user", f"ask {i}"), Part("assistant", "yes"))) for i in range(3)]
    small, lengths = save_judge(tmp_path / "small", positions=230), []

    def write(network, tokenizer, prompts, max_new_tokens, **_):
        lengths.extend(len(ids) + max_new_tokens for ids in prompts)
        return ["#### 1"] * len(prompts)

    monkeypatch.setattr("delt_exp.model.generate.generate", write)
    settings = {"joint_queries": joint, "passes": 3, "context_tokens": 400, "max_new_tokens": 10}
    scorer_of(small, metric="exact", **settings).score(make_pool(tmp_path, texts, asked))
    assert 0 < max(lengths) <= 230
    with pytest.raises(ConfigError, match=r"has 230 positions; .* a smaller scorer\.max_new_tokens"):
        scorer_of(small, metric="exact", **(settings | {"max_new_tokens": 200})).score(
            make_pool(tmp_path, texts, asked)
        )
    with pytest.raises(ConfigError, match=r"has 230 positions; .* a smaller scorer\.context_tokens"):
        scorer_of(small, metric="prob", **settings).score(make_pool(tmp_path, texts, asked))


# The prompt


def test_parts_of_a_prompt_are_found_by_offsets_of_one_tokenisation(any_folder, tmp_path):
    tokenizer = tokenizer_of(any_folder, tmp_path)
    pairs, query = [Pair("ask", "the one"), Pair("", "no yes")], Pair("why", "yes no")
    prompt = make_prompt(tokenizer, make_frame(tokenizer), "Go on.", pairs, [query])
    whole = tokenizer.decode(prompt.ids)
    texts = [tokenizer.decode(prompt.ids[span]) for span in prompt.demonstrations]
    for text, pair in zip(texts, pairs, strict=True):
        assert text.strip() == shown(pair).strip()
    block, answer = (tokenizer.decode(prompt.ids[span]) for span in (prompt.block, prompt.answers[0]))
    assert block.startswith("Input: why")
    assert answer.strip() == "yes no"
    assert whole.index("Go on.") < whole.index("Input: ask")
    assert prompt.demonstrations[0].start > 0
    assert prompt.demonstrations[0].stop == prompt.demonstrations[1].start
    assert prompt.demonstrations[1].stop == prompt.block.start
    assert prompt.block.stop == prompt.answers[0].start
    assert prompt.ids[0] == tokenizer.begin_id


def test_special_tokens_in_a_document_stay_text(folder, tmp_path):
    tokenizer = tokenizer_of(folder, tmp_path)
    counts = [
        make_prompt(tokenizer, make_frame(tokenizer), "", [Pair("a", end)], [Pair("b", "c")]).ids.count(
            tokenizer.begin_id
        )
        for end in ("x", "x<|endoftext|>")
    ]
    assert counts[0] == counts[1]


def test_pairs_of_all_kinds_of_documents(folder, tmp_path):
    tokenizer = tokenizer_of(folder, tmp_path)
    conversation = (Part("user", "one"), Part("assistant", "two"), Part("user", "three"), Part("assistant", "four"))
    assert pair_of(conversation, tokenizer, 64) == Pair("one\n\ntwo\n\nthree", "four")
    assert pair_of((Part("prompt", " one "), Part("text", " two ")), tokenizer, 64) == Pair("one", "two")
    assert pair_of((Part("text", "one two"),), tokenizer, 64) == Pair("one", "two")
    assert pair_of((Part("user", "one"),), tokenizer, 64) == Pair("one", "")
    long = pair_of((Part("prompt", "one " * 50), Part("text", "two " * 50)), tokenizer, 20)
    assert all(0 < len(ids) <= 10 for ids in tokenizer.encode(list(long)))


# Scores


def test_scores_follow_the_definition(folder, tmp_path):
    """One group of all candidates: score = size x mean over queries of share x metric."""
    pool = make_pool(tmp_path, TEXTS[:3], TARGET)
    scorer = scorer_of(folder, passes=1)
    scores = scorer.score(pool)
    groups = scorer._groups(pool)
    corpus, target = pool.candidates.corpus, pool.target.corpus
    judge = judge_of(folder, tokenizer_of(folder, tmp_path), metric="prob", context_tokens=24)
    members = groups.members_GD[0]
    attention_QD, metrics_Q = numbers_of(judge, corpus.read(members), target.read(groups.queries_GQ[0]))
    shares_QD = attention_QD / attention_QD.sum(1, keepdims=True)
    np.testing.assert_allclose(scores[members], 3 * (shares_QD * metrics_Q[:, None]).mean(0), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"queries": "corpus"},
        {"weighting": "position"},
        {"weighting": "uniform", "metric": "neg_ce"},
        {"joint_queries": True},
    ],
)
def test_other_settings_make_finite_scores_that_differ(folder, tmp_path, changes):
    default = scorer_of(folder).score(make_pool(tmp_path, TEXTS, TARGET))
    scores = scorer_of(folder, **changes).score(make_pool(tmp_path, TEXTS, TARGET))
    assert np.isfinite(scores).all()
    assert not np.allclose(scores, default)


@pytest.mark.slow
@pytest.mark.parametrize("weighting", ["attention", "position"])
def test_the_score_of_some_documents_is_that_among_all(folder, tmp_path, weighting):
    pool, scorer = make_pool(tmp_path, TEXTS, TARGET), scorer_of(folder, weighting=weighting)
    some = replace(make_pool(tmp_path, TEXTS, TARGET), chosen=np.array([7, 2]))
    np.testing.assert_array_equal(scorer.score(some), scorer.score(pool)[[7, 2]])


def test_a_copy_of_the_target_is_never_asked_about_itself(folder, tmp_path):
    pool = make_pool(tmp_path, TARGET, TARGET)
    scorer = scorer_of(folder)
    groups = scorer._groups(pool)
    for members, queries in zip(groups.members_GD, groups.queries_GQ, strict=True):
        assert not set(members) & set(queries) - {-1}
    assert np.isfinite(scorer.score(pool)).all()


def test_evidence_shows_weights_by_position_and_metrics(folder, tmp_path):
    pool = make_pool(tmp_path, TEXTS, TARGET)
    scorer_of(folder).score(pool)
    found = pool.evidence.contents()
    assert set(found["phases"]) == {"warm start", "prompting"}
    table = pool.evidence.read_table("weight_by_position").to_pydict()
    assert table["position"] == [1, 2, 3]
    assert sum(table["mean_weight"]) == pytest.approx(1)
    numbers = found["numbers"]["prompts"]["values"]
    assert numbers["groups"] == 2 * 5
    assert numbers["queries asked"] == 2 * 5 * 2
    assert 0 < numbers["mean metric"] < 1


@pytest.mark.slow
def test_a_killed_call_continues_group_by_group(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("delt_exp.mapping.shards.SHARD_SIZE", 64)
    scorer, whole, pool = scorer_of(folder), make_pool(tmp_path, TEXTS, TARGET), make_pool(tmp_path, TEXTS, TARGET)
    opened, calls = WhisperJudge.open, []

    def dying(judge, device):
        judgement = opened(judge, device)

        def counted(batch):
            calls.append(batch.item)
            if len(calls) == 5:
                raise KeyboardInterrupt
            return judgement(batch)

        return counted

    expected = scorer.score(whole)
    monkeypatch.setattr(WhisperJudge, "open", dying)
    with pytest.raises(KeyboardInterrupt):
        scorer.score(pool)
    np.testing.assert_array_equal(scorer.score(pool), expected)
    assert len(calls) < 2 * 10


@pytest.mark.slow
def test_real_processes_make_the_same_bits(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("delt_exp.mapping.shards.SHARD_SIZE", 64)
    pool = make_pool(tmp_path, TEXTS, TARGET)
    resources = replace(pool.resources, trainer=replace(TRAINER, devices=2, strategy="ddp"))
    spread = scorer_of(folder).score(replace(pool, resources=resources))
    np.testing.assert_array_equal(spread, scorer_of(folder).score(make_pool(tmp_path, TEXTS, TARGET)))


# Costs, and what is refused


def test_the_forecast_counts_documents_instruction_and_queries(folder, tmp_path):
    scorer = scorer_of(folder, instruction="x" * 40)
    resources = make_resources(make_pool(tmp_path, ["any"]).resources.store, None)
    (cost,) = scorer.forecast(Sizes(np.array([4, 8, 100, 24]), 0, 0, None), resources)
    parameters = sum(p.numel() for p in load_causal_lm(folder).parameters())
    read, groups, mean = 4 + 8 + 24 + 24, 2 * 2, 15
    assert (cost.phase, cost.passes) == ("prompting", groups * 2)
    tokens = 2 * read + groups * 10 + groups * 2 * mean
    assert cost.flops == 2 * parameters * tokens
    (cost,) = replace(scorer, metric="exact").forecast(Sizes(np.array([4, 8, 100, 24]), 0, 0, None), resources)
    again = 2 * 2 * read + groups * 2 * mean  # each query has the demonstrations in front of it again
    assert cost.flops == 2 * parameters * (tokens + again + groups * 2 * 8)


def test_an_empty_response_is_named(folder, tmp_path):
    texts = [*TEXTS, Document(turns=(Part("assistant", "hello"), Part("assistant", " ")))]
    with pytest.raises(DataError, match=r"document 13 \(id [0-9a-f]{16}\) has an empty response; leave it out"):
        scorer_of(folder).score(make_pool(tmp_path, texts, TARGET))


def test_plain_documents_are_refused_where_they_are_not_to_be_cut(folder, tmp_path):
    with pytest.raises(
        ConfigError, match=r"document 0 .* has no prompt, and scorer\.split=false; use scorer\.split=true"
    ):
        scorer_of(folder, split=False).score(make_pool(tmp_path, TEXTS, TARGET))


def test_too_few_documents_and_queries_are_refused(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"1 document is too few"):
        scorer_of(folder).score(make_pool(tmp_path, TEXTS[:1], TARGET))
    with pytest.raises(ConfigError, match=r"num_queries=2, but the target set has 1; use scorer\.num_queries=1"):
        scorer_of(folder).score(make_pool(tmp_path, TEXTS, TARGET[:1]))
    with pytest.raises(ConfigError, match=r"num_queries=2, but the half of the documents has 1"):
        scorer_of(folder, queries="corpus").score(make_pool(tmp_path, TEXTS[:3]))
    with pytest.raises(ConfigError, match=r"queries=target needs a target_dataset"):
        scorer_of(folder).score(make_pool(tmp_path, TEXTS))


@pytest.mark.slow
def test_a_prompt_that_does_not_fit_is_refused_with_what_does(tmp_path):
    small = save_judge(tmp_path / "small", positions=192)
    with pytest.raises(
        ConfigError, match=r"a prompt has up to \d+ tokens, .* 192 positions; use scorer\.num_demo.*=(\d)"
    ) as refused:
        scorer_of(small, num_demonstrations=13).score(make_pool(tmp_path, TEXTS, TARGET))
    fits = int(str(refused.value).split("num_demonstrations=")[1][0])
    assert np.isfinite(scorer_of(small, num_demonstrations=fits).score(make_pool(tmp_path, TEXTS, TARGET))).all()


def test_a_loss_that_is_not_finite_names_the_documents(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("delt_exp.scorer.data_whisperer.judge._loss", lambda *_: float("nan"))
    with pytest.raises(
        DeltError, match=r"demonstrations document \d+ \(id [0-9a-f]{16}\).* before queries .*the loss is"
    ):
        scorer_of(folder).score(make_pool(tmp_path, TEXTS, TARGET))


def test_negative_metrics_need_equal_weights(folder):
    with pytest.raises(
        ConfigError, match=r"metric=neg_ce is negative.*use scorer\.metric=prob, or scorer\.weighting=uniform"
    ):
        scorer_of(folder, metric="neg_ce")
    assert scorer_of(folder, metric="neg_ce", weighting="uniform").meaning.unit == "nats/token"
    assert scorer_of(folder, metric="exact").meaning.name == "data whisperer"


def test_a_missing_package_is_named_before_anything_is_read(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("delt_exp.scorer.data_whisperer.metrics.find_spec", lambda _: None)
    with pytest.raises(DependencyError, match=r"rouge_l needs rouge_score; install it with: pip install"):
        scorer_of(folder, metric="rouge_l").score(make_pool(tmp_path, TEXTS, TARGET))


@pytest.mark.parametrize(
    ("passes", "weighting", "warns"), [(2, "attention", True), (3, "attention", False), (2, "position", False)]
)
def test_unequal_positions_are_warned_of(folder, tmp_path, passes, weighting, warns):
    pool = make_pool(tmp_path, TEXTS, TARGET)
    scorer_of(folder, passes=passes, weighting=weighting).score(pool)
    found = pool.evidence.contents()["warnings"]
    assert ["use scorer.passes=3" in warning for warning in found] == [True] * warns
