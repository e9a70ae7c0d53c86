"""Writes down what enters the forward pass of a network, of whatever trainer.

Each rank appends to a file of its own in the audit's folder: for each sequence the optimizer step, the place in the
step, the number of tokens and their digest. Nothing is read back from the device between two flushes.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from delt_exp.certificate.digests import FACTOR, powers
from delt_exp.errors import DataError
from delt_exp.files import written_aside

ROWS = np.dtype([("step", "<i8"), ("micro", "<i4"), ("row", "<i4"), ("length", "<i8"), ("digest", "<u8")])
"""One sequence. micro: forward pass of its step; row: place in it; length: its tokens, without padding."""
FLUSH_STEPS = 64
ATTEMPTS = "audit.json"


@dataclass(frozen=True)
class Attempt:
    """One beginning of training. started_at: its first step. ended_at: the step after its last, None until `close`."""

    started_at: int
    world_size: int
    ended_at: int | None = None


class OrderAudit:
    """Records the sequences that enter `network` while it trains, into `folder`.

        audit = OrderAudit("audit")
        audit.watch(model)     # before the first step; watch(model, step) after a restart
        audit.step()           # after each optimizer.step()
        audit.close()          # at the end

    Passes that do not train, such as evaluation, are not recorded. Token ids are the argument `input_ids` or the first
    argument; with an `attention_mask` of the same shape only the tokens that it marks. A sequence is recorded as it
    enters: labels are not looked at. Call `watch` before the network is compiled. A run that is resumed takes the same
    folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._calls: list[tuple[int, int, Tensor]] = []  # step, micro, [B, 2] of `_digests`
        self._handle: Any = None

    def watch(self, network: nn.Module, step: int = 0) -> None:
        """Begin at optimizer step `step`; what an earlier attempt recorded from there on is forgotten."""
        is_distributed = dist.is_available() and dist.is_initialized()
        self.rank, world_size = (dist.get_rank(), dist.get_world_size()) if is_distributed else (0, 1)
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.rank == 0:
            earlier = [attempt for attempt in read_attempts(self.folder) if attempt.started_at < step]
            _write_attempts(self.folder, [*earlier, Attempt(step, world_size)])
        self._path = self.folder / f"rank-{self.rank:05d}.rows"
        kept = read_rows(self._path) if self._path.exists() else np.zeros(0, ROWS)
        _replace(self._path, kept[kept["step"] < step].tobytes())
        self._step, self._micro, self._since_flush = step, 0, 0
        self._calls = []
        if self._handle is not None:
            self._handle.remove()
        self._handle = network.register_forward_pre_hook(self._enters, with_kwargs=True)

    def _enters(self, network: nn.Module, args: tuple[Any, ...], arguments: dict[str, Any]) -> None:
        if not (network.training and torch.is_grad_enabled()):
            return
        ids = arguments.get("input_ids", args[0] if args else None)
        if not isinstance(ids, Tensor) or ids.is_floating_point() or ids.ndim != 2:
            raise DataError("the network is not given token ids [sequences, tokens]; watch the module that is")
        self._calls.append((self._step, self._micro, _digests(ids.detach(), arguments.get("attention_mask"))))
        self._micro += 1

    def step(self) -> None:
        """Note that the optimizer has made a step."""
        self._step, self._micro, self._since_flush = self._step + 1, 0, self._since_flush + 1
        if self._since_flush >= FLUSH_STEPS:
            self.flush()

    def flush(self) -> None:
        """Write what was recorded; call it before a checkpoint is written, so that a restart finds it."""
        if self._calls:
            on_host = torch.cat([digests for *_, digests in self._calls]).cpu().numpy()
            rows = np.zeros(len(on_host), ROWS)
            sizes = [len(digests) for *_, digests in self._calls]
            for name, column in (("step", 0), ("micro", 1)):
                rows[name] = np.repeat([call[column] for call in self._calls], sizes)
            rows["row"] = np.concatenate([np.arange(size) for size in sizes])
            rows["length"], rows["digest"] = on_host[:, 0], on_host[:, 1].astype(np.uint64)
            with self._path.open("ab") as file:
                file.write(rows.tobytes())
        self._calls, self._since_flush = [], 0

    def close(self) -> None:
        """Write the rest, and that it is all; stop watching."""
        self.flush()
        if self._handle is None:
            return
        self._handle.remove()
        self._handle = None
        if self.rank == 0:
            *earlier, last = read_attempts(self.folder)
            _write_attempts(self.folder, [*earlier, replace(last, ended_at=self._step)])

    def for_transformers(self) -> Any:
        """Return a callback for `transformers.Trainer`."""
        from delt_exp.certificate.for_transformers import AuditCallback

        return AuditCallback(self)

    def for_lightning(self, network: nn.Module | None = None) -> Any:
        """Return a callback for Lightning. network: the module that is given token ids; found where it is a
        `transformers` model inside the module that is trained.
        """
        from delt_exp.certificate.for_lightning import AuditCallback

        return AuditCallback(self, network)


def read_attempts(folder: Path) -> list[Attempt]:
    """Return where training began and where it was resumed, ascending; raises DataError where the file is damaged."""
    path = folder / ATTEMPTS
    try:
        return [Attempt(**one) for one in json.loads(path.read_text(encoding="utf-8"))] if path.exists() else []
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{path} is damaged, so nothing tells where training began: copy it again from where it was written, or "
            "train again with another folder"
        ) from error


def _write_attempts(folder: Path, attempts: Sequence[Attempt]) -> None:
    _replace(folder / ATTEMPTS, (json.dumps([asdict(one) for one in attempts]) + "\n").encode())


def read_rows(path: Path) -> NDArray[np.void]:
    """Return what one rank recorded; a row that was being written when the process died is left out."""
    raw = path.read_bytes()
    return np.frombuffer(raw[: len(raw) // ROWS.itemsize * ROWS.itemsize], ROWS)


def _replace(path: Path, content: bytes) -> None:
    """Write a file in one step: a kill during a restart must not lose what earlier attempts recorded."""
    with written_aside(path) as aside:
        aside.write_bytes(content)


def _digests(ids_BT: Tensor, mask_BT: Tensor | None) -> Tensor:
    """Return [B, 2] the number of tokens of each sequence and their digest; padding may be on either side."""
    powers_T, factor = _constants(ids_BT.shape[1], ids_BT.device)
    terms_BT = (ids_BT.long() + 1) * factor
    if mask_BT is None or mask_BT.shape != ids_BT.shape:
        lengths_B = torch.full((len(ids_BT),), ids_BT.shape[1], device=ids_BT.device)
        return torch.stack([lengths_B, (terms_BT * powers_T).sum(1)], 1)
    is_token_BT = mask_BT != 0
    place_BT = (is_token_BT.cumsum(1) - 1).clamp(min=0)
    return torch.stack([is_token_BT.sum(1), (terms_BT * powers_T[place_BT] * is_token_BT).sum(1)], 1)


@cache
def _constants(length: int, device: torch.device) -> tuple[Tensor, int]:
    signed = powers(length).view(np.int64)
    return torch.from_numpy(signed.copy()).to(device), FACTOR - (1 << 64)
