"""KenLM perplexities against sums of log10 probabilities worked by hand from the bigram model in tests/helpers.py."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delt_exp.config.build import build
from delt_exp.dataset.base import Document
from delt_exp.errors import ConfigError, DataError, DependencyError
from delt_exp.mapping import shards
from delt_exp.scorer.kenlm import KenlmScorer
from delt_exp.scorer.kenlm_text import CcNetText
from tests.helpers import BIGRAM_ARPA, make_pool, words, write_arpa

pytest.importorskip("kenlm", reason="the extra kenlm is not installed")

PLAIN = {"lower_case": False, "strip_accents": False, "zero_digits": True, "compat": None, "sentencepiece_path": None}


def contract_overrides(folder):
    return [f"scorer.model_path={write_arpa(folder)}"]


@pytest.fixture(scope="module")
def arpa(tmp_path_factory):
    return str(write_arpa(tmp_path_factory.mktemp("arpa")))


@pytest.fixture
def score(arpa, tmp_path):
    def score(*texts, **settings):
        scorer = KenlmScorer(**{**PLAIN, "model_path": arpa, **settings})
        return scorer.score(make_pool(tmp_path, texts)).tolist()

    return score


# (text, log10 probabilities in order, length): back-offs are added where a bigram is not in the model.
KNOWN = {
    "every bigram is in the model": ("a b", [-0.4, -0.25, -0.1], 3),
    "back-off from <s>, b and a": ("b a", [-0.5 - 0.8, -0.2 - 0.6, -0.3 - 0.7], 3),
    "an unknown word has no back-off of its own": ("b z", [-0.5 - 0.8, -0.2 - 1.0, -0.7], 3),
    "two lines are two sentences": ("a b\nb a", [-0.75, -3.1], 6),
    "blank lines and line ends do not count": ("\n a b \r\n\n \t\nb a\n", [-0.75, -3.1], 6),
    "nothing left is one empty sentence": ("\x01\u200a\x02", [-0.5 - 0.7], 1),
    "sentence marks in a text are unknown words": ("<s> a", [-0.5 - 1.0, -0.6, -0.3 - 0.7], 3),
    "a no-break space separates words": ("a\u00a0b", [-0.4, -0.25, -0.1], 3),
}


@pytest.mark.parametrize("case", KNOWN)
def test_the_perplexity_is_the_one_worked_by_hand(score, case):
    text, log10_p, length = KNOWN[case]
    assert score(text) == pytest.approx([10 ** (-sum(log10_p) / length)], rel=1e-6)


@pytest.mark.parametrize("line", ["a b", "b a", "a a z b"])
def test_identical_lines_have_the_perplexity_of_one(score, line):
    once, joined, ended = score(line, "\n".join([line] * 5), f"{line}\n" * 3)
    assert joined == pytest.approx(once, rel=1e-6)
    assert ended == pytest.approx(once, rel=1e-6)


def test_the_prompt_is_part_of_the_text(score):
    whole, pair = score("a b", Document("b", prompt="a "))
    assert whole == pair


def test_lower_is_better(arpa):
    meaning = KenlmScorer(model_path=arpa, **PLAIN).meaning
    assert (meaning.better, meaning.unit) == ("lower", "per word")


class TestDeltDefects:
    def test_newlines_vanish_and_join_the_words_around_them(self, score):
        # Two sentences of -0.4 -1.0 and -1.3 -0.1 by default; one unknown word "ab" as DELT sees it.
        assert score("a\nb") == pytest.approx([10 ** (2.8 / 4)], rel=1e-6)
        assert score("a\nb", compat="delt") == pytest.approx([round(10 ** ((0.5 + 1.0 + 0.7) / 2), 1)])

    def test_rounding_to_a_tenth_makes_ties(self, score):
        assert score("a b", compat="delt") == pytest.approx([1.8])  # 10 ** 0.25 = 1.778
        texts = ["a b " * 40, "a b " * 41]
        assert len(set(score(*texts))) == 2
        assert len(set(score(*texts, compat="delt"))) == 1

    def test_an_empty_text_is_the_end_of_a_sentence(self, score):
        assert score("\x01", compat="delt") == pytest.approx([15.8])  # 10 ** 1.2 = 15.849

    @pytest.mark.parametrize(("zero_digits", "expected"), [(False, '"'), (True, "0")])
    def test_a_full_width_one_becomes_a_quote_unless_digits_become_zero_first(self, zero_digits, expected):
        assert CcNetText(False, False, zero_digits, delt=True).normalize("１") == expected
        assert CcNetText(False, False, zero_digits, delt=False).normalize("１") == ("0" if zero_digits else "１")


# Written down from the published table, mark by mark.
MARKS = {
    "，": ",", "。": ".", "、": ",", "„": '"', "”": '"', "“": '"', "«": '"', "»": '"', "」": '"', "「": '"',
    "《": '"', "》": '"', "´": "'", "∶": ":", "：": ":", "？": "?", "！": "!", "（": "(", "）": ")", "；": ";",
    "–": "-", "—": " - ", "．": ". ", "～": "~", "’": "'", "…": "...", "━": "-", "〈": "<", "〉": ">", "【": "[",
    "】": "]", "％": "%", "►": "-",
}  # fmt: skip


class TestNormalizer:
    @pytest.mark.parametrize("mark", MARKS)
    def test_a_mark_becomes_ascii(self, mark):
        assert CcNetText(False, False, True, delt=False).normalize(f"x{mark}y") == f"x{MARKS[mark]}y"

    @pytest.mark.parametrize(
        ("settings", "before", "after"),
        [
            ((False, False, True), "  Año 1984, 42% \n", "Año 0000, 00%"),
            ((True, False, True), "Año ÀB", "año àb"),
            ((False, True, True), "Año ÀB", "Ano AB"),
            ((True, True, False), "Crème BRÛLÉE 7", "creme brulee 7"),
            ((False, False, True), "٣ and ３", "0 and 0"),
            ((False, False, False), "a\tb\x00c\x7fd\x85e\x9ff", "abcdef"),
        ],
    )
    def test_each_setting_does_what_it_says(self, settings, before, after):
        assert CcNetText(*settings, delt=False).normalize(before) == after

    @given(st.text())
    def test_no_control_character_and_no_listed_mark_is_left(self, text):
        left = CcNetText(False, False, True, delt=False).normalize(text)
        assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or c in MARKS for c in left)

    @given(st.text())
    def test_there_is_always_a_sentence(self, text):
        sentences = CcNetText(False, False, True, delt=False).sentences(text)
        assert sentences == [""] or all(sentence.strip() for sentence in sentences)
        assert sentences


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    spm = pytest.importorskip("sentencepiece", reason="the extra kenlm is not installed")
    path = tmp_path_factory.mktemp("pieces") / "toy.model"
    with path.open("wb") as file:
        spm.SentencePieceTrainer.train(
            sentence_iterator=iter(["low lower lowest new newer newest wide wider widest"] * 20),
            model_writer=file,
            vocab_size=40,
            hard_vocab_limit=False,
            minloglevel=2,
        )
    return str(path), spm.SentencePieceProcessor(model_file=str(path))


class TestSentencePiece:
    def test_the_length_counts_pieces_and_every_piece_is_looked_up(self, score, pieces):
        path, processor = pieces
        # All pieces are unknown to the model: -1.0 each, after <s> with its back-off, before </s> with -0.7.
        count = len(processor.encode_as_pieces("lowest wider"))
        assert count > 2
        expected = 10 ** ((0.5 + 1.0 * count + 0.7) / (count + 1))
        assert score("lowest wider", sentencepiece_path=path) == pytest.approx([expected], rel=1e-6)

    def test_a_piece_of_the_model_is_found(self, pieces, tmp_path):
        path, processor = pieces
        first = processor.encode_as_pieces("low")[0]
        assert first.startswith("▁")
        # The first piece takes the place of "a": -0.4 after <s>; what follows, if anything, is unknown after it.
        arpa = write_arpa(tmp_path, BIGRAM_ARPA.replace("\ta\t", f"\t{first}\t").replace("<s> a", f"<s> {first}")
                          .replace("a b", f"{first} b").replace("a a", f"{first} {first}"))  # fmt: skip
        scorer = KenlmScorer(**{**PLAIN, "model_path": str(arpa), "sentencepiece_path": path})
        rest = len(processor.encode_as_pieces("low")) - 1
        log10_p = -0.4 - 0.3 - 1.0 * rest - 0.7
        assert scorer.score(make_pool(tmp_path, ["low"])) == pytest.approx(10 ** (-log10_p / (rest + 2)), rel=1e-6)
        assert scorer.meaning.unit == "per SentencePiece piece"

    def test_another_file_is_not_a_sentencepiece_model(self, arpa, tmp_path):
        scorer = KenlmScorer(**{**PLAIN, "model_path": arpa, "sentencepiece_path": arpa})
        with pytest.raises(DataError, match="is not a SentencePiece model"):
            scorer.score(make_pool(tmp_path, ["a"]))


class TestErrors:
    @pytest.mark.parametrize("key", ["model_path", "sentencepiece_path"])
    def test_a_missing_file_is_named_with_its_key_and_a_cure(self, arpa, key):
        with pytest.raises(DependencyError, match=rf"scorer.{key}=/nowhere/en.bin: no such file; .*edugp/kenlm"):
            KenlmScorer(**{**PLAIN, "model_path": arpa, key: "/nowhere/en.bin"})

    @pytest.mark.parametrize("package", ["kenlm", "sentencepiece"])
    def test_a_missing_package_is_named_with_its_pip_command(self, arpa, monkeypatch, package):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(
            DependencyError, match=rf'{package}, which is not installed; run: pip install "delt-exp\[kenlm'
        ):
            KenlmScorer(**{**PLAIN, "model_path": arpa, "sentencepiece_path": arpa})

    def test_the_message_survives_the_way_through_the_configuration(self):
        node = {"_target_": "delt_exp.scorer.kenlm.KenlmScorer", **PLAIN, "model_path": "/nowhere"}
        with pytest.raises(DependencyError, match="no such file"):
            build(node)

    @pytest.mark.parametrize("content", ["", "not an ARPA file\n", BIGRAM_ARPA[: len(BIGRAM_ARPA) // 2]])
    def test_a_file_that_is_no_model_is_named(self, tmp_path, content):
        path = write_arpa(tmp_path, content)
        with pytest.raises(DataError, match=f"{path} is not a model that KenLM can read"):
            KenlmScorer(model_path=str(path), **PLAIN).score(make_pool(tmp_path, ["a"]))

    def test_a_model_without_unknown_words_is_refused_for_a_text_it_cannot_score(self, tmp_path):
        path = write_arpa(tmp_path, BIGRAM_ARPA.replace("ngram 1=5", "ngram 1=4").replace("-1.0\t<unk>\n", ""))
        scorer = KenlmScorer(model_path=str(path), **PLAIN)
        assert scorer.score(make_pool(tmp_path, ["a b"])) == pytest.approx(10**0.25)
        with pytest.raises(DataError, match=r"\(row 1\).*no probability for unknown words"):
            scorer.score(make_pool(tmp_path, ["a b", "z"]))

    @pytest.mark.parametrize(
        ("settings", "key"),
        [
            ({"compat": "cc_net"}, "KenlmScorer.compat=.*delt or null"),
            ({"zero_digits": "no"}, "KenlmScorer.zero_digits="),
        ],
    )
    def test_other_settings_are_refused(self, arpa, settings, key):
        with pytest.raises(ConfigError, match=key):
            KenlmScorer(**{**PLAIN, "model_path": arpa, **settings})


def test_the_fingerprint_follows_the_content_of_the_files(tmp_path):
    def fingerprint(arpa):
        return KenlmScorer(model_path=str(write_arpa(tmp_path, arpa)), **PLAIN).fingerprint()

    assert fingerprint(BIGRAM_ARPA) == fingerprint(BIGRAM_ARPA) != fingerprint(BIGRAM_ARPA.replace("-0.25", "-0.26"))


def test_nothing_is_printed_by_the_library(score, capfd):
    score("a b")
    assert capfd.readouterr() == ("", "")


def test_scores_are_float32(arpa, tmp_path):
    scores = KenlmScorer(model_path=arpa, **PLAIN).score(make_pool(tmp_path, ["a", "b"]))
    assert scores.dtype == np.float32
    assert scores.shape == (2,)


@pytest.mark.slow
def test_several_processes_give_the_same_bits(arpa, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_SIZE", 40)
    monkeypatch.setattr(shards, "SHARD_ITEMS", 4)
    texts = ["a b", "b a\na", "", *words(10), "a " * 50]
    alone, several = (make_pool(tmp_path, texts) for _ in range(2))
    trainer = replace(several.resources.trainer, strategy="ddp", devices=2)
    several = replace(several, resources=replace(several.resources, trainer=trainer))
    found = [KenlmScorer(model_path=arpa, **PLAIN).score(pool) for pool in (alone, several)]
    assert found[0].tobytes() == found[1].tobytes()
    names = [sorted(file.name for file in (pool.work_dir / "shards").glob("shard-*")) for pool in (alone, several)]
    assert names[0] == names[1]
    assert len(names[0]) > 2
