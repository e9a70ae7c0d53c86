"""Values of all occurrences from one sweep back in time.

lambda_T = grad J(theta_T), one costate for each group of the target. For t = T-1 ... 0: the value of an occurrence n in
update t is eta_t w_n <lambda_{t+1}, g_n(theta_t)>, and lambda_t = lambda_{t+1} - eta_t C_t lambda_{t+1}. C_t is the
curvature of the update's loss sum_n w_n l_n. This is the sweep of PDS without the losses of the target on the way: what
counts is the end.
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
from delt_exp.scorer.dvemb.values import Values
from delt_exp.scorer.reverse.state import load_tensors, save_tensors
from delt_exp.scorer.reverse.sweep import Progress, Segments, sweep_back
from delt_exp.scorer.reverse.trajectory import OnStep, check_finite

# Gradient descent that does not diverge stays below 1 in every direction of positive curvature. A norm that grows by
# half in a step belongs to a run whose end reacts violently to its steps; first-order values then say nothing of it.
MAX_GROWTH = 1.5


class States(Segments, Protocol):
    """The states of a run, and what its updates did with a gradient."""

    num_segments: int
    kind: str

    def rate(self, step: int) -> float:
        """The factor eta_t of an update."""
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
        self._fingerprint = "" if state_dir is None else digest(asdict(settings), run.fingerprint())
        sizes = [len(update.weights_N) for update in run.updates]
        self._first_T = torch.tensor([0, *sizes]).cumsum(0)

    def run(self) -> Values:
        """Forward, then back from the last segment, or from the last one that was not finished."""
        found = None if self._state_dir is None else load_tensors(self._state_dir, self._fingerprint)
        if found is None:
            state = self._start()
        else:
            # A copy: memory mapped from the file is aligned otherwise, and then sums are taken in another order.
            state = {name: tensor.clone() for name, tensor in found.items()}
            state["costate_GP"] = state["costate_GP"].to(self._run.theta.device)
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
            "target_loss_G": torch.tensor(losses_G, dtype=torch.float64),
            "value_NG": torch.zeros(int(self._first_T[-1]), len(losses_G), dtype=torch.float64),
        }
        for name in ("costate_norm_TG", "growth_TG", "curvature_TG"):
            state[name] = torch.zeros(num_steps, len(losses_G), dtype=torch.float64)
        self._save(state)
        return state

    def _step_back(self, step: int, state: dict[str, Tensor]) -> None:
        """From lambda_{step+1} to lambda_step, with the model at theta_step."""
        costate_GP, rate = state["costate_GP"], self._states.rate(step)
        dot_NG = self._run.dots(step, costate_GP)
        weight_N = self._run.updates[step].weights_N
        state["value_NG"][self._first_T[step] : self._first_T[step + 1]] = rate * weight_N[:, None] * dot_NG
        norm_G = costate_GP.double().norm(dim=1).cpu()
        state["costate_norm_TG"][step] = norm_G
        if step == 0:  # nothing asks for lambda_0
            return
        product_GP = self._run.curvature(step, costate_GP, dot_NG)
        state["costate_GP"] = torch.sub(costate_GP, product_GP, alpha=rate)
        nonzero_G = norm_G.clamp(min=torch.finfo(torch.float64).tiny)
        state["growth_TG"][step] = state["costate_GP"].double().norm(dim=1).cpu() / nonzero_G
        state["curvature_TG"][step] = rate * product_GP.double().norm(dim=1).cpu() / nonzero_G
        self._check_growth(step, state["growth_TG"][step].max().item(), rate)

    def _check_growth(self, step: int, growth: float, rate: float) -> None:
        check_finite(f"the norm of the costate before update {step + 1}", growth, self._settings.cure)
        if growth > MAX_GROWTH:
            raise DivergedError(
                f"update {step + 1} of {self._run.num_steps} multiplies what came before it by {growth:.3g} or more; "
                f"allowed is {MAX_GROWTH:g}: its learning rate {rate:g} is too large for the curvature there, and "
                f"values would not be derivatives of anything; {self._settings.cure}"
            )

    def _save(self, state: dict[str, Tensor]) -> None:
        if self._state_dir is not None and self._is_writer:
            save_tensors(self._state_dir, {name: tensor.cpu() for name, tensor in state.items()}, self._fingerprint)

    def _result(self, state: dict[str, Tensor]) -> Values:
        kept = {name: tensor for name, tensor in state.items() if name not in ("segment", "costate_GP")}
        updates = self._run.updates
        return Values(
            step_N=torch.repeat_interleave(torch.arange(len(updates)), self._first_T.diff()),
            row_N=torch.cat([torch.from_numpy(update.rows_N) for update in updates]),
            rate_T=torch.tensor([self._states.rate(t) for t in range(len(updates))], dtype=torch.float64),
            trajectory=self._states.kind,
            **kept,
        )
