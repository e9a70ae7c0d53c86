"""What a sweep says of its best combination."""

import numpy as np

from delt_exp.statistics.families import compare
from delt_exp.statistics.paired import MetricArm
from delt_exp.study.comparison.combinations import against_next


def arm(name, *values):
    return MetricArm(name, (0, 1, 2), np.array(values), "lower", "nats/token")


def test_the_lowest_mean_over_other_seeds_is_not_called_better_where_common_seeds_say_worse():
    pair = compare(arm("lucky", 1.0, 1.1, 1.2), arm("steady", 0.5, 0.61, 0.69), 0.05)
    assert against_next(pair, "steady", "lucky").startswith("It is better than the next, lucky, by 0.5 nats/token [")
    said = against_next(pair, "lucky", "steady")
    assert said.startswith("It is worse than steady on the seeds that both have, by 0.5 nats/token [")
