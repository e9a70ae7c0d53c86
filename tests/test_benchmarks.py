"""Benchmarks take the configuration of runs: what runs can read, they can."""

import pytest

from benchmarks.fixtures import config, train_job


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [[], ["training.layout=padded", "training.completion_only=true"]], ids=str)
def test_a_benchmark_trains_what_a_run_would(tmp_path, overrides):
    """20 steps of 8 sequences of 128 tokens are 20,480 tokens, however many a sequence of padded rows predicts."""
    cfg = config("model=tiny", "train_dataset.max_documents=300", "tokenizer=byte", *overrides)
    job = train_job(cfg, tmp_path, 20)
    assert 20_480 - 8 * 128 < job.plan.labels_per_step().sum() <= 20_480
