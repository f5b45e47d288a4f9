"""What the brief promises about every answer, error and source, as expectations that name the likely mistake."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from grader.checking import Mismatch, Response, expect, expect_equal

from .handbook import Document, normalised
from .passages import Prompt
from .reader import NOT_FORCED, UNASKED

if TYPE_CHECKING:
    from .service import Asked


def answered(response: Response) -> dict[str, Any]:
    """The body of an answered question, of the shape that the brief promises."""
    expect(
        response.status == 200,
        "POST /ask was not answered with 200",
        expected="200 with an answer or an abstention",
        observed=f"{response.status} {response.text[:400]}",
        hint="What the model replied stands in `grader wire lab-07`. "
        f'It replies "{NOT_FORCED}" or "{UNASKED}" when your request is not as the brief says.',
    )
    body: dict[str, Any] = response.json()
    expect(isinstance(body, dict), "the answer to POST /ask is not a JSON object", observed=body)
    for field, kinds in {"answer": (str, type(None)), "abstained": (bool,), "citations": (list,)}.items():
        expect(
            field in body and isinstance(body[field], kinds),
            f"the answer to POST /ask has no `{field}` of the promised type",
            expected=" or ".join(kind.__name__ for kind in kinds),
            observed=body,
        )
    expect(
        body["abstained"] == (body["answer"] is None),
        "`abstained` and `answer` contradict each other",
        expected="abstained is true exactly when answer is null",
        observed=body,
    )
    return body


def expect_abstained(asked: Asked, why: str) -> None:
    """200 with `answer` null, `abstained` true and no citations."""
    body = asked.body
    observed = {key: body[key] for key in ("answer", "abstained", "citations")}
    expect_equal(
        observed,
        {"answer": None, "abstained": True, "citations": []},
        f"the answer to a question {why}",
        hint="An answer without one citation that holds is not an answer.",
    )


def expect_error(response: Response, statuses: Sequence[int], word: str | None, what: str, *, hint: str = "") -> None:
    """An error of the promised status, with a body {"error": "<a word>"}."""
    expect(
        response.status in statuses,
        f"not as promised: the status of {what}",
        expected=" or ".join(map(str, statuses)),
        observed=f"{response.status} {response.text[:300]}",
        hint=hint,
    )
    body = response.json()
    error = body.get("error") if isinstance(body, dict) else None
    expect(
        isinstance(error, str) and error and (word is None or error == word),
        f"{what}: the body does not name the error",
        expected={"error": word or "<a word>"},
        observed=body,
        hint='Errors have the body {"error": "<a word>"}: frameworks send their own shape for validation errors.',
    )


def expect_sent_from(prompt: Prompt, documents: Iterable[Document], whose: str) -> None:
    """Each passage that was sent is a slice of one of these documents."""
    texts = [normalised(document.text) for document in documents]
    for passage in prompt.passages:
        inside = normalised(passage.text)
        if not any(inside in text for text in texts):
            raise Mismatch(
                f"a passage was sent that is no verbatim slice of any document of {whose}",
                expected="the text of a chunk and nothing else: titles and headings go in attributes",
                observed=passage.text,
                hint="Is another tenant's chunk there, or context glued to the text, or an entity decoded twice?",
            )


def expect_sources(asked: Asked, documents: list[Document]) -> None:
    """`sources` are the passages of the prompt in their order, each a verbatim slice of the document that it names."""
    sources = asked.body.get("sources")
    expect(
        isinstance(sources, list) and all(isinstance(source, dict) for source in sources),
        "the answer to POST /ask has no list `sources`",
        observed=asked.body,
    )
    assert isinstance(sources, list)
    expect_equal(
        [source.get("passage_id") for source in sources],
        [passage.id for passage in asked.prompt.passages],
        "the passage ids of the sources, compared with the prompt's",
        hint="Most relevant first, in the order sent.",
    )
    texts = {document.document_id: document.text for document in documents}
    for source, passage in zip(sources, asked.prompt.passages, strict=True):
        text = str(source.get("text"))
        expect(
            text.strip() == passage.text.strip(),
            "a source is not the passage that was sent under its id",
            expected=passage.text,
            observed=text,
            hint="Escape for the prompt only: sources hold the text as it was stored.",
        )
        expect(
            text and text in texts.get(str(source.get("document_id")), ""),
            "a source is no verbatim slice of the document that it names",
            expected="a slice, white space and all",
            observed=source,
        )
