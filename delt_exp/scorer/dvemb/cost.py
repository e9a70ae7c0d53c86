"""What a valuation will cost, before anything runs."""

from dataclasses import dataclass

from delt_exp.model.cost import FORWARD_BACKWARD, ModelSize, PhaseCost, Sizes, sketch_bytes
from delt_exp.model.optimizer import SGD
from delt_exp.model.recipe import Recipe
from delt_exp.scorer.dvemb.settings import Curvature, ValueSettings
from delt_exp.scorer.reverse.counts import StateCounts
from delt_exp.trainer.planning import PlanSettings

TANGENTS = 4  # per parameter and token: a forward pass with tangents
# Per group of the target. Hessian: forward 2, gradient along the activations 2, and their derivatives. Gauss-Newton:
# forward with tangents 4, backward 4. Fisher: a gradient with weights.
CURVATURE_COST: dict[Curvature, int] = {"hessian": 16, "gauss_newton": 8, "fisher": FORWARD_BACKWARD, "none": 0}


@dataclass(frozen=True)
class Workload:
    """The sizes that decide the cost. num_items: sequences in all updates. gradient_samples: per micro-batch.

    num_features: of kept embeddings, 0 for none. num_occurrences: of documents in all updates, from their mean length.
    """

    curvature: Curvature
    num_steps: int
    num_items: int
    num_target: int
    num_groups: int
    num_buffers: int
    gradient_samples: int
    context_tokens: int
    num_features: int
    num_occurrences: int


def workload(
    recipe: Recipe, training: PlanSettings, settings: ValueSettings, sizes: Sizes, target: tuple[int, int],
    num_features: int,
) -> Workload:  # fmt: skip
    """The work on packed documents of these sizes; target: its documents and groups."""
    epochs = training.epochs or 0
    num_tokens = training.max_tokens or int((sizes.lengths_N + 1).sum()) * epochs
    num_items = max(recipe.batch_items, -(-num_tokens // recipe.context_tokens))
    buffers = int(recipe.optimizer.momentum > 0) if isinstance(recipe.optimizer, SGD) else 2
    return Workload(
        settings.curvature, -(-num_items // recipe.batch_items), num_items, *target, buffers,
        settings.gradient_samples, recipe.context_tokens, num_features,
        max(num_items, round(num_tokens / float(sizes.lengths_N.mean() + 1))),
    )  # fmt: skip


def forecast(work: Workload, size: ModelSize, is_whole: bool) -> list[PhaseCost]:
    """Cost by phase: forward, replay, target, products, curvature and embeddings.

    Memory counts the parameters, the vectors of their size each phase holds, the trajectory and the activations.
    """
    counts = StateCounts(work.num_steps, is_whole)
    states, replayed = (1 + work.num_buffers) * counts.num_held, work.num_items * counts.num_replayed // work.num_steps
    groups, curvature = work.num_groups, CURVATURE_COST[work.curvature]
    costates = groups * (1 + work.num_buffers)

    def cost(phase: str, passes: int, operations: int, vectors: int) -> PhaseCost:
        flops = float(passes) * work.context_tokens * size.parameters * operations
        held = work.gradient_samples * work.context_tokens * size.activation_bytes_per_token
        return PhaseCost(phase, passes, flops, (states + vectors) * size.parameter_bytes + held)

    costs = [
        cost("values: forward", work.num_items, FORWARD_BACKWARD, 3),
        cost("values: replay", replayed, FORWARD_BACKWARD, 3 + costates),
        cost("values: target", work.num_target, FORWARD_BACKWARD, 2 + groups),
        cost("values: products", work.num_items * groups, TANGENTS, 1 + costates),
        # a quarter of the samples in a pass, whose second derivatives take four times the memory
        cost("values: curvature", work.num_items * groups if curvature else 0, curvature, 3 + 2 * costates),
    ]
    if work.num_features:  # the run once more with sketches, and two products with a matrix of K x K for each of them
        run, matrix_elements = cost("embeddings", work.num_items, 2 * FORWARD_BACKWARD, 3), work.num_features**2
        held = 4 * matrix_elements + sketch_bytes(work.gradient_samples, work.num_features)
        products = 4.0 * matrix_elements * work.num_occurrences
        costs.append(PhaseCost(run.phase, run.passes, run.flops + products, run.peak_bytes + held))
    return costs
