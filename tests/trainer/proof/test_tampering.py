"""A training run that does anything but the plan is found out afterwards, and the reason says what was wrong.

Each case changes one thing in a real run: what enters the network, the loss, the gradient or the update.
"""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from delt_exp.corpus.tokens import IGNORED
from delt_exp.files import read_json
from delt_exp.model.next_token import NextTokenLosses, next_token_logits, only_labels
from delt_exp.model.optimizer import AdamW
from delt_exp.trainer.datamodule import OrderedBatches, _Collate
from delt_exp.trainer.module import LMModule
from delt_exp.trainer.plan import Plan
from tests.helpers import make_pool, words
from tests.trainer.test_train import job_of, trained

STEP = 2  # the step that is tampered with, from 0


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return make_pool(tmp_path_factory.mktemp("tampering"), words(60))


TAMPERINGS = {}


def tampering(reason, **settings):
    """Register a function of a MonkeyPatch: the run it changes is not verified, for `reason`."""

    def register(function):
        TAMPERINGS[function.__name__] = function, reason, settings
        return function

    return register


def instead_of_step(patch, change):
    """Let the training step get what `change` makes of the batch of STEP, after every hook has seen the right one."""
    original = LMModule.training_step

    def training_step(self, batch, batch_idx):
        return original(self, change(dict(batch)) if self.global_step == STEP else batch, batch_idx)

    patch.setattr(LMModule, "training_step", training_step)


@tampering("step 3, sequence 1: other tokens, labels or positions")
def rows_rolled(patch):
    keys = ("input_ids", "labels")
    instead_of_step(patch, lambda batch: batch | {key: batch[key].roll(1, 0) for key in keys})


@tampering("step 3, sequence 1: other tokens, labels or positions")
def inputs_rolled_against_labels(patch):
    instead_of_step(patch, lambda batch: batch | {"input_ids": batch["input_ids"].roll(1, 0)})


@tampering("step 3, sequence 5: other tokens")
def one_token_changed(patch):
    def change(batch):
        inputs = batch["input_ids"].clone()
        inputs[4, 7] += 1
        return batch | {"input_ids": inputs}

    instead_of_step(patch, change)


@tampering("step 3, sequence 5: other tokens, labels")
def one_label_changed(patch):
    def change(batch):
        labels = batch["labels"].clone()
        labels[4, 7] += 1
        return batch | {"labels": labels}

    instead_of_step(patch, change)


@tampering("step 3, sequence 1: other tokens, labels")
def labels_left_out(patch):
    instead_of_step(patch, lambda b: b | {"labels": b["labels"].masked_fill(b["labels"] % 2 == 0, IGNORED)})


@tampering("step 3, sequence 1: other tokens")
def part_of_the_batch(patch):
    keys = ("input_ids", "labels")
    instead_of_step(patch, lambda batch: batch | {key: batch[key][:4] for key in keys})


@tampering("step 1, sequence 1: other tokens")
def shorter_sequences(patch):
    original = LMModule.training_step
    keys = ("input_ids", "labels")
    patch.setattr(
        LMModule,
        "training_step",
        lambda self, batch, i: original(self, batch | {key: batch[key][:, :8] for key in keys}, i),
    )


@tampering("step 1, sequence 1: other tokens")
def half_read_twice_inside_the_network(patch):
    from transformers import LlamaForCausalLM

    original = LlamaForCausalLM.forward

    def forward(self, input_ids=None, **arguments):
        output = original(self, input_ids=input_ids[: -(-len(input_ids) // 2)], **arguments)
        output.logits = output.logits.repeat(2, 1, 1)[: len(input_ids)]
        return output

    patch.setattr(LlamaForCausalLM, "forward", forward)


@tampering("step 1, sequence 1: other tokens, labels or positions")
def other_positions(patch):
    def logits(network, batch):
        inputs = batch["input_ids"]
        positions = torch.arange(1, inputs.shape[1] + 1).expand_as(inputs)
        return next_token_logits(network, batch | {"position_ids": positions})

    patch.setattr("delt_exp.model.next_token.next_token_logits", logits)


@tampering("step 1, sequence 1: other tokens")
def a_mask_nobody_planned(patch):
    def logits(network, batch):
        mask = torch.ones_like(batch["input_ids"])
        mask[:, ::2] = 0
        return next_token_logits(network, batch | {"attention_mask": mask})

    patch.setattr("delt_exp.model.next_token.next_token_logits", logits)


@tampering("step 1, sequence 1: other tokens")
def logits_rolled(patch):
    def logits(network, batch):
        return next_token_logits(network, batch).roll(1, 0)

    patch.setattr("delt_exp.model.next_token.next_token_logits", logits)


@tampering("step 1, sequence 1: other tokens")
def logits_detached(patch):
    def logits(network, batch):
        found = next_token_logits(network, batch)
        return found.detach().requires_grad_()

    patch.setattr("delt_exp.model.next_token.next_token_logits", logits)


@tampering("step 1, sequence 1: other tokens, labels or positions", layout="padded")
def head_at_other_positions(patch):
    """As many as there are labels, so that nothing but what is read there is wrong."""

    @contextmanager
    def reading(network, labels):
        with only_labels(network, labels.roll(1, 1)):
            yield

    patch.setattr("delt_exp.trainer.module.only_labels", reading)


@tampering("0 sequences were consumed")
def another_loss(patch):
    def training_step(self, batch, batch_idx):
        logits = self.network(input_ids=batch["input_ids"]).logits
        loss = cross_entropy(logits.flatten(0, 1), batch["labels"].flatten())
        self.loss_sum = self.loss_sum + loss.detach().double() * batch["count"]
        return loss

    patch.setattr(LMModule, "training_step", training_step)


@tampering("step 3: a loss entered the gradient with another weight")
def wrong_normaliser(patch):
    instead_of_step(patch, lambda batch: batch | {"count": 100})


@tampering("step 3: a loss entered the gradient with another weight", micro_batch_items=3)
def mean_of_micro_batch_means(patch):
    instead_of_step(patch, lambda batch: batch | {"count": 3 * int((batch["labels"] != IGNORED).sum())})


@tampering("step 1: a loss entered the gradient with another weight")
def loss_times_zero(patch):
    original = LMModule.training_step
    patch.setattr(LMModule, "training_step", lambda self, batch, i: 0 * original(self, batch, i))


@tampering("step 1: a loss entered the gradient with another weight")
def loss_without_gradient(patch):
    original = NextTokenLosses.forward
    patch.setattr(NextTokenLosses, "forward", lambda self, *arguments: original(self, *arguments).detach() + 0)
    step = LMModule.training_step

    def training_step(self, batch, batch_idx):
        return step(self, batch, batch_idx) + 0 * sum(p.sum() for p in self.network.parameters())

    patch.setattr(LMModule, "training_step", training_step)


@tampering("step 1: the reported loss is not that of the batch")
def loss_reported_lower(patch):
    original = LMModule.training_step

    def training_step(self, batch, batch_idx):
        loss = original(self, batch, batch_idx)
        self.loss_sum = self.loss_sum * 0.9
        return loss

    patch.setattr(LMModule, "training_step", training_step)


def scale_gradients(module, factor):
    for parameter in module.network.parameters():
        parameter.grad *= factor


@tampering("step 1: the gradient was changed before the update")
def gradient_halved_before_clipping(patch):
    patch.setattr(LMModule, "on_before_optimizer_step", lambda self, _: scale_gradients(self, 0.5), raising=False)


@tampering("step 1: the gradient was changed before the update")
def gradient_zeroed_after_clipping(patch):
    original = LMModule.configure_gradient_clipping

    def clip(self, *arguments, **settings):
        original(self, *arguments, **settings)
        scale_gradients(self, 0)

    patch.setattr(LMModule, "configure_gradient_clipping", clip)


@tampering("step 1: the gradient was changed between micro-batches", micro_batch_items=3)
def earlier_micro_batches_forgotten(patch):
    def forget(self, batch, batch_idx):
        if batch_idx % 3 == 2:
            self.network.zero_grad()

    patch.setattr(LMModule, "on_train_batch_start", forget)


def after_every_step(patch, act):
    """Call `act(parameters, their values before the step)` in the optimizer, after each of its steps."""
    original = AdamW.make

    def make(self, network):
        optimizer = original(self, network)
        kept = {}

        def remember(*_):
            kept.update({p: p.detach().clone() for p in network.parameters()})

        optimizer.register_step_pre_hook(remember)
        optimizer.register_step_post_hook(lambda *_: act(kept))
        return optimizer

    patch.setattr(AdamW, "make", make)


@torch.no_grad()
def restore(kept):
    for parameter, value in kept.items():
        parameter.copy_(value)


@tampering("step 1: the update changed no parameter")
def update_undone_in_the_optimizer(patch):
    after_every_step(patch, restore)


@tampering("step 2: the parameters were changed between two updates")
def update_undone_later(patch):
    kept = {}
    before = LMModule.training_step

    def training_step(self, batch, batch_idx):
        if self.global_step == 0:
            kept.update({p: p.detach().clone() for p in self.network.parameters()})
        if self.global_step == 1:
            restore(kept)
        return before(self, batch, batch_idx)

    patch.setattr(LMModule, "training_step", training_step)


@tampering("the saved parameters are not those after the last update")
def last_update_undone(patch):
    after_every_step(patch, lambda kept: patch.setattr(LMModule, "kept", kept, raising=False))
    patch.setattr(LMModule, "on_train_end", lambda self: restore(self.kept), raising=False)


@tampering("step 1: not exactly one update was made")
def two_updates_in_a_step(patch):
    def step(self, epoch, batch_idx, optimizer, closure):
        optimizer.step(closure=closure)
        optimizer.optimizer.step()

    patch.setattr(LMModule, "optimizer_step", step, raising=False)


@tampering("step 1: not exactly one update was made")
def no_update(patch):
    def step(self, epoch, batch_idx, optimizer, closure):
        closure()
        self.grad_norm = torch.ones(())

    patch.setattr(LMModule, "optimizer_step", step, raising=False)


@tampering("step 1: the learning rate is not that of the schedule")
def another_learning_rate(patch):
    def clip(self, optimizer, *arguments, **settings):
        original(self, optimizer, *arguments, **settings)
        for group in optimizer.param_groups:
            group["lr"] = 1e-5

    original = LMModule.configure_gradient_clipping
    patch.setattr(LMModule, "configure_gradient_clipping", clip)


def other_items(patch, change):
    """Let the loader hand out what `change` makes of the lists of items, one a step."""
    original = OrderedBatches.__iter__
    patch.setattr(OrderedBatches, "__iter__", lambda self: iter(change(list(original(self)))))


@tampering("step 2, sequence 1: other tokens")
def batches_swapped(patch):
    other_items(patch, lambda batches: [batches[0], batches[2], batches[1], *batches[3:]])


@tampering("sequences were consumed")
def batch_dropped(patch):
    other_items(patch, lambda batches: [batches[0], *batches[2:]])


@tampering("step 2, sequence 1: other tokens")
def batch_repeated(patch):
    other_items(patch, lambda batches: [batches[0], batches[0], *batches[2:]])


@tampering("step 1, sequence 1: other tokens, labels or positions")
def documents_of_another_seed(patch):
    """The loader claims the planned items and reads others."""
    original = Plan.item
    patch.setattr(Plan, "item", lambda self, index: original(self, (index + 1) % self.num_items))


@tampering("other tokens, labels or positions", layout="packed_isolated")
def borders_forgotten(patch):
    original = _Collate.__call__

    def batch_of(self, items):
        batch = original(self, items)
        del batch["position_ids"]
        return batch

    patch.setattr(_Collate, "__call__", batch_of)


@pytest.mark.slow
@pytest.mark.parametrize("name", TAMPERINGS)
def test_a_run_that_was_tampered_with_is_not_verified(pool, tmp_path, name):
    tamper, reason, settings = TAMPERINGS[name]
    with pytest.MonkeyPatch.context() as patch:
        tamper(patch)
        result = read_json(trained(tmp_path, job_of(pool, **settings)) / "result.json")
    assert result["order_verified"] is False
    assert reason in result["order_mismatch"]


@pytest.mark.slow
def test_steps_leave_what_they_did(pool, tmp_path):
    """Labels, losses and weights of a step are those of its global batch, whatever the micro-batches."""
    job = job_of(pool, micro_batch_items=3)
    folder = trained(tmp_path, job)
    steps, consumed = (np.load(folder / name, allow_pickle=False) for name in ("steps.npy", "consumed.npy"))
    np.testing.assert_array_equal(steps["step"], np.arange(job.plan.num_steps))
    np.testing.assert_array_equal(steps["num_labels"], job.plan.labels_per_step())
    for name in ("least_weight", "largest_weight"):
        np.testing.assert_allclose(consumed[name], 1 / job.plan.labels_per_step()[consumed["step"]], rtol=1e-6)
    assert (steps["num_updates"] == 1).all()
    assert len(set(steps["after"])) == len(steps)
