"""The questions on the Python topics hold in this interpreter, and are paraphrases."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pytest

import grader.checks.lab_07

FILE = Path(grader.checks.lab_07.__file__).with_name("topic_questions.toml")
QUESTIONS: list[dict[str, Any]] = tomllib.loads(FILE.read_text(encoding="utf-8"))["question"]
TEXTS = {key: " ".join(text.split()) for key, text in topics.items()}

# Words that any two English sentences share; what is left is what a search by words can go by.
FUNCTION_WORDS = frozenset(
    """a about after again all also an and any are as at be been before but by can cannot could did do does each else
    for from get had has have how i if in into is it its just may me might more most must my no not of off on one only
    or other our out over own same shall should so some such than that the their them then there these they this those
    to too up us was we were what when where which while who whose why will with would you your""".split()  # noqa: SIM905  a block of words is read, forty lines of quotes are not
)


def test_at_least_sixty_questions_on_forty_five_topics_hold_in_this_interpreter() -> None:
    held = [question for question in QUESTIONS if question["gold"] in TEXTS.get(question["topic"], "")]

    assert len(held) >= 60
    assert len({question["topic"] for question in held}) >= 45


def test_a_gold_sentence_stands_once_in_its_topic_and_in_no_other() -> None:
    for question in QUESTIONS:
        gold = question["gold"]
        counts = {key: text.count(gold) for key, text in TEXTS.items() if gold in text}
        # A later Python may have rewritten the sentence; the test above bounds how many are lost.
        assert counts in ({}, {question["topic"]: 1}), question["ask"]


def test_a_gold_sentence_stands_in_one_paragraph() -> None:
    for question in QUESTIONS:
        gold, topic = question["gold"], question["topic"]
        if gold in TEXTS.get(topic, ""):
            paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", topics[topic])]
            assert any(gold in paragraph for paragraph in paragraphs), question["ask"]


def test_a_gold_sentence_is_written_with_single_spaces_and_is_of_fair_length() -> None:
    for question in QUESTIONS:
        gold = question["gold"]
        assert gold == " ".join(gold.split())
        assert 40 <= len(gold) <= 200, gold


def test_a_question_has_an_ask_a_topic_and_a_gold_sentence_and_nothing_else() -> None:
    for question in QUESTIONS:
        assert question.keys() == {"ask", "topic", "gold"}


def test_no_question_is_asked_twice_and_no_sentence_answers_two() -> None:
    for field in ("ask", "gold"):
        repeated = [value for value, count in Counter(question[field] for question in QUESTIONS).items() if count > 1]
        assert repeated == []


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question["ask"])
def test_a_question_is_a_paraphrase_of_its_gold_sentence(question: dict[str, Any]) -> None:
    ask = _content_words(question["ask"])

    assert ask, "a question needs a word that says what it is about"
    assert len(ask & _content_words(question["gold"])) / len(ask) <= 0.6


def test_content_words_are_the_words_that_say_what_a_sentence_is_about() -> None:
    assert _content_words("Why is the Loop's counter kept?") == {"loop", "counter", "kept"}


def _content_words(sentence: str) -> set[str]:
    return set(re.findall(r"[a-z_]{2,}", sentence.lower())) - FUNCTION_WORDS
