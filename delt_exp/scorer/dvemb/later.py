"""Values for a target of later, estimated from stored embeddings.

Shapes: N occurrences, G groups of the target, P parameters, K features.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from delt_exp.distributed.ranks import SingleProcess
from delt_exp.errors import ConfigError
from delt_exp.gradients.flat import trainable_parameters
from delt_exp.gradients.projection import Projection
from delt_exp.gradients.sketch import sketched
from delt_exp.scorer.dvemb.capture import StoredEmbeddings
from delt_exp.scorer.dvemb.job import ValueJob
from delt_exp.scorer.dvemb.settings import STAGE
from delt_exp.store.store import Store


def estimated(
    store: Store, inputs: Mapping[str, Any], job: ValueJob, projection: Projection
) -> tuple[Tensor, NDArray[np.intp]]:
    """Return values [N, G] for the target of `job`, and the corpus row of each occurrence.

    Raises ConfigError where no embeddings of this run are stored.
    """
    use = store.find(STAGE, inputs)
    if use is None:
        raise ConfigError(
            "no embeddings are stored for a run with these settings; run it once with scorer.save_embeddings=true, "
            "or, where those of such a run were removed, add --again to make them again. "
            "`python -m delt_exp.features list` shows what there is"
        )
    stored, network = StoredEmbeddings(use.path), job.network()
    run = job.run(network, SingleProcess())
    run.theta = stored.final_parameters().to(run.device)
    _, gradient_GP = run.target_gradients()
    parameters = trainable_parameters(network)
    target_GK = sketched(gradient_GP, projection, parameters).cpu()
    return stored.values(target_GK, projection.describe(parameters), run.num_steps)
