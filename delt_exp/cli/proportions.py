"""Estimate from which domains a model learnt, by the text that it writes unprompted.

    python -m delt_exp.proportions MODEL DOMAIN DOMAIN [DOMAIN ...] [KEY=VALUE ...]

MODEL is a folder or Hub name of a causal language model with its tokenizer; `smollm2` is the packaged one. A DOMAIN is
an option of conf/train_dataset or a .jsonl, .parquet or .txt file (also packed: .jsonl.gz). Prints for each domain its
share of the training documents with a 95 % interval. KEY=VALUE is as for run.py: eval_dataset.proportions.detector.KEY
changes how texts are drawn and judged (see conf/eval_dataset/proportions.yaml), tokenizer.begin=eos what stands before
a text, corpora.NAME.max_documents=100 a domain, where NAME is the option or the file's name without endings.
"""

from collections.abc import Sequence

from omegaconf import DictConfig

from delt_exp.cli.check import check_command
from delt_exp.cli.named_datasets import dataset_overrides, labelled, quoted
from delt_exp.cli.reporting import names_in, run_with_overrides
from delt_exp.config.build import CONF, build, construct
from delt_exp.config.compose import composed
from delt_exp.corpus.stages import tokenizer_stage
from delt_exp.eval_dataset.proportions import Proportions
from delt_exp.pretrained.loading import check_model, pretrained_fingerprint
from delt_exp.proportions.detector import Detected
from delt_exp.resources import Resources
from delt_exp.runtime import Runtime
from delt_exp.store.store import Store

PLACE = "eval_dataset.proportions.detector"


def main() -> None:
    """Run the command line."""
    run_with_overrides(__doc__, run)


def run(arguments: Sequence[str]) -> str:
    """Return what the command prints; raises DeltError for what cannot be done."""
    names, given = names_in(arguments, 3, "a MODEL and at least two DOMAINs", "proportions")
    model, *domains = names
    # `bos`, so that a model without one is refused: what would stand before its texts is then for the user to say.
    overrides = ["eval_dataset=proportions", "tokenizer=hf", f"tokenizer.name={quoted(model)}", "tokenizer.begin=bos"]
    overrides += [*dataset_overrides(labelled(domains)), *given]
    check_command(CONF, overrides)
    return _detect(model, composed(CONF, overrides))


def _detect(model: str, cfg: DictConfig) -> str:
    datasets = {label: build(node, f"corpora.{label}") for label, node in cfg.corpora.items()}
    proportions = Proportions(datasets, build(cfg.eval_dataset.proportions.detector, PLACE))
    store = construct(Store, cfg.store, "store")
    check_model(model, None, fetch=True)
    tokenizer = tokenizer_stage(store, build(cfg.tokenizer, "tokenizer"), None)
    runtime = construct(Runtime, cfg.runtime, "runtime")
    resources = Resources(store, tokenizer, build(cfg.trainer, "trainer"), runtime)
    key, domains = pretrained_fingerprint(model, None), proportions.read(store, tokenizer)
    detected, folder = proportions.detector.detect(resources, model, key, tokenizer, domains)
    level = 100 * (1 - proportions.detector.alpha)
    return "\n".join([*_lines(detected, level), f"all numbers: {folder / 'detected.json'}"])


def _lines(found: Detected, level: float) -> list[str]:
    title = f"share of {found.unit} by {found.num_texts} texts of the model, with {level:g} % interval"
    width = max(map(len, found.labels))
    rows = [
        f"{label:{width}}  {_ranged(found.soft[k], found.soft_interval[k])}  "
        f"labels corrected {_ranged(found.hard[k], found.hard_interval[k])}, as they are {found.raw[k]:.3f}; "
        f"first token {found.first_token[k]:.3f}"
        for k, label in enumerate(found.labels)
    ]
    condition = "infinite" if found.condition is None else f"{found.condition:.2f}"
    worth = (
        f"the classifier is right on {100 * found.accuracy:.1f} % of held-out texts (condition number {condition}); of "
        f"the model's texts {100 * found.empty:.1f} % are empty, {100 * found.looping:.1f} % repeat themselves; "
        f"of those that are not empty {100 * found.unsure:.1f} % are of low confidence"
    )
    return [title, *rows, worth]


def _ranged(value: float, interval: Sequence[float]) -> str:
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"
