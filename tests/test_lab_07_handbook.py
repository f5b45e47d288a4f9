"""The generated handbooks: every labelled answer stands where it should, and nothing repeats from run to run."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from grader.checks.lab_07.handbook import COMPANIES, Handbook, normalised, write_handbook

SEEDS = (1, 2, 3)


@pytest.fixture(scope="module", params=SEEDS)
def handbook(request: pytest.FixtureRequest) -> Handbook:
    return write_handbook(random.Random(request.param))


def test_there_are_over_eighty_documents(handbook: Handbook) -> None:
    assert len(handbook.documents) > 80
    assert all(len(handbook.of(company)) >= 25 for company in COMPANIES)


def test_ids_are_unique_within_a_tenant(handbook: Handbook) -> None:
    names = [(document.tenant, document.document_id) for document in handbook.documents]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,80}", name) for _, name in names)


def test_some_ids_are_shared_by_all_tenants(handbook: Handbook) -> None:
    shared = set.intersection(*({document.document_id for document in handbook.of(company)} for company in COMPANIES))
    assert {"claims", "faq", "leave-policy"} <= shared


def test_every_gold_stands_in_its_document(handbook: Handbook) -> None:
    texts = {(document.tenant, document.document_id): normalised(document.text) for document in handbook.documents}
    assert [q for q in handbook.questions if q.gold not in texts[q.tenant, q.document_id]] == []


def test_every_gold_stands_in_one_document_of_its_tenant(handbook: Handbook) -> None:
    for company in COMPANIES:
        golds = Counter(question.gold for question in handbook.asked(company))
        texts = [normalised(document.text) for document in handbook.of(company)]
        for gold in golds:
            assert sum(gold in text for text in texts) == 1, gold


def test_no_question_is_asked_twice_of_a_tenant(handbook: Handbook) -> None:
    for company in COMPANIES:
        asks = [question.ask for question in handbook.asked(company)]
        assert len(asks) == len(set(asks))


def test_depot_rules_never_name_their_depot(handbook: Handbook) -> None:
    depots = [document for document in handbook.documents if document.collection == "depots"]
    assert len(depots) == 50
    assert [d.title for d in depots if d.document_id.removeprefix("depot-") in d.text.lower()] == []


def test_identifiers_have_siblings_with_the_same_digits(handbook: Handbook) -> None:
    codes = {found for q in handbook.asked("harbor", "identifier") for found in re.findall(r"MFX-\d{4}-[A-F]", q.ask)}
    assert len(codes) == 144
    assert len({"".join(sorted(code[4:8])) for code in codes}) == 1


def test_every_document_has_its_own_canary(handbook: Handbook) -> None:
    canaries = [document.canary for document in handbook.documents]
    assert len(canaries) == len(set(canaries))
    assert all(document.canary in document.text for document in handbook.documents)


def test_notices_are_short_enough_for_one_chunk(handbook: Handbook) -> None:
    assert all(len(document.text) <= 400 for document in handbook.documents if document.collection == "notices")


def test_limits_of_the_brief_are_kept(handbook: Handbook) -> None:
    for document in handbook.documents:
        assert 1 <= len(document.title) <= 200
        assert len(document.text) <= 200_000
        assert len(document.collection) <= 80
        assert "{" not in document.text
        assert "[[" not in document.text


def test_another_seed_gives_other_facts() -> None:
    golds = [{question.gold for question in write_handbook(random.Random(seed)).questions} for seed in SEEDS]
    assert len(golds[0] & golds[1]) < len(golds[0]) / 5


def test_the_same_seed_gives_the_same_handbook() -> None:
    assert write_handbook(random.Random(7)) == write_handbook(random.Random(7))
