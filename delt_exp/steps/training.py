"""From kept documents to a trained model, whichever documents are kept."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.eval_dataset.base import Evaluation
from delt_exp.mixture.mixed import Mixed, mixed
from delt_exp.preference.reference import with_reference
from delt_exp.resources import Resources
from delt_exp.rows.candidates import Candidates
from delt_exp.steps.components import Components
from delt_exp.trainer.job import TrainedModel, TrainJob, plan_for
from delt_exp.trainer.stage import training_stage
from delt_exp.trainer.train import OnMetrics


@dataclass(frozen=True, eq=False)
class Training:
    """How the run trains documents: in its order and mixture, with its weights.

    seen: the candidates with their goodness. target: None unless somebody reads it.
    """

    parts: Components
    resources: Resources
    seen: Candidates
    target: TokenizedCorpus | None

    def sequence(self, documents: TokenizedCorpus, kept: NDArray[np.intp]) -> Mixed:
        """Return kept rows in the sequence in which they are trained."""
        order = kept[self.parts.orderer(self.seen.take(kept))]
        return mixed(self.parts.mixture, self.seen, documents.tokens, order, self.parts.training)

    def job(self, documents: TokenizedCorpus, sequence: Mixed) -> TrainJob:
        """Return the training run on a sequence of rows; a reference is still to be computed."""
        parts, target = self.parts, self.target
        plan = plan_for(parts.model, documents.tokens, sequence.rows_P, sequence.training)
        return TrainJob(
            parts.model, plan, self.resources.run_tokenizer, parts.trainer, parts.seed,
            weighter=parts.weighter,
            goodness=self.seen.goodness if parts.weighter.reads_scores else None,
            target=target.tokens if target is not None and parts.weighter.reads_target else None,
            averaging=parts.averaging,
        )  # fmt: skip

    def trained(self, job: TrainJob, on_metrics: OnMetrics | None = None) -> TrainedModel:
        """Return the model of a training run, with its reference where the objective has one."""
        return training_stage(self.resources.store, with_reference(job, self.resources), on_metrics)

    def evaluated(self, model: TrainedModel) -> dict[str, Evaluation]:
        """Return what every evaluation set says of a model, by its name."""
        return {
            name: dataset.evaluate(name, model, self.resources) for name, dataset in self.parts.eval_dataset.items()
        }
