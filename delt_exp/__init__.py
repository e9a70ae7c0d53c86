"""Which training data, in which order, makes a better language model?

    import delt_exp

    run = delt_exp.experiment("scorer=perplexity", "orderer=folding", train_dataset=texts)
    run.scores, run.order, run.results

`experiment`, `score`, `verdict` and `runs` are loaded when they are first used.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from delt_exp.notebook.making import experiment, score
    from delt_exp.notebook.runs import runs
    from delt_exp.notebook.verdict import verdict

# Threads that wait for each other sleep instead of spinning: a spinning thread takes the core that the one it waits for
# needs, as soon as anything else runs on the machine. OpenMP reads this when torch is loaded, so it stands here, before
# any import, and every process that this one starts inherits it. What the user has set stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("KMP_BLOCKTIME", "0")  # Intel's OpenMP has a word of its own for it

__all__ = ["experiment", "runs", "score", "verdict"]
_MODULES = {"experiment": "making", "runs": "runs", "score": "making", "verdict": "verdict"}


def __getattr__(name: str) -> Any:
    """Load what a notebook calls: modules of the package that do something else must not wait for it."""
    if name not in __all__:
        raise AttributeError(f"module 'delt_exp' has no attribute {name!r}; it has {', '.join(__all__)}")
    globals()[name] = getattr(import_module(f"delt_exp.notebook.{_MODULES[name]}"), name)
    return globals()[name]


def __dir__() -> list[str]:
    return __all__
