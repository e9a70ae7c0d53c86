"""The whole idea in one file: score documents, select some, order them, train, and ask whether it helped.

    python examples/in_100_lines.py [KEY=VALUE ...]

It takes about a minute on two cores, and no data: the text is what every Python installation carries.
"""

import sys

import delt_exp

# The candidates are prose, code, and docstrings with their functions. The model is to write functions for docstrings,
# and a few such pairs show what is wanted: the target set. Which candidates help, and in which order?
TASK = [
    "train_dataset=stdlib",
    "train_dataset.max_bytes=600_000",
    "target_dataset=stdlib_pairs",
    "target_dataset.max_bytes=200_000",
    "eval_dataset=stdlib",  # held-out text of all three kinds: what is won on one may be lost on another
    "training.max_tokens=100_000",  # the same budget for every choice, or more data would win by itself
    "baseline=none",  # a run trains what it is compared with, unless told not to; here this is step 4
]


def main(*settings: str) -> None:
    """Run the example; settings: overrides as for run.py, which make it larger or smaller."""
    # An experiment is lazy: it computes what we look at, and what was computed before is read from outputs/store.
    chosen = delt_exp.experiment(
        *TASK,
        "scorer=perplexity",  # 1. a score: how surprising is a document ...
        "proxy=target",  # ... to a small model that has read the target set? Low means alike.
        "proxy.train_tokens=50_000",
        "selector=top_r",  # 2. a selection: the best 40 % of the documents
        "selector.ratio=0.4",
        "orderer=folding",  # 3. an order: three passes over the scores, each from one end to the other
        "orderer.num_layers=3",
        *settings,
    )

    # 1. One number per document, in a DataFrame. What looks best to the scorer, and what worst?
    scores = chosen.scores.sort_values("score").assign(text=chosen.texts)
    for name, document in (("best", scores.iloc[0]), ("worst", scores.iloc[-1])):
        print(f"\n{name} document ({document.score:.2f} nats/token, from {document.source}):\n{document.text[:160]}")

    # 2. A score chooses between sources too. Which did it choose?
    kept = chosen.selection.source.value_counts() / chosen.scores.source.value_counts()
    print("\nshare of each source that is kept:\n" + kept.round(2).to_string(header=False))

    # 3. Folding trains on every part of the score range several times: here are scores along the first pass.
    order = chosen.order.score
    fold = len(order) // 3
    print(
        f"\nscores along the first pass: {[round(float(order.iloc[i]), 2) for i in range(0, fold, max(fold // 6, 1))]}"
    )

    # 4. Train on that, and on as many documents at random in random order: all else is equal, the seed too.
    random = delt_exp.experiment(
        *TASK, "scorer=random", "selector=random", "selector.ratio=0.4", "orderer=shuffle", *settings
    )
    for name, one in (("chosen", chosen), ("random", random)):
        losses = one.results.query("metric == 'loss'").set_index("dataset").value
        print(
            f"\nloss of the model trained on {name} documents [nats/token]:\n{losses.round(3).to_string(header=False)}"
        )

    # 5. Did it help, and what did it cost? Both models read the same held-out documents, so they are compared document
    # by document. The intervals are over documents: each model was trained once, and another seed is another draw.
    found = delt_exp.verdict(random, chosen, names=["random", "chosen"])
    print("\n", found, sep="")
    print(found.table[["dataset", "verdict", "difference", "low", "high"]].round(3).to_string(index=False))

    # The same for other eyes: a table of all runs, a page, and a command for colleagues who have no notebook.
    runs = delt_exp.runs(chosen.config.output_dir).drop(columns=["state", "folder"])
    print("\nall runs so far:\n" + runs.round(2).to_string(index=False))
    print(f"\npage: {chosen.report()}\ncommand: {chosen.command}")


if __name__ == "__main__":
    main(*sys.argv[1:])
