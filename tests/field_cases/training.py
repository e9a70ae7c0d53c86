"""Training runs that cannot succeed, and ways to train."""

from tests.field_cases.case import Case

DIVERGED = ("training diverged: at step 2 of", "lower model.optimizer.lr (1e+30)")


def kept_apart(record):
    assert record["order_verified"]
    assert record["config"]["training"]["layout"] == "packed_isolated"


CASES = [
    Case("11 a learning rate beyond all numbers", ("model.optimizer.lr=1e30",), fails=True, says=DIVERGED),
    Case(
        "11 the same without clipping", ("model.optimizer.lr=1e30", "model.clip_norm=null"), fails=True, says=DIVERGED
    ),
    Case("packed documents kept apart", ("training.layout=packed_isolated",), holds=kept_apart),
    Case(
        "packed documents kept apart in a network that cannot",
        (
            "training.layout=packed_isolated",
            "model.network.architecture=bloom",
            "~model.network.config.intermediate_size",
        ),
        fails=True,
        says=("bloom",),
    ),
]
