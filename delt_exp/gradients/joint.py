"""One pass over the gradients of a batch for several collectors, such as products now and features for later."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from delt_exp.gradients.features import Sketches
from delt_exp.gradients.kernel import collect_gradients
from delt_exp.gradients.mapped import Transform
from delt_exp.gradients.projection import Projection
from delt_exp.gradients.reduction import BuiltCollector
from delt_exp.gradients.terms import Terms
from delt_exp.gradients.uses import FactoredUse, Use
from delt_exp.model.batch import Batch
from delt_exp.model.objective import Objective


class Joint:
    """Hands everything to each of several collectors. A weight that one of them cannot take, none takes by factors."""

    def __init__(self, *collectors: BuiltCollector) -> None:
        self.collectors = collectors

    def accepts(self, parameter_id: int, uses: Sequence[Use]) -> bool:
        return all(collector.accepts(parameter_id, uses) for collector in self.collectors)

    def add_use(self, parameter_id: int, use: FactoredUse, delta_BTO: Tensor) -> None:
        for collector in self.collectors:
            collector.add_use(parameter_id, use, delta_BTO)

    def add_vector(self, parameter_id: int, gradient_BP: Tensor) -> None:
        for collector in self.collectors:
            collector.add_vector(parameter_id, gradient_BP)

    def add_built(self, parameter_id: int, chunk: slice, gradient_cP: Tensor) -> None:
        for collector in self.collectors:
            collector.add_built(parameter_id, chunk, gradient_cP)

    def finish(self) -> None:
        for collector in self.collectors:
            collector.finish()


def terms_and_features(
    model: nn.Module,
    batch: Batch,
    objective: Objective,
    direction: Tensor,
    projection: Projection,
    autocast_dtype: torch.dtype | None = None,
    transform: Transform | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Products and norms of `per_sample_terms` and the features of `per_sample_features`, for one pass of the model."""

    def open_both(parameters: Mapping[str, nn.Parameter], losses_B: Tensor) -> Joint:
        return Joint(Terms(direction, parameters, losses_B), Sketches(projection, parameters, losses_B))

    joint = collect_gradients(model, batch, objective, open_both, autocast_dtype, transform)
    terms, sketches = joint.collectors
    assert isinstance(terms, Terms)
    assert isinstance(sketches, Sketches)
    return terms.dot, terms.norms(), sketches.total()
