"""What comes out is the documents of the run in training order, whatever the format, the shards and the text."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from delt_exp.cli.export import main
from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.tokens import Tokens, write_tokens
from delt_exp.corpus.writing import CorpusSettings, write_corpus
from delt_exp.dataset.base import Document, Part
from delt_exp.errors import ConfigError, DataError
from delt_exp.export import formats, writing
from delt_exp.export.reading import check_shards, read_card, read_records, read_stream
from delt_exp.export.source import Ordered
from delt_exp.export.trainers import SETTINGS
from delt_exp.export.writing import export, shard_bounds
from delt_exp.tokenizer.base import Tokenizer, save_tokenizer
from delt_exp.tokenizer.byte import ByteTokenizer

RECORDS = ("jsonl", "parquet", "hf", "mds")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(lambda text: text.strip())


class Given:
    """Documents as they stand."""

    VERSION = 1

    def __init__(self, documents):
        self.given = documents

    def documents(self):
        return iter(self.given)


@pytest.fixture(scope="session")
def byte_tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    ByteTokenizer().make([], folder / "plain")
    pretrained = Tokenizer(folder / "plain").pretrained()
    pretrained.chat_template = "{% for turn in messages %}{{ turn.role }}: {{ turn.content }}\n{% endfor %}"
    save_tokenizer(pretrained, folder / "chat", "bytes")
    return Tokenizer(folder / "chat")


def ordered(documents, tokenizer, folder, seed=0):
    """Return documents in a random order, as a run would leave them."""
    corpus_folder, tokens_folder = folder / "corpus", folder / "tokens"
    corpus_folder.mkdir(), tokens_folder.mkdir()
    write_corpus(Given(documents), CorpusSettings(max_document_chars=None, drop_duplicates=False), corpus_folder)
    corpus = Corpus(corpus_folder)
    write_tokens(corpus, tokenizer, tokens_folder)
    generator = np.random.default_rng(seed)
    rows = generator.permutation(len(corpus))
    record = {
        "name": "run", "id": "0" * 16, "command": "python run.py", "commit": None,
        "choices": {"selector": "all", "orderer": "shuffle", "scorer": "random", "train_dataset": "given"},
        "config": {"selector": {"_target_": "x"}, "orderer": {"_target_": "x", "seed": 0}},
        "score": {"name": "chance", "unit": "none", "better": "higher", "explanation": "None.", "digest": "0"},
        "selection": {"kept_documents": len(rows), "of_documents": len(rows)},
        "documents": {"tokenizer": str(tokenizer.folder)},
    }  # fmt: skip
    scores = generator.normal(size=len(corpus)).astype(np.float32)
    return Ordered(folder, record, corpus, Tokens(tokens_folder), rows, scores)


def shown(document):
    """Return the content of a document under the names of the export, without what is empty."""
    turns = [{"role": role, "content": text} for role, text in document.turns]
    content = {"prompt": document.prompt, "text": document.text, "messages": turns, "rejected": document.rejected}
    return {name: value for name, value in content.items() if value}


documents = st.one_of(
    st.builds(Document, TEXT, source=st.sampled_from(["a", "b", ""])),
    st.builds(Document, TEXT, TEXT, source=st.just("pairs")),
    st.builds(Document, TEXT, TEXT, rejected=TEXT),
    st.builds(
        lambda user, answer: Document(turns=(Part("user", user), Part("assistant", answer)), source="talks"), TEXT, TEXT
    ),
)


@pytest.mark.slow
@settings(max_examples=40)
@given(given=st.lists(documents, min_size=1, max_size=12), to=st.sampled_from(RECORDS), shard=st.integers(1, 2000))
def test_export_and_read_back_are_the_same_documents_in_the_same_order(
    given, to, shard, byte_tokenizer, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("property")
    source = ordered(given, byte_tokenizer, folder)
    export(source, to, folder / "out", shard_bytes=shard, with_tokens=False)
    read = list(read_records(folder / "out"))
    want = [source.corpus.document(int(row)) for row in source.rows]
    assert [{k: v for k, v in row.items() if v and k in shown(d)} for row, d in zip(read, want, strict=True)] == [
        shown(document) for document in want
    ]
    assert [row["position"] for row in read] == list(range(len(want)))
    assert [row["source"] for row in read] == [document.source for document in want]
    assert np.array_equal(np.array([row["score"] for row in read], np.float32), source.scores)
    assert [int(row["id"], 16) for row in read] == source.corpus.ids[source.rows].tolist()
    assert len({*map(tuple, read)}) == 1  # every row has the same columns in the same order


@pytest.mark.slow
def test_a_huge_document_is_a_shard_of_its_own(byte_tokenizer, tmp_path):
    huge = "ß\u2028\n" * 300_000
    source = ordered([Document("before"), Document(huge), Document("after")], byte_tokenizer, tmp_path)
    for to in RECORDS:
        card = export(source, to, tmp_path / to, shard_bytes=1000, with_tokens=False)
        assert sorted(row["text"] for row in read_records(tmp_path / to)) == sorted(["before", huge, "after"])
        assert len(card["shards"]) > 1
    export(source, "bin", tmp_path / "bin", shard_bytes=1000, with_tokens=False)
    assert len(read_stream(tmp_path / "bin")) == source.tokens.lengths.sum() + 4


@pytest.mark.slow
def test_datasets_loads_the_hf_export_with_all_columns(stopped, tmp_path):
    from datasets import load_from_disk

    main([str(stopped), "--to", "hf", "--out", "out", "--shard-mb", "1", "--tokens"])
    loaded = load_from_disk("out")
    order = pq.read_table(stopped / "order.parquet")
    assert [int(name, 16) for name in loaded["id"]] == order["id"].to_pylist()
    assert loaded.column_names == ["id", "position", "score", "source", "text", "input_ids", "labels"]
    assert np.array_equal(np.array(loaded["score"], np.float32), order["score"].to_numpy())
    assert [len(ids) - 2 for ids in loaded["input_ids"]] == order["tokens"].to_pylist()


@pytest.mark.slow
def test_the_stream_is_what_layout_packed_cuts(stopped, tmp_path):
    from delt_exp.trainer.planning import PlanSettings, make_plan

    source = Ordered.of_run(stopped)
    export(source, "bin", tmp_path / "out", shard_bytes=500, with_tokens=False)
    stream = read_stream(tmp_path / "out").astype(np.int64)
    settings = PlanSettings(layout="packed", epochs=1, max_tokens=None, completion_only=False)
    plan = make_plan(source.tokens, source.rows, settings, context_tokens=32, batch_items=2)
    items = [plan.item(number) for number in range(plan.num_items)]
    assert np.array_equal(np.concatenate([item.inputs for item in items]), stream[:-1])
    assert np.array_equal(np.concatenate([item.labels for item in items]), stream[1:])
    for row in pq.read_table(tmp_path / "out" / "documents.parquet").to_pylist():
        document = stream[row["begins"] : row["begins"] + row["tokens"]]
        assert np.array_equal(document, source.tokens.document(int(source.rows[row["position"]])))


@pytest.mark.parametrize("to", [*RECORDS, "bin"])
def test_a_killed_export_writes_only_the_shards_that_are_missing(to, stopped, tmp_path, monkeypatch):
    source, written = Ordered.of_run(stopped), []
    export(source, to, tmp_path / "whole", shard_bytes=1000, with_tokens=False)

    def dies_at(number, write=formats.FORMATS[to].write):
        def killed(self, path, start, stop):
            write(self, path, start, stop)
            written.append(start)
            if len(written) == number:
                raise KeyboardInterrupt

        return killed

    monkeypatch.setattr(formats.FORMATS[to], "write", dies_at(3))
    with pytest.raises(KeyboardInterrupt):
        export(source, to, tmp_path / "out", shard_bytes=1000, with_tokens=False)
    assert not (tmp_path / "out").exists()
    export(source, to, tmp_path / "out", shard_bytes=1000, with_tokens=False)
    card = read_card(tmp_path / "out")
    assert len(written) == len(card["shards"]) + 1  # the one that was being written is written again
    assert card == read_card(tmp_path / "whole")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        path.name for path in (tmp_path / "whole").iterdir()
    }


def test_what_is_there_is_not_written_again_and_nothing_else_is_overwritten(stopped, tmp_path, monkeypatch):
    source = Ordered.of_run(stopped)
    export(source, "jsonl", tmp_path / "out", shard_bytes=1000, with_tokens=False)
    monkeypatch.setattr(writing, "_write", None)
    export(source, "jsonl", tmp_path / "out", shard_bytes=1000, with_tokens=False)
    other = replace(source, rows=source.rows[::-1])
    with pytest.raises(DataError, match="holds something else; give another folder"):
        export(other, "jsonl", tmp_path / "out", shard_bytes=1000, with_tokens=False)


def test_the_same_order_by_other_scores_is_another_export(stopped, tmp_path):
    source = Ordered.of_run(stopped)
    export(source, "jsonl", tmp_path / "out", shard_bytes=1000, with_tokens=False)
    with pytest.raises(DataError, match="holds something else"):
        export(
            replace(source, scores=source.scores + 1), "jsonl", tmp_path / "out", shard_bytes=1000, with_tokens=False
        )


def test_a_changed_shard_is_noticed(stopped, tmp_path):
    card = export(Ordered.of_run(stopped), "jsonl", tmp_path / "out", shard_bytes=1000, with_tokens=False)
    check_shards(tmp_path / "out", card)
    path = tmp_path / "out" / card["shards"][1]["file"]
    path.write_bytes(path.read_bytes().replace(b"train", b"trail", 1))
    with pytest.raises(DataError, match="export again"):
        check_shards(tmp_path / "out", card)


def test_the_card_says_what_score_selection_and_order_are(stopped, tmp_path):
    main([str(stopped), "--to", "jsonl", "--out", "out"])
    text = Path("out/README.md").read_text()
    assert "`top_k` kept 40 of 80 documents" in text
    assert "`folding`" in text
    assert read_card(Path("out"))["score"]["name"] in text


@pytest.mark.parametrize(
    ("trainer", "says"),
    [
        ("llama_factory", ["disable_shuffling: true", '"prompt": "text"', "streaming: false"]),
        ("axolotl", ["curriculum_sampling: true", "sample_packing_sequentially: true", "type: completion"]),
    ],
)
def test_settings_of_other_trainers_keep_the_order_and_name_every_shard(trainer, says, stopped, capsys):
    main([str(stopped), "--to", "jsonl", "--out", "out", "--settings", trainer])
    text = capsys.readouterr().out
    assert all(word in text for word in says)
    assert all(shard["file"] in text for shard in read_card(Path("out"))["shards"])


def test_settings_for_a_format_that_no_trainer_reads_are_refused_before_anything_is_written(stopped, capsys):
    with pytest.raises(SystemExit):
        main([str(stopped), "--to", "hf", "--out", "out", "--settings", "axolotl"])
    assert "not hf" in capsys.readouterr().err
    assert not Path("out").exists()


@pytest.mark.parametrize("trainer", SETTINGS)
def test_settings_say_that_rejected_answers_are_left_out(trainer):
    card = {"format": "jsonl", "columns": ["prompt", "text", "rejected"], "shards": [{"file": "a.jsonl"}]}
    assert "`rejected` is not read" in SETTINGS[trainer](card, Path("out"))
    assert "rejected" not in SETTINGS[trainer]({**card, "columns": ["prompt", "text"]}, Path("out"))


def test_prompts_reach_axolotl_as_instructions():
    card = {"format": "jsonl", "columns": ["prompt", "text"], "shards": [{"file": "a.jsonl"}]}
    (dataset,) = yaml.safe_load(SETTINGS["axolotl"](card, Path("out")))["datasets"]
    assert (dataset["type"]["field_instruction"], dataset["type"]["field_output"]) == ("prompt", "text")


@pytest.mark.parametrize(
    ("trainer", "card", "message"),
    [
        ("axolotl", {"format": "bin", "columns": []}, "not bin"),
        ("llama_factory", {"format": "hf", "columns": ["text"]}, "not hf"),
        ("axolotl", {"format": "jsonl", "columns": ["text", "messages"]}, "export each kind from a run of its own"),
    ],
)
def test_settings_for_a_format_that_no_trainer_reads_are_refused(trainer, card, message):
    with pytest.raises(ConfigError, match=message):
        SETTINGS[trainer]({**card, "shards": []}, Path("out"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: [path.unlink() for path in run.glob("*.json")], "not the folder of a run"),
        (lambda run: (run / "order.parquet").unlink(), "stop_after=order"),
        (lambda run: _changed(run, documents={"corpus": "gone"}), "repeat the run's command"),
        (lambda run: _changed(run, choices={"mixture": "unimax"}), "export a run with mixture=none"),
        (lambda run: _changed(run, config={"training": {"protocol": "tuned"}}), "training.protocol=fixed"),
    ],
)
def test_a_run_without_order_or_documents_is_refused_with_the_cure(spoil, message, stopped, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for path in stopped.iterdir():
        if path.is_file():
            (run / path.name).write_bytes(path.read_bytes())
    spoil(run)
    with pytest.raises(DataError, match=message):
        Ordered.of_run(run)


def _changed(run, **groups):
    record = json.loads((run / "stopped.json").read_text())
    for group, values in groups.items():
        record[group] |= values
    (run / "stopped.json").write_text(json.dumps(record))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(1, 100))
def test_shards_hold_every_document_once_and_no_more_than_fits(sizes, most):
    bounds = shard_bounds(np.array(sizes), most)
    assert [position for start, stop in bounds for position in range(start, stop)] == list(range(len(sizes)))
    assert all(sum(sizes[start:stop]) <= most or stop - start == 1 for start, stop in bounds)
    joined = [sum(sizes[a:d]) for (a, _), (_, d) in itertools.pairwise(bounds)]
    assert all(total > most for total in joined)
