"""Simulated studies with known effects, and arms and points made of plain lists."""

import numpy as np

from delt_exp.statistics.paired import LossArm
from delt_exp.statistics.points import Points


def loss_arm(sum_nats, num_tokens=None, *, name="arm", seeds=None, ids=None):
    sum_nats = np.atleast_2d(np.asarray(sum_nats, np.float64))
    num_seeds, num_documents = sum_nats.shape
    return LossArm(
        name,
        tuple(range(num_seeds)) if seeds is None else seeds,
        np.arange(num_documents, dtype=np.uint64) if ids is None else ids,
        sum_nats,
        np.ones(num_documents, np.int64) if num_tokens is None else np.asarray(num_tokens),
    )


def simulated_arms(random, effects, *, num_seeds=5, num_documents=100, arm_seed_sd, arm_document_sd, rest_sd):
    """Arms of these true effects [nats/token]; seeds and documents also shift all arms together."""
    num_tokens = np.round(np.exp(random.normal(5, 0.7, num_documents))) + 1
    shared = random.normal(0, 1, (num_seeds, 1)) + random.normal(3, 1, num_documents)
    arms = []
    for index, effect in enumerate(effects):
        loss = shared + effect + random.normal(0, arm_seed_sd, (num_seeds, 1))
        loss = loss + random.normal(0, arm_document_sd, num_documents)
        loss = loss + random.normal(0, rest_sd, (num_seeds, num_documents)) * np.sqrt(num_tokens.mean() / num_tokens)
        arms.append(loss_arm(loss * num_tokens, num_tokens, name=f"arm {index}"))
    return arms


def grid_points(x, y, **more):
    """Points of every training corpus (row) with every evaluation set (column); the same index is the same domain."""
    train, evaluation = np.indices(np.shape(x)).reshape(2, -1)
    more = {key: np.ravel(value) for key, value in more.items()}
    same = more.pop("same_domain", train == evaluation)
    labels = (np.char.add(prefix, index.astype(str)) for prefix, index in (("t", train), ("e", evaluation)))
    return Points(*labels, np.ravel(x).astype(float), np.ravel(y).astype(float), same, **more)


def simulated_points(random, slope, num_train=7, num_evaluation=7, *, set_sds=(0.05, 0.5)):
    """Alignments and losses that both have effects of the training corpus, the evaluation set and the pair.

    set_sds: standard deviations of the effect of an evaluation set on alignment and loss.
    """

    def crossed(train_sd, evaluation_sd, pair_sd):
        parts = ((num_train, 1), train_sd), ((1, num_evaluation), evaluation_sd), ((num_train, num_evaluation), pair_sd)
        return sum(random.normal(0, sd, shape) for shape, sd in parts)

    x = 0.5 + crossed(0.03, set_sds[0], 0.03)
    return grid_points(x, 15 + slope * x + crossed(0.3, set_sds[1], 0.3))
