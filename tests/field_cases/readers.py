"""Files as people have them."""

from tests.field_cases.case import Case


def three_empty(record):
    counts = record["data"]["train"]["counts"]
    assert (counts["read"], counts["empty"]) == (43, 3)


CASES = [Case("38 blank texts are counted", ("train_dataset.path=F/blank.jsonl",), holds=three_empty)]
