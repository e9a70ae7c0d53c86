"""Files as people have them."""

from tests.field_cases.case import Case


def counts(**expected):
    """Return a check of counts of the training documents."""

    def check(record):
        found = record["data"]["train"]["counts"]
        assert {name: found[name] for name in expected} == expected

    return check


def line_end(record):
    """The prompt ends in a line end, not in a backslash and an n."""
    prompts = {example["prompt"] for examples in record["examples"].values() for example in examples}
    assert prompts == {"What is two plus two?\n", "Name a river.\n"}


def path(name):
    return f"train_dataset.path=F/{name}"


CASES = [
    Case(
        "4 a line end in a template",
        (path("qa.jsonl"), 'train_dataset.prompt="{question}\\n"', "train_dataset.text='{answer}'"),
        holds=line_end,
    ),
    Case("9 two columns of one name", ("train_dataset=parquet", path("twice.parquet")), True, ("columns are named",)),
    Case("15 a huge integer in another field", (path("hugeint.jsonl"),)),
    Case("21 zst", (path("a.jsonl.zst"),)),
    Case("22 an array", (path("array.json"), "train_dataset.text='{output}'")),
    Case(
        "23 null",
        (path("nullinput.jsonl"), "train_dataset.prompt='{instruction} {input}'", "train_dataset.text='{output}'"),
        True,
        ("null_as_empty=true",),
    ),
    Case(
        "23 null as empty",
        (
            path("nullinput.jsonl"),
            "train_dataset.prompt='{instruction} {input}'",
            "train_dataset.text='{output}'",
            "train_dataset.null_as_empty=true",
        ),
    ),
    Case("23 null in Parquet", ("train_dataset=parquet", path("nulls.parquet"), "train_dataset.null_as_empty=true")),
    Case(
        "24 a number",
        (path("numanswer.jsonl"), "train_dataset.text='{question} {answer}'"),
        True,
        ("numbers_as_text=true",),
    ),
    Case(
        "24 a number as text",
        (path("numanswer.jsonl"), "train_dataset.text='{question} {answer}'", "train_dataset.numbers_as_text=true"),
    ),
    Case("25 a folder of shards", ("train_dataset=parquet", path("shards")), holds=counts(empty_files=1, read=30)),
    Case("25 a glob over shards", ("train_dataset=parquet", path("shards/*")), holds=counts(empty_files=1, read=30)),
    Case("26 save_to_disk", ("train_dataset=hub", "train_dataset.repo=F/saved")),
    Case("38 blank texts are counted", (path("blank.jsonl"),), holds=counts(read=43, empty=3)),
    Case("40 half an upload", (path("half.jsonl.gz"),), True, ("half.jsonl.gz cannot be read",)),
    Case("40 several members of gzip", (path("multi_member.jsonl.gz"),)),
    Case("40 a byte-order mark in the middle", (path("bommid.jsonl"),), True, ("bommid.jsonl:41",)),
    Case("40 line separators of Unicode", (path("u2028.jsonl"),)),
    Case("40 NaN in another field", (path("nan.jsonl"),)),
    Case("40 NUL as an escape", (path("nul.jsonl"),)),
    Case("40 HTML", (path("html.jsonl"),)),
    Case("40 a dictionary in Parquet", ("train_dataset=parquet", path("dict.parquet")), holds=counts(read=40)),
    Case("40 large strings in Parquet", ("train_dataset=parquet", path("large.parquet")), holds=counts(read=40)),
    Case(
        "40 a list in Parquet",
        ("train_dataset=parquet", path("list.parquet"), "train_dataset.text='{turns[0]}'"),
        holds=counts(read=40),
    ),
    Case(
        "40 a dot in a column's name",
        ("train_dataset=parquet", path("dotted.parquet"), "train_dataset.text='{doc.text}'"),
        holds=counts(read=40),
    ),
    Case("14 a pointer as JSON lines", (path("lfs.jsonl"),), True, ("git lfs pull",)),
    Case("14 a pointer as text", ("train_dataset=text", path("lfs.txt")), True, ("git lfs pull",)),
    Case("40 half a character", (path("surrogate.jsonl"),), True, ("half a character",)),
]
