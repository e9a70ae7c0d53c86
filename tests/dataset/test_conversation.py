"""Conversations in every published form become turns, and what is left out is counted by reason."""

import pytest

from delt_exp.dataset.base import Document, Part
from delt_exp.dataset.conversation import Conversation
from delt_exp.dataset.records import record_template
from delt_exp.errors import DataError
from tests.helpers import make_corpus

TWO = (Part("user", "Why?"), Part("assistant", "So."))
FOUR = (*TWO, Part("user", "And?"), Part("assistant", "Thus."))


def read(value, **record):
    return Conversation("m", "{a}", "{q}" if record else None).render({"m": value, **record}, "f:1", "s")


def said(*turns):
    return [{"role": role, "content": content} for role, content in turns]


@pytest.mark.parametrize(
    ("value", "turns"),
    [
        (said(("user", "Why?"), ("assistant", "So.")), TWO),
        (said(("user", [{"type": "text", "text": "Wh"}, {"type": "text", "text": "y?"}]), ("assistant", "So.")), TWO),
        ([{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}], TWO),
        (["Why?", "So.", "And?", "Thus."], FOUR),
        ([["Why?", "So."], ["And?", "Thus."]], FOUR),
        ("\n\nHuman: Why?\n\nAssistant: So.\n\nHuman: And?\n\nAssistant: Thus.", FOUR),
        (said(("system", "Be."), ("user", "Why?"), ("tool", "1"), ("assistant", "So.")),
         (Part("system", "Be."), TWO[0], Part("tool", "1"), TWO[1])),
    ],
)  # fmt: skip
def test_every_form_gives_all_turns(value, turns):
    assert read(value) == Document(source="s", turns=turns)


def test_a_history_comes_before_the_last_question_and_answer():
    assert read([["Why?", "So."]], q="And?", a="Thus.").turns == FOUR
    assert read([], q="Why?", a="So.").turns == TWO


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (said(("user", "Why?")), "without an assistant turn"),
        ([], "without an assistant turn"),
        (said(("user", "Why?"), ("narrator", "So.")), "an unknown role"),
        (said(("user", " "), ("assistant", "So.")), "an empty turn"),
        ([{"role": "assistant", "content": None, "tool_calls": [{}]}], "tool calls"),
        ([{"from": "function_call", "value": "{}"}], "tool calls"),
        (said(("user", [{"type": "image"}]), ("assistant", "So.")), "content other than text"),
    ],
)
def test_a_conversation_that_cannot_be_used_says_why(value, reason):
    document = read(value)
    assert document.turns == ()
    assert len(document.left_out) == 1
    assert reason in document.left_out[0]


def test_only_what_is_useless_is_cut_from_a_good_one():
    document = read(said(("system", ""), ("user", "Why?"), ("assistant", "So."), ("user", "And?")))
    assert document.turns == TWO
    assert document.left_out == ("empty system turns", "turns after the last answer")


def test_the_corpus_counts_what_is_left_out_and_gives_every_turn_back(tmp_path):
    documents = [read(said(("user", "Why?"))), read(["Why?", "So."]), read(["Why?", "So.", "And?", "Thus."])]
    corpus = make_corpus(tmp_path, [*documents, "plain", Document("t", "p")], drop_duplicates=True)
    assert [corpus.document(row).turns for row in range(4)] == [TWO, FOUR, (), ()]
    assert corpus.meta["left_out"] == {"conversations without an assistant turn": 1}
    assert (corpus.meta["counts"]["read"], corpus.meta["counts"]["left_out"], corpus.meta["counts"]["empty"]) == (
        5,
        1,
        0,
    )
    assert corpus.text_bytes.tolist() == [3, 8, 5, 1]
    assert corpus.whole_bytes.tolist() == [7, 16, 5, 2]
    assert list(corpus.texts([1, 3])) == ["Why?\n\nSo.\n\nAnd?\n\nThus.", "pt"]


def test_where_a_turn_ends_and_who_speaks_decide_the_id(tmp_path):
    turns = [TWO, (Part("user", "Why?S"), Part("assistant", "o.")), (TWO[0]._replace(role="system"), TWO[1])]
    assert len(set(make_corpus(tmp_path, [Document(turns=t) for t in turns]).ids.tolist())) == 3


@pytest.mark.parametrize("value", [3, "no transcript", [1, 2], {"role": "user"}])
def test_a_field_that_is_no_conversation_is_an_error_with_its_place(value):
    with pytest.raises(DataError, match=r"f:1.*not a conversation"):
        read(value)


@pytest.mark.parametrize("mark", [{"weight": 0}, {"train": False}])
def test_turns_that_are_not_to_be_learnt_are_not_learnt_in_silence(mark):
    said = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", **mark}]
    document = record_template("{text}", None, "messages").render({"messages": said}, "f:1", "mine")
    assert document.turns == ()
    assert document.left_out == ("conversations with turns that are not to be learnt (weight 0, train false)",)


def test_half_a_character_is_an_error_with_its_place():
    with pytest.raises(DataError, match=r"f:1: .*half a character"):
        read(said(("user", "Why?"), ("assistant", "ok \ud83d")))
