"""What changes speed and memory but no result: device, batch sizes, workers."""

from typing import TYPE_CHECKING, Literal

from delt_exp.config.fields import Count, settings
from delt_exp.errors import ConfigError

if TYPE_CHECKING:
    import torch


@settings
class Runtime:
    """Speed settings; they enter no store key.

    device: `auto` (CUDA where there is one, else CPU), `cpu` or `cuda`.
    batch_tokens: padded tokens in one pass of scoring and evaluation; null is what is fast on the device: more than
    2048 falls out of the cache of a CPU (8192 was 1.2 to 1.5 times slower on two cores).
    """

    device: Literal["auto", "cpu", "cuda"]
    batch_tokens: Count | None

    def check_available(self) -> None:
        """Raise ConfigError when CUDA is asked for and absent."""
        if self.device == "cuda":
            self.torch_device()

    def tokens_per_pass(self) -> int:
        """Return `batch_tokens`, or what null stands for on the device."""
        return self.batch_tokens or (2048 if self.torch_device() == "cpu" else 16_384)

    def torch_device(self) -> str:
        """Return `cpu` or `cuda`; raises ConfigError when CUDA is asked for and absent."""
        import torch

        if self.device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("runtime.device is cuda but no CUDA device is visible; use runtime.device=auto or cpu")
        return "cuda" if self.device != "cpu" and torch.cuda.is_available() else "cpu"


def seed_step(seed: int, device: "torch.device") -> None:
    """Seed the global generators of the CPU and of `device` only, as is cheap enough for every step of a training run.

    `torch.manual_seed` does the same for each kind of device, and for those that are not there it writes down the whole
    stack of calls, to be replayed: 1.3 ms inside of Lightning, 13 % of the step of a model of 0.2 M parameters.
    """
    import torch

    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def quiet() -> None:
    """Keep libraries from talking over the progress display; their errors still come through."""
    import logging
    import warnings

    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    for name in ("pytorch_lightning", "lightning.fabric", "lightning_fabric", "torch.distributed.elastic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for module in ("pytorch_lightning", "lightning_fabric", "torch.utils.data"):
        warnings.filterwarnings("ignore", module=rf"{module}.*")
