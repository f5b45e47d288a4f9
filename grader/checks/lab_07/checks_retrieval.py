"""Task retrieval: measured on what is sent to the model."""

from __future__ import annotations

import random
from collections.abc import Sequence

from grader.checking import Mismatch, check, expect, expect_equal, note

from . import topics
from .corpus import COLLECTION, Corpus
from .drafts import Drafts
from .expectations import expect_abstained, expect_sent_from
from .handbook import Question
from .service import Asked, Inquiry, Service, fresh_tenant

SHARE = 0.9
# How much better than BM25 over paragraphs (0.25), as a share of all questions. Measured on Python 3.11: dense search
# over paragraphs 0.35, hybrids 0.39 (chunks of 400 characters) to 0.54 (1,200), words alone with ts_rank_cd 0.32.
MARGIN = 0.12
DEFAULT_K, DEFAULT_BUDGET = 8, 3000


@check(task="retrieval", after=("ingests_the_corpus",), seconds=40)
def finds_what_bm25_finds_and_more(service: Service, corpus: Corpus, rng: random.Random) -> None:
    """On paraphrased questions about the Python topics you find more than a BM25 search over paragraphs."""
    questions = list(topics.questions())  # all of them: a sample would add its own luck to the comparison
    rng.shuffle(questions)
    asked = _ask(service, corpus.python, questions)
    for answer in asked[:8]:
        expect_sent_from(answer.prompt, corpus.documents(corpus.python), "the Python topics")
    search = topics.ParagraphSearch()
    baseline = [search.found(q, passages=DEFAULT_K, characters=DEFAULT_BUDGET * 4) for q in questions]
    yours = _share(asked, questions)
    theirs = sum(baseline) / len(questions)
    note(f"recall {yours:.2f}, BM25 over paragraphs {theirs:.2f}, {len(questions)} questions, margin {MARGIN:.2f}")
    missed = [
        q.ask for q, answer, found in zip(questions, asked, baseline, strict=True) if found and not answer.holds(q.gold)
    ]
    expect(
        yours >= theirs + MARGIN,
        "your search finds too little of the Python topics",
        expected=f"at least {theirs + MARGIN:.2f} (BM25 {theirs:.2f} and a margin of {MARGIN:.2f})",
        observed=f"{yours:.2f}; BM25 finds and you do not: {missed[:3]}",
        hint="Use the room: chunks that are longer than a paragraph, dense and lexical search together.",
    )


@check(task="retrieval", after=("stores_a_new_document",), seconds=20)
def finds_by_meaning_alone(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """A question that shares no word with a passage finds it when their embeddings are near, after a kill -9 too."""
    tenant, notes = fresh_tenant(rng), drafts.notes(12)
    mark = service.stage.model.journal.mark()
    service.keep(tenant, *(note_.document for note_ in notes))
    inputs = [text for call in service.embeddings(mark) for text in call.inputs]
    for number, note_ in enumerate(rng.sample(notes, 4)):
        if number == 2:
            service.stage.restart(kill=True)
        embedded = next((text for text in inputs if note_.document.canary in text), None)
        if embedded is None:
            raise Mismatch(
                "a document was stored without its text being embedded",
                expected=f"an input of POST /v1/embeddings that holds {note_.gold!r}",
                observed=inputs[:3],
            )
        word = "".join(rng.choices("bdfgklmnprstvwz", k=9))
        service.reader.teach(f"{word}?")
        with service.stage.model.embed_like(word, embedded):
            asked = service.ask(tenant, f"{word}?", k=2)
        expect(
            asked.holds(note_.gold),
            "the passage with the very same embedding as the question is not among the first two",
            expected=note_.gold,
            observed=asked.prompts and asked.prompt.texts,
            hint="Is the question's vector compared with the stored ones at all, by cosine, nearest first? Are the "
            "vectors that you store the ones that you were given for these chunks?",
        )


@check(task="retrieval", after=("ingests_the_corpus",), seconds=20)
def finds_exact_identifiers(service: Service, corpus: Corpus, rng: random.Random) -> None:
    """Questions that hold an exact identifier find it among its siblings: at least 9 of 10."""
    questions = corpus.questions("harbor", "identifier", sample=25, rng=rng)
    questions += corpus.questions("northline", "identifier", sample=25, rng=rng)
    _expect_share(
        service,
        questions,
        "questions with an exact identifier",
        hint="Dense search knows what a code looks like, not which one it is. With a lexical leg: look what "
        "to_tsvector makes of 'MFX-4471-B' and 'HS 8507.60'; codes may need a column and a weight of their own.",
    )


@check(task="retrieval", after=("ingests_the_corpus",), seconds=20)
def finds_passages_that_do_not_name_their_subject(service: Service, corpus: Corpus, rng: random.Random) -> None:
    """Questions whose passage does not name its depot, year or country find it: at least 9 of 10."""
    questions = corpus.questions("harbor", "decontextualised", sample=26, rng=rng)
    questions += corpus.questions("northline", "decontextualised", sample=8, rng=rng)
    questions += corpus.questions("vesta", "edition", "heading", sample=8, rng=rng)
    _expect_share(
        service,
        questions,
        "questions whose passage does not name its subject",
        hint="Embed and index each chunk with its context: the document's title and the heading above it.",
    )


@check(task="retrieval", after=("ingests_the_corpus",), seconds=20)
def fills_k_in_a_small_collection(service: Service, corpus: Corpus, rng: random.Random) -> None:
    """With a collection that holds about one chunk in a hundred you still send exactly k."""
    bulletins = {note_.document.text for note_ in corpus.bulletins}
    # Many: an approximate index is another one in every run, and drops rows for some questions only.
    asked = [q.ask for q in rng.sample(topics.questions(), 24)]
    for k in (DEFAULT_K, 5):
        inquiries = [Inquiry(corpus.python, ask, {"collection": COLLECTION, "k": k}) for ask in asked]
        for answer in service.ask_all(inquiries):
            texts = answer.prompt.texts
            expect(set(texts) <= bulletins, "a passage is not of the collection that was asked for", observed=texts[:2])
            expect_equal(
                len(texts),
                k,
                f"the number of passages for k={k} of a collection that has {len(bulletins)}",
                hint="A filter behind the LIMIT (or behind an HNSW scan of ef_search rows) leaves too few: "
                "filter first, hnsw.iterative_scan = relaxed_order (strict_order drops rows that come out of order), "
                "or no index for small sets.",
            )
    for note_ in corpus.bulletins[:2]:
        service.reader.teach(note_.ask, note_.gold)
        answer = service.ask(corpus.python, note_.ask, collection=COLLECTION, k=3)
        expect(
            answer.holds(note_.gold),
            "the passage that answers is not among the first three of its collection",
            expected=note_.gold,
            observed=answer.prompt.texts,
        )


@check(task="retrieval", after=("stores_a_new_document",), seconds=20)
def sends_exactly_k(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """As many passages as k says are sent, each once, the right one among them; all there are when there are fewer."""
    tenant, notes = fresh_tenant(rng), drafts.notes(23)
    service.keep(tenant, *(note_.document for note_ in notes))
    wanted = notes[7]
    service.reader.teach(wanted.ask, wanted.gold)
    for k in (1, 3, 20, None):
        answer = service.ask(tenant, wanted.ask, max_prompt_tokens=8000, **({} if k is None else {"k": k}))
        texts = answer.prompt.texts
        expect_equal(len(texts), k or DEFAULT_K, f"the number of passages for k={k} of 23 that fit")
        expect_equal(len(set(texts)), len(texts), "the number of different passages")
        expect(
            answer.holds(wanted.gold) or k == 1,
            f"the right passage is not among {k}",
            expected=wanted.gold,
            observed=texts[:2],
        )
        ids = [passage.id for passage in answer.prompt.passages]
        expect_equal(len(set(ids)), len(ids), "the number of different passage ids")
    few = fresh_tenant(rng)
    service.keep(few, *(note_.document for note_ in notes[:3]))
    answer = service.ask(few, wanted.ask, k=20)
    expect_equal(len(answer.prompt.passages), 3, "the number of passages of a tenant that has three")
    stranger = service.ask(tenant, wanted.ask, collection="no-such-collection")
    expect_abstained(stranger, "in a collection that is empty")
    expect_equal(len(stranger.prompts), 0, "the number of model calls for an empty collection")


def _ask(service: Service, tenant: str, questions: Sequence[Question]) -> list[Asked]:
    service.reader.learn(questions)
    return service.ask_all([Inquiry(question.tenant or tenant, question.ask, {}) for question in questions])


def _share(asked: Sequence[Asked], questions: Sequence[Question]) -> float:
    for answer in asked:
        sent = len(answer.prompt.passages)
        expect(sent <= DEFAULT_K, "more passages were sent than k", expected=f"at most {DEFAULT_K}", observed=sent)
        tokens = answer.prompt.request.tokens
        expect(
            tokens <= DEFAULT_BUDGET,
            "a prompt is over its budget",
            expected=f"{DEFAULT_BUDGET} tokens",
            observed=tokens,
        )
    return sum(answer.holds(q.gold) for answer, q in zip(asked, questions, strict=True)) / len(questions)


def _expect_share(service: Service, questions: Sequence[Question], what: str, *, hint: str) -> None:
    asked = _ask(service, "", questions)
    share = _share(asked, questions)
    note(f"found {share:.2f} of {len(questions)} {what}")
    missed = [q.ask for q, answer in zip(questions, asked, strict=True) if not answer.holds(q.gold)]
    expect(
        share >= SHARE,
        f"too few of the {what} find their passage",
        expected=f"at least {SHARE:.2f}",
        observed=f"{share:.2f} of {len(questions)}; not found: {missed[:3]}",
        hint=hint,
    )
