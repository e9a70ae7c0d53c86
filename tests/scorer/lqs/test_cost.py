"""Forecasts counted by hand."""

from delt_exp.model.cost import ModelSize, total
from delt_exp.scorer.lqs.cost import Workload, forecast

SIZES = {"num_documents": 100, "num_target": 5, "train_batch_samples": 3, "gradient_samples": 4, "hvp_samples": 2}
SIZES |= {"sample_tokens": 8}
SIZE = ModelSize(parameters=10, activation_bytes_per_token=7, reading_bytes_per_token=5)


def test_passes_flops_and_bytes_of_a_run_with_replay() -> None:
    # T = 10: stride 3, segments at 0, 3, 6, 9; six of the ten updates are repeated. Scored at 8, 4, 0, and once more.
    costs = forecast(Workload(num_steps=10, interval=4, is_whole=False, needs_terminal_norms=True, **SIZES), SIZE)
    forward, _, _, hvp, documents = costs
    assert [cost.passes for cost in costs] == [30, 18, 50, 27, 400]
    assert forward.flops == 30 * 8 * 10 * 6
    assert total(costs).passes == 525
    assert total(costs).flops == (30 + 18 + 50 + 400) * 8 * 10 * 6 + 27 * 8 * 10 * 16
    # Seven states are kept at once; a number has four bytes; a micro-batch has 4 x 8 tokens.
    assert documents.peak_bytes == 7 * 40 + 2 * 40 + 4 * 8 * 7
    assert total(costs).peak_bytes == hvp.peak_bytes


def test_a_whole_trajectory_trades_replay_for_memory() -> None:
    work = Workload(num_steps=10, interval=1, is_whole=True, needs_terminal_norms=False, **SIZES)
    forward, replay, _, _, documents = forecast(work, SIZE)
    assert replay.passes == 0
    assert documents.passes == 1000
    assert forward.peak_bytes == 10 * 40 + 3 * 40 + 4 * 8 * 7
