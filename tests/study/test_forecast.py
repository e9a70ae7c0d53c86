"""What is said before a sweep starts: stages to compute, stages found, GPU-hours."""

import sys
from pathlib import Path

import pytest

from delt_exp.cli.main import main
from delt_exp.config.build import CONF, build
from delt_exp.config.compose import composed
from delt_exp.errors import ConfigError
from delt_exp.study.forecast import Nominal, gpu_hours, outlook
from tests.runs import FAST, write_texts

SIZES = {"corpus_documents": 100, "document_tokens": 50, "target_documents": 4, "vocab_size": 300, "gpu_tflops": 1e-6}


def configured(*overrides):
    return composed(CONF, overrides)


@pytest.mark.slow
def test_equal_settings_are_one_stage_whatever_comes_after_them():
    arms = [configured(f"scorer={scorer}", f"orderer={orderer}", f"seed={seed}")
            for scorer in ("length", "random") for orderer in ("folding", "shuffle") for seed in (0, 1)]  # fmt: skip
    needs = outlook(arms, Path("nowhere"))
    # length has no seed and is scored once, random once a seed; every arm is a training of its own
    assert {kind: (len(need.missing), need.cached) for kind, need in needs.items()} == {
        "scores": (3, 0),
        "model": (8, 0),
    }


@pytest.mark.slow
def test_what_leaves_candidates_out_makes_other_stages():
    def num_scored(*arms):
        return len(outlook([configured("scorer=length", *arm) for arm in arms], Path("nowhere"))["scores"].missing)

    other_sets = [["eval_dataset=none"], []]
    assert num_scored(*other_sets) == 1
    assert num_scored(*[["decontaminate=true", *arm] for arm in other_sets]) == 2
    assert num_scored([], ["drop_near_duplicates=true"], ["decontaminate=true"]) == 3


@pytest.mark.slow
def test_what_a_finished_run_left_counts_as_cached_until_it_is_freed(tmp_path, monkeypatch, capsys):
    write_texts(tmp_path)
    fast = [text for text in FAST if not text.startswith("scorer")]
    monkeypatch.setattr(sys, "argv", ["run.py", "scorer=length", *fast])
    main()
    runs = Path("outputs/runs")
    arms = [configured("scorer=length", *fast, f"orderer={orderer}") for orderer in ("folding", "sorting")]
    needs = outlook(arms, runs)
    assert [(len(need.missing), need.cached) for need in needs.values()] == [(0, 1), (1, 1)]
    (runs / "of_another_version").mkdir()
    (runs / "of_another_version" / "record.json").write_text('{"config": {"trainer": {"precision": "auto"}}}')
    for entry in Path("outputs/store/model").iterdir():
        entry.rename(tmp_path / entry.name)
    assert [(len(need.missing), need.cached) for need in outlook(arms, runs).values()] == [(0, 1), (2, 0)]


def test_gpu_hours_are_six_operations_a_parameter_and_token():
    nominal = Nominal(**SIZES)
    arms = [configured("scorer=length", "training.epochs=null", f"training.max_tokens={n}") for n in (1000, 3000)]
    hours = gpu_hours(outlook(arms, Path("nowhere")), nominal)
    config = arms[0].model.network.config
    d, inner, layers, kv = config.hidden_size, config.intermediate_size, config.num_hidden_layers, d_kv(config)
    block = 2 * d * d + 2 * d * kv + 3 * d * inner + 2 * d  # attention, gated MLP, two norms
    parameters = SIZES["vocab_size"] * d * (1 if config.tie_word_embeddings else 2) + layers * block + d
    assert hours["scores"] == 0  # lengths cost nothing
    assert hours["model"] == pytest.approx(6 * parameters * 4000 / (1e6 * 3600))


def d_kv(config):
    return (
        config.hidden_size // config.num_attention_heads * config.get("num_key_value_heads", config.num_attention_heads)
    )


def test_scores_of_a_study_are_charged_once_a_distinct_scorer():
    arms = [configured("scorer=gradnorm", f"orderer={orderer}") for orderer in ("folding", "sorting")]
    one, both = (gpu_hours(outlook(some, Path("nowhere")), Nominal(**SIZES)) for some in (arms[:1], arms))
    assert both["scores"] == one["scores"] > 0
    assert both["model"] == pytest.approx(2 * one["model"])


def test_an_epoch_is_counted_with_what_the_selector_keeps():
    def hours(ratio):
        arm = configured("scorer=length", "training.epochs=2", f"selector.ratio={ratio}")
        return gpu_hours(outlook([arm], Path("nowhere")), Nominal(**SIZES))["model"]

    assert hours(0.25) == pytest.approx(hours(1.0) / 4)


def test_sizes_without_sense_are_refused():
    with pytest.raises(ConfigError, match="gpu_tflops"):
        Nominal(**{**SIZES, "gpu_tflops": 0})


@pytest.mark.slow
def test_a_dry_run_of_a_study_tells_its_outlook_and_computes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [
        "run.py", "study=delt_ablation", "scale=paper", "dry_run=true", "study.seeds=[0]",
        "study.slices.selection.scorer=[length]", "study.slices.grid.scorer=[perplexity]",
    ])  # fmt: skip
    main()
    shown = capsys.readouterr().err
    # random, length and perplexity; shuffled at three budgets, the perplexity in five orders, two placebos folded, and
    # the shorter half to nine tenths of the documents in two orders
    assert "delt_ablation-paper: 16 runs (16 arms), 0 finished before" in shown
    assert "3 scoring runs to compute, 0 cached; 16 training runs to compute, 0 cached" in shown
    assert "GPU-hours (scoring runs" in shown
    assert not Path("outputs/runs").exists()
    assert not Path("outputs/store").exists()


def test_the_paper_scale_says_for_which_gpu_it_forecasts():
    study = build(configured("study=delt_ablation/paper").study, "study")
    assert study.forecast.corpus_documents * study.forecast.document_tokens == pytest.approx(1e9, rel=0.05)
