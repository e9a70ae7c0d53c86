"""Values of all occurrences from one sweep back in time.

lambda_T = grad J(theta_T), one costate for each group of the target. For t = T-1 ... 0: the derivative d of J in the
gradient of update t follows from lambda_{t+1} through the optimizer (plain gradient descent: d = -eta_t lambda_{t+1}).
The value of an occurrence n, whose share of that gradient is w_n g_n(theta_t), is -<d, w_n g_n>, and lambda_t is what
the optimizer passes on of lambda_{t+1}, plus C_t d. C_t is the curvature of the update's loss sum_n w_n l_n. This is
the sweep of PDS without the losses of the target on the way: what counts is the end.
Shapes: N occurrences in an update, G groups of the target, T updates, P parameters.
"""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from delt_exp.distributed.ranks import Ranks
from delt_exp.errors import DivergedError
from delt_exp.files import digest
from delt_exp.scorer.dvemb.run import ValuedRun
from delt_exp.scorer.dvemb.settings import ValueSettings
from delt_exp.scorer.dvemb.steps import Costates
from delt_exp.scorer.dvemb.values import Values
from delt_exp.scorer.reverse.state import load_tensors, save_tensors
from delt_exp.scorer.reverse.sweep import Progress, Segments, sweep_back
from delt_exp.scorer.reverse.trajectory import OnStep, check_finite

# Gradient descent that does not diverge stays below 1 in every direction of positive curvature. A norm that grows by
# half in a step belongs to a run whose end reacts violently to its steps; first-order values then say nothing of it.
# With a momentum or a preconditioner a step says less of the whole, and only an explosion is refused.
MAX_GROWTH, MAX_GROWTH_WITH_BUFFERS = 1.5, 10.0


CARRIED = ("costate_GP", "buffers_KGP")  # from update to update


class States(Segments, Protocol):
    """The states of a run, and what its updates did with a gradient."""

    num_segments: int
    kind: str

    @property
    def num_buffers(self) -> int:
        """How many vectors of the size of theta the optimizer carries along."""
        ...

    def rate(self, step: int) -> float:
        """The learning rate of an update."""
        ...

    def fingerprint(self) -> str:
        """Identifies how the run follows its gradients: optimizer, learning rates and clipping."""
        ...

    def drop(self, step: int, norm: float) -> float:
        """What update `step`, of a gradient of this norm, takes off the loss of its batch to first order, or NaN."""
        ...

    def pull_back(self, step: int, norm: float, after: Costates) -> tuple[Tensor, Costates]:
        """Derivatives in the gradient of update `step`, whose norm is `norm`, and in theta and buffers before it."""
        ...

    def run_forward(self, num_steps: int, on_step: OnStep) -> None:
        """Leave the run at theta_`num_steps`, telling loss and norm of the gradient before each update."""
        ...

    def return_to(self, num_steps: int) -> None:
        """Have the states before theta_`num_steps` at hand after a restart."""
        ...


class ValueSweep:
    """One valuation of `run`, which stands at theta_0."""

    def __init__(
        self, run: ValuedRun, settings: ValueSettings, states: States, ranks: Ranks, state_dir: Path | None,
        progress: Progress,
    ) -> None:  # fmt: skip
        self._run, self._settings, self._states, self._progress = run, settings, states, progress
        self._state_dir, self._is_writer = state_dir, ranks.rank == 0
        parts = () if state_dir is None else (asdict(settings), run.fingerprint(), states.fingerprint())
        self._fingerprint = digest(*parts)
        sizes = [len(update.rows_N) for update in run.updates]
        self._first_T = torch.tensor([0, *sizes]).cumsum(0)

    def run(self) -> Values:
        """Forward, then back from the last segment, or from the last one that was not finished."""
        found = None if self._state_dir is None else load_tensors(self._state_dir, self._fingerprint)
        if found is None:
            state = self._start()
        else:
            # A copy: memory mapped from the file is aligned otherwise, and then sums are taken in another order.
            state = {name: tensor.clone() for name, tensor in found.items()}
            for name in CARRIED:
                state[name] = state[name].to(self._run.theta.device)
            self._states.return_to(int(state["segment"]) * self._states.stride)

        def on_segment(segment: int) -> None:
            state["segment"] = torch.tensor(segment)
            self._save(state)

        on_step, left = partial(self._step_back, state=state), int(state["segment"])
        sweep_back(self._run, self._states, left, on_step, on_segment, self._progress)
        return self._result(state)

    def _start(self) -> dict[str, Tensor]:
        """The forward run, and the gradients of the target at its end."""
        num_steps = self._run.num_steps
        state = {name: torch.zeros(num_steps, dtype=torch.float64) for name in ("train_loss_T", "gradient_norm_T")}

        def on_step(step: int, loss: float, norm: float) -> None:
            state["train_loss_T"][step], state["gradient_norm_T"][step] = loss, norm
            self._progress("forward", step + 1, num_steps)

        self._states.run_forward(num_steps, on_step)
        losses_G, costate_GP = self._run.target_gradients()
        norms_G = costate_GP.norm(dim=1).tolist()
        for loss, norm in zip(losses_G, norms_G, strict=True):
            check_finite("the target loss after the last update", loss, self._settings.cure)
            check_finite("the norm of the target gradient after the last update", norm, self._settings.cure)
        state |= {
            "segment": torch.tensor(self._states.num_segments),
            "costate_GP": costate_GP,
            "buffers_KGP": costate_GP.new_zeros(self._states.num_buffers, *costate_GP.shape),
            "target_loss_G": torch.tensor(losses_G, dtype=torch.float64),
            "value_NG": torch.zeros(int(self._first_T[-1]), len(losses_G), dtype=torch.float64),
        }
        for name in ("costate_norm_TG", "growth_TG", "curvature_TG"):
            state[name] = torch.zeros(num_steps, len(losses_G), dtype=torch.float64)
        self._save(state)
        return state

    def _step_back(self, step: int, state: dict[str, Tensor]) -> None:
        """From lambda_{step+1} to lambda_step, with the model at theta_step."""
        costate_GP, norm = state["costate_GP"], float(state["gradient_norm_T"][step])
        gradient_GP, before = self._states.pull_back(step, norm, Costates(costate_GP, state["buffers_KGP"]))
        dot_NG = self._run.dots(step, gradient_GP)
        state["value_NG"][self._first_T[step] : self._first_T[step + 1]] = -dot_NG
        norm_G = costate_GP.double().norm(dim=1).cpu()
        state["costate_norm_TG"][step] = norm_G
        if step == 0:  # nothing asks for lambda_0
            return
        product_GP = self._run.curvature(step, gradient_GP, dot_NG)
        state["costate_GP"], state["buffers_KGP"] = before.theta_GP + product_GP, before.buffers_KGP
        nonzero_G = norm_G.clamp(min=torch.finfo(torch.float64).tiny)
        state["growth_TG"][step] = state["costate_GP"].double().norm(dim=1).cpu() / nonzero_G
        state["curvature_TG"][step] = product_GP.double().norm(dim=1).cpu() / nonzero_G
        self._check_growth(step, state["growth_TG"][step].max().item())

    def _check_growth(self, step: int, growth: float) -> None:
        check_finite(f"the norm of the costate before update {step + 1}", growth, self._settings.cure)
        allowed = MAX_GROWTH_WITH_BUFFERS if self._states.num_buffers else MAX_GROWTH
        if growth > allowed:
            raise DivergedError(
                f"update {step + 1} of {self._run.num_steps} multiplies what came before it by {growth:.3g} or more; "
                f"allowed is {allowed:g}: its learning rate {self._states.rate(step):g} is too large for the curvature "
                f"there, and values would not be derivatives of anything; {self._settings.cure}"
            )

    def _save(self, state: dict[str, Tensor]) -> None:
        if self._state_dir is not None and self._is_writer:
            save_tensors(self._state_dir, {name: tensor.cpu() for name, tensor in state.items()}, self._fingerprint)

    def _result(self, state: dict[str, Tensor]) -> Values:
        kept = {name: tensor for name, tensor in state.items() if name not in ("segment", *CARRIED)}
        updates, norms = self._run.updates, state["gradient_norm_T"].tolist()
        drops = [self._states.drop(step, norm) for step, norm in enumerate(norms)]
        return Values(
            step_N=torch.repeat_interleave(torch.arange(len(updates)), self._first_T.diff()),
            row_N=torch.cat([torch.from_numpy(update.rows_N) for update in updates]),
            rate_T=torch.tensor([self._states.rate(t) for t in range(len(updates))], dtype=torch.float64),
            drop_T=torch.tensor(drops, dtype=torch.float64),
            trajectory=self._states.kind,
            **kept,
        )
