"""Every departure that a trainer can make is named, and a right run is not, whatever shares its work."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delt_exp.certificate.audit import ROWS
from delt_exp.certificate.digests import Stretches, digest_of, powers
from delt_exp.errors import DataError
from delt_exp.verify.compare import compare
from delt_exp.verify.planned import Planned, windows
from delt_exp.verify.recorded import Read

DOCUMENTS = [np.random.default_rng(seed).integers(0, 50, size=3 + seed % 5) for seed in range(24)]
PLAN = Planned(
    "document",
    np.array([len(ids) for ids in DOCUMENTS]),
    np.array([digest_of(ids) for ids in DOCUMENTS], np.uint64),
    None,
    lambda: np.concatenate(DOCUMENTS),
)


def read(steps, starts=(0,)):
    """Return the audit of steps; a step is a list of (rank, documents), a document its place or token ids."""
    rows, ranks = [], []
    for step, passes in enumerate(steps):
        micros = {}
        for rank, batch in passes:
            micro = micros[rank] = micros.get(rank, -1) + 1
            for row, document in enumerate(batch):
                ids = DOCUMENTS[document] if isinstance(document, int | np.integer) else document
                rows.append((step, micro, row, len(ids), digest_of(ids)))
                ranks.append(rank)
    rows, ranks = np.array(rows, ROWS), np.array(ranks)
    order = np.lexsort([rows["row"], ranks, rows["micro"], rows["step"]])
    return Read(rows[order], ranks[order], list(starts), len(steps))


def joined(stream, context):
    """Return the plan of a trainer that cuts a stream into sequences."""
    return windows([stream], context, lambda: stream, needs_next=False)


def alone(places, size=4):
    return [[(0, list(places[first : first + size]))] for first in range(0, len(places), size)]


ORDER = list(range(24))


@pytest.mark.parametrize("size", [1, 4, 5, 24])
@pytest.mark.parametrize("epochs", [1, 3])
def test_the_planned_order_is_verified_whatever_the_batch(size, epochs):
    assert compare(read(alone(ORDER * epochs, size)), PLAN, epochs).kind == ""


@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_how_ranks_and_accumulation_share_a_step_is_no_departure(world_size, accumulate):
    size = 24 // (world_size * accumulate) // 2 or 1
    block = size * world_size * accumulate
    steps = []
    for first in range(0, 24, block):
        batches = [ORDER[first + n * size : first + (n + 1) * size] for n in range(world_size * accumulate)]
        steps.append([(n % world_size, batch) for n, batch in enumerate(batches)])
    assert compare(read(steps), PLAN, 1).kind == ""
    strided = [[(rank, ORDER[first + rank : first + block : world_size]) for rank in range(world_size)]
               for first in range(0, 24, block)]  # fmt: skip
    assert compare(read(strided), PLAN, 1).kind == ""  # as DistributedSampler(shuffle=False) shares


def shuffled(seed=1):
    return list(np.random.default_rng(seed).permutation(24))


@pytest.mark.parametrize(
    ("steps", "epochs", "kind", "step"),
    [
        (alone(shuffled()), 1, "shuffled", 0),
        (alone(ORDER[:12] + list(np.random.default_rng(3).permutation(ORDER[12:]))), 1, "shuffled", 3),
        (alone(ORDER[:12] + ORDER[:12]), 1, "repeated after resume", 3),
        (alone(ORDER[:12] + ORDER[8:]), 1, "repeated after resume", 3),
        (alone(ORDER * 2), 1, "repeated", 6),
        (alone(ORDER * 2, 24), 1, "repeated", 1),
        (alone([*ORDER, 0]), 1, "repeated", 6),
        (alone(ORDER[:12] + ORDER[16:]), 1, "skipped", 3),
        (alone(ORDER[:22], 5)[:-1], 1, "dropped tail", 4),
        (alone(ORDER[:20], 5) + alone(ORDER[:20], 5), 2, "dropped tail", 4),
        (alone(ORDER[:8]), 1, "ended early", 2),
        (alone([*ORDER, 0], 5), 1, "repeated to fill the last batch", 4),
        ([[(0, ORDER[i : i + 2]), (1, ORDER[12 + i : 14 + i])] for i in range(0, 12, 2)], 1, "rank split", 0),
        ([[(0, ORDER[i : i + 2]), (1, ORDER[i : i + 2])] for i in range(0, 24, 2)], 1, "repeated on every rank", 0),
    ],
)
def test_each_departure_is_named_with_its_step(steps, epochs, kind, step):
    finding = compare(read(steps, starts=[0, 3]), PLAN, epochs)
    assert (finding.kind, finding.step) == (kind, step)


def test_the_same_tokens_in_other_sequences_are_packed_differently():
    stream = np.concatenate(DOCUMENTS)
    cut = [stream[first : first + 10] for first in range(0, len(stream), 10)]
    finding = compare(read(alone(cut)), PLAN, 1)
    assert (finding.kind, finding.step) == ("packed differently", 0)
    assert compare(read(alone(cut)), joined(stream, 10), 1).kind == ""
    assert compare(read(alone(cut)), joined(stream, 16), 1).kind == "packed differently"


def test_tokens_after_the_last_whole_sequence_may_be_left_out_and_are_mentioned():
    stream = np.arange(47)
    cut = [stream[first : first + 10] for first in range(0, 40, 10)]
    finding = compare(read(alone(cut, 2)), joined(stream, 10), 1)
    assert finding.kind == ""
    assert "the last tokens" in finding.sentence
    whole = compare(read(alone([*cut, stream[40:]], 2)), joined(stream, 10), 1)
    assert whole.kind == ""
    assert "the last tokens" not in whole.sentence


def test_an_export_without_a_whole_sequence_is_refused_with_the_cure():
    with pytest.raises(DataError, match=r"fewer tokens than one sequence of 100 tokens.*--context"):
        compare(read(alone([np.arange(10)])), joined(np.arange(47), 100), 1)


def test_equal_documents_may_stand_for_each_other():
    double = Planned("document", np.array([2] * 4), np.array([7, 8, 7, 8], np.uint64), None, lambda: np.arange(8))
    audits = [np.array([(step, 0, 0, 2, digest) for step, digest in enumerate(read)], ROWS)
              for read in ([7, 8, 7, 8], [7, 7, 8, 8])]  # fmt: skip
    right, wrong = (compare(Read(rows, np.zeros(4, int), [0], 4), double, 1) for rows in audits)
    assert right.kind == ""
    assert wrong.step == 1


def test_another_export_or_tokenizer_is_an_error_with_the_cure():
    other = [ids + 50 for ids in DOCUMENTS]
    with pytest.raises(DataError, match=r"24 of 24 sequences from step 0 on are not in the export.*--tokenizer"):
        compare(read(alone(other)), PLAN, 1)


@given(st.permutations(ORDER), st.integers(1, 6))
def test_any_order_but_the_planned_one_departs_unless_only_inside_steps(order, size):
    finding = compare(read(alone(list(order), size)), PLAN, 1)
    blocks = [sorted(order[first : first + size]) for first in range(0, 24, size)]
    assert (finding.kind == "") == ([place for block in blocks for place in block] == ORDER)


@given(st.lists(st.integers(0, 2**31), min_size=1, max_size=50), st.data())
def test_digests_join_and_cut(ids, data):
    start = data.draw(st.integers(0, len(ids)))
    stop = data.draw(st.integers(start, len(ids)))
    stretches = Stretches(np.array(ids))
    found = stretches.digests(np.array([start]), np.array([stop]))
    assert int(found[0]) == digest_of(np.array(ids[start:stop], np.int64))
    joined = digest_of(np.array(ids[:start])) + int(powers(start + 1)[start]) * digest_of(np.array(ids[start:]))
    assert joined % 2**64 == digest_of(np.array(ids))


@given(st.lists(st.integers(0, 12), max_size=8), st.integers(1, 7), st.booleans())
def test_a_stream_is_cut_the_same_in_whatever_pieces_it_is_read(sizes, context, needs_next):
    stream = np.arange(sum(sizes)) % 17
    pieces = np.split(stream, np.cumsum(sizes)[:-1]) if sizes else []
    plan = windows(pieces, context, lambda: stream, needs_next=needs_next)
    last = len(stream) - needs_next  # the last token is only a label
    cut = [stream[first : first + context] for first in range(0, last - context + 1, context)]
    assert plan.digests.tolist() == [digest_of(ids) for ids in cut]
    rest = stream[len(cut) * context : max(last, 0)]
    assert plan.rest == (digest_of(rest) if len(rest) else None)
