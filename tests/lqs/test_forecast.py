"""Forecasts counted by hand."""

from delt_exp.lqs.forecast import Workload, forecast

SIZES = {"n_proxies": 100, "n_target": 5, "train_batch_samples": 3, "gradient_samples": 4, "hvp_samples": 2}
SIZES |= {"sample_tokens": 8, "n_params": 10, "activation_bytes_per_token": 7}


def test_passes_flops_and_bytes_of_a_run_with_replay() -> None:
    # T = 10: stride 3, segments at 0, 3, 6, 9; six of the ten updates are repeated. Scored at 8, 4, 0, and once more.
    cost = forecast(Workload(n_steps=10, interval=4, is_whole=False, needs_terminal_norms=True, **SIZES))
    passes = {phase: cost[phase].passes for phase in cost}
    assert passes == {"forward": 30, "replay": 18, "target": 50, "hvp": 27, "proxies": 400, "total": 525}
    assert cost["forward"].flops == 30 * 8 * 10 * 6
    assert cost["total"].flops == (30 + 18 + 50 + 400) * 8 * 10 * 6 + 27 * 8 * 10 * 16
    # Seven states are kept at once; a number has four bytes; a micro-batch has 4 x 8 tokens.
    assert cost["proxies"].bytes == 7 * 40 + 2 * 40 + 4 * 8 * 7
    assert cost["total"].bytes == cost["hvp"].bytes


def test_a_whole_trajectory_trades_replay_for_memory() -> None:
    cost = forecast(Workload(n_steps=10, interval=1, is_whole=True, needs_terminal_norms=False, **SIZES))
    assert cost["replay"].passes == 0
    assert cost["proxies"].passes == 1000
    assert cost["forward"].bytes == 10 * 40 + 3 * 40 + 4 * 8 * 7
