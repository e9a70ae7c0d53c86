"""The sweep back in time.

lambda_T = grad J(theta_T); lambda_t = lambda_{t+1} + grad J(theta_t) - lr H_t lambda_{t+1}, with H_t the Hessian of the
batch of update t at theta_t. A document is scored with lambda_{t+1} at theta_t.
Shapes: N documents, S scored steps, T updates.
"""

from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from delt_exp.distributed.ranks import Ranks
from delt_exp.files import digest
from delt_exp.scorer.lqs.annotation import Annotation
from delt_exp.scorer.lqs.problem import Problem
from delt_exp.scorer.lqs.settings import AnnotationSettings
from delt_exp.scorer.lqs.state import ReverseState, load_state
from delt_exp.scorer.reverse.sweep import Progress, sweep_back
from delt_exp.scorer.reverse.trajectory import Trajectory, check_finite


class ReverseLoop:
    """One annotation of `problem`, which stands at theta_0."""

    def __init__(
        self,
        problem: Problem,
        settings: AnnotationSettings,
        trajectory: Trajectory,
        ranks: Ranks,
        state_dir: Path | None,
        progress: Progress,
    ) -> None:
        self._problem, self._settings, self._trajectory = problem, settings, trajectory
        self._needs_terminal_norms = settings.init_norm == "terminal"
        self._progress, self._document_passes = progress, 0
        self._state_dir, self._is_writer = state_dir, ranks.rank == 0
        self._fingerprint = "" if state_dir is None else digest(asdict(settings), problem.fingerprint())

    def run(self) -> Annotation:
        """Forward, then back from the last segment, or from the last one that was not finished."""
        device = self._problem.theta.device
        state = None if self._state_dir is None else load_state(self._state_dir, self._fingerprint, device)
        if state is None:
            state = self._start()
        else:
            self._document_passes = len(state.steps_S) + self._needs_terminal_norms
            self._run_forward(state.segment * self._trajectory.stride, torch.zeros_like(state.train_loss_T))

        def on_segment(segment: int) -> None:
            state.segment = segment
            self._save(state)

        on_step = partial(self._reverse_step, state=state)
        sweep_back(self._problem, self._trajectory, state.segment, on_step, on_segment, self._progress)
        return self._result(state)

    def _start(self) -> ReverseState:
        """The forward run, and what is known at its end."""
        num_steps, num_documents = self._problem.num_steps, self._problem.num_documents
        train_loss_T, target_loss_T = torch.zeros(2, num_steps, dtype=torch.float64)
        self._run_forward(num_steps, train_loss_T)
        target_loss_T[-1], costate = self._target_gradient(num_steps)
        norm_N = torch.ones(num_documents, dtype=torch.float64)
        if self._needs_terminal_norms:
            _, norm_N = self._document_terms(None)
        state = ReverseState(
            self._trajectory.num_segments, costate, norm_N, train_loss_T, target_loss_T, [], [], [], []
        )
        self._save(state)
        return state

    def _run_forward(self, num_steps: int, train_loss_T: Tensor) -> None:
        def on_step(step: int, loss: float, norm: float) -> None:
            train_loss_T[step] = loss
            self._progress("forward", step + 1, num_steps)

        self._trajectory.run_forward(min(num_steps, self._problem.num_steps), on_step)

    def _reverse_step(self, step: int, state: ReverseState) -> None:
        """From lambda_{step+1} to lambda_step, with the model at theta_step."""
        if step % self._settings.interval == 0:
            dot_N, norm_N = self._document_terms(state.costate)
            state.steps_S.append(step)
            state.dot_SN.append(dot_N)
            state.norm_SN.append(norm_N)
            state.costate_norm_S.append(state.costate.norm().item())
        if step > 0:  # nothing asks for lambda_0
            state.target_loss_T[step - 1], target_gradient = self._target_gradient(step)
            product = self._problem.step_hvp(step, state.costate)
            state.costate.sub_(product, alpha=self._settings.lr).add_(target_gradient)
            what = f"the norm of the costate before update {step + 1}"
            check_finite(what, state.costate.norm().item(), self._settings.cure)

    def _target_gradient(self, step: int) -> tuple[float, Tensor]:
        """Target loss and its gradient at theta_step."""
        loss, gradient = self._problem.target_gradient()
        check_finite(f"the target loss after update {step}", loss, self._settings.cure)
        check_finite(
            f"the norm of the target gradient after update {step}", gradient.norm().item(), self._settings.cure
        )
        return loss, gradient

    def _document_terms(self, direction: Tensor | None) -> tuple[Tensor, Tensor]:
        scored_steps = -(-self._problem.num_steps // self._settings.interval)
        passes = scored_steps + self._needs_terminal_norms

        def on_documents(done: int, share: int) -> None:
            self._progress("documents", self._document_passes * share + done, passes * share)

        terms = self._problem.document_terms(direction, on_documents)
        self._document_passes += 1
        return terms

    def _save(self, state: ReverseState) -> None:
        if self._state_dir is not None and self._is_writer:
            state.save(self._state_dir, self._fingerprint)

    def _result(self, state: ReverseState) -> Annotation:
        dot_SN, norm_SN = torch.stack(state.dot_SN), torch.stack(state.norm_SN)
        return Annotation(
            lr=self._settings.lr,
            steps_S=torch.tensor(state.steps_S),
            dot_SN=dot_SN,
            norm_SN=norm_SN,
            later_norm_SN=torch.cat([state.first_norm_N[None], norm_SN[:-1]]),
            costate_norm_S=torch.tensor(state.costate_norm_S, dtype=torch.float64),
            train_loss_T=state.train_loss_T,
            target_loss_T=state.target_loss_T,
            trajectory=self._trajectory.kind,
        )
