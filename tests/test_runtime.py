"""Seeding a step draws what seeding every device would."""

import torch

from delt_exp.runtime import seed_step


def test_a_seeded_step_draws_as_after_manual_seed() -> None:
    torch.manual_seed(2**63 + 5)
    expected = torch.rand(3)
    torch.rand(1)
    seed_step(2**63 + 5, torch.device("cpu"))
    assert torch.equal(torch.rand(3), expected)
