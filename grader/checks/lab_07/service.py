"""Speaks to the learner's service in the words of the brief, and gathers what each request made it send."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from grader.checking import CHAT_WIRES, Mismatch, Request, Response, Stage, expect

from .expectations import answered
from .handbook import Document, normalised
from .passages import Prompt, read_prompt
from .reader import Reader

THREADS = 4


@dataclass(frozen=True)
class Inquiry:
    """A question to be asked, and by whom."""

    tenant: str
    ask: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """An answered question.

    Attributes:
        prompts: what was sent to the model for it, in order.
        embedded: requests for embeddings that arrived meanwhile (of other questions too, where several are asked).
    """

    inquiry: Inquiry
    response: Response
    prompts: tuple[Prompt, ...]
    embedded: tuple[Request, ...]

    @property
    def body(self) -> dict[str, Any]:
        """The JSON body of a 200, of the shape that the brief promises."""
        return answered(self.response)

    @property
    def prompt(self) -> Prompt:
        """What was sent to the model last.

        Raises:
            Mismatch: the model was not called.
        """
        if not self.prompts:
            raise Mismatch(
                "the model was not asked",
                expected="a request with passages",
                observed=f"no chat request; the service answered {self.response.status} {self.response.text[:300]!r}",
                hint="The tenant has documents that fit. Does a LIMIT in front of the filter cut them off? Or are they "
                "not searchable yet when the PUT is answered?",
            )
        prompt = self.prompts[-1]
        if "<passage" in prompt.request.text and not prompt.passages:
            raise Mismatch(
                "the model could not read a single passage of the prompt",
                expected='<passage id="1">text</passage>, in user messages',
                observed=prompt.request.text[prompt.request.text.index("<passage") :][:300],
                hint="Look at the attributes: a quote in a title ends it, unless it is escaped.",
            )
        return prompt

    def holds(self, gold: str) -> bool:
        """Whether a passage that was sent holds the sentence, white space aside."""
        wanted = normalised(gold)
        return any(wanted in normalised(text) for prompt in self.prompts for text in prompt.texts)


class Service:
    """The learner's program on one stage, with the reader that plays its model."""

    def __init__(self, stage: Stage, reader: Reader) -> None:
        self.stage = stage
        self.reader = reader
        stage.model.respond(reader)

    # --- documents --------------------------------------------------------------------------------------------------

    def put(self, tenant: str, document_id: str, *, title: str, text: str, collection: str | None = None) -> Response:
        """PUT one document."""
        body = {"title": title, "text": text} | ({} if collection is None else {"collection": collection})
        return self.stage.program.put(f"/documents/{document_id}", json=body, headers={"X-Tenant": tenant}, seconds=20)

    def store(self, tenant: str, document: Document) -> Response:
        """PUT one document as it is."""
        return self.put(
            tenant, document.document_id, title=document.title, text=document.text, collection=document.collection
        )

    def keep(self, tenant: str, *documents: Document) -> None:
        """PUT documents that have to be stored.

        Raises:
            Mismatch: one was not.
        """
        with ThreadPoolExecutor(THREADS) as pool:
            for document, response in zip(
                documents, pool.map(lambda document: self.store(tenant, document), documents), strict=True
            ):
                expect(
                    response.status in (200, 201),
                    f"PUT /documents/{document.document_id} of {len(document.text):,} characters was not accepted",
                    expected="201 (new) or 200 (updated or unchanged)",
                    observed=f"{response.status} {response.text[:300]}",
                )

    def delete(self, tenant: str, document_id: str) -> Response:
        """DELETE one document."""
        return self.stage.program.delete(f"/documents/{document_id}", headers={"X-Tenant": tenant})

    # --- questions --------------------------------------------------------------------------------------------------

    def ask(self, tenant: str, ask: str, **options: Any) -> Asked:
        """Ask one question while nothing else is asked."""
        mark = self.stage.model.journal.mark()
        inquiry = Inquiry(tenant, ask, options)
        response = self._post(inquiry)
        return Asked(inquiry, response, self.prompts(mark), self.embeddings(mark))

    def ask_all(self, inquiries: Sequence[Inquiry]) -> list[Asked]:
        """Ask many questions, several at a time; no two of them with the same words."""
        self.know(inquiry.ask for inquiry in inquiries)
        mark = self.stage.model.journal.mark()
        with ThreadPoolExecutor(THREADS) as pool:
            responses = list(pool.map(self._post, inquiries))
        embedded = self.embeddings(mark)
        sent: dict[str | None, list[Prompt]] = {}
        for prompt in self.prompts(mark):
            sent.setdefault(self.reader.question_in(prompt), []).append(prompt)
        return [
            Asked(inquiry, response, tuple(sent.get(inquiry.ask, ())), embedded)
            for inquiry, response in zip(inquiries, responses, strict=True)
        ]

    def know(self, asks: Iterable[str]) -> None:
        """Make the reader recognise questions to which it knows no answer."""
        for ask in asks:
            self.reader.teach(ask)

    def prompts(self, mark: int) -> tuple[Prompt, ...]:
        """What was sent to the model since the mark, on whichever wire."""
        requests = self.stage.model.journal.requests(mark)
        return tuple(read_prompt(request) for request in requests if request.wire in CHAT_WIRES)

    def embeddings(self, mark: int) -> tuple[Request, ...]:
        """Requests for embeddings since the mark."""
        return self.stage.model.journal.requests(mark, "openai-embeddings")

    def upstream(self, mark: int) -> tuple[Request, ...]:
        """All that was sent upstream since the mark."""
        return self.stage.model.journal.requests(mark)

    def _post(self, inquiry: Inquiry) -> Response:
        return self.stage.program.post(
            "/ask", json={"question": inquiry.ask, **inquiry.options}, headers={"X-Tenant": inquiry.tenant}, seconds=9
        )


class InBackground:
    """A request that runs while the check does something else; `result()` waits for it."""

    def __init__(self, action: Any) -> None:
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(action,), daemon=True)
        self._thread.start()

    def result(self) -> Response:
        """Its response, or the exception that it ended with."""
        self._thread.join()
        if self._error:
            raise self._error
        assert isinstance(self._result, Response)
        return self._result

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def forget(self) -> None:
        """Wait until it has ended, however that was: its program was killed."""
        self._thread.join()

    def _run(self, action: Any) -> None:
        try:
            self._result = action()
        except BaseException as error:  # noqa: BLE001 - raised again in the check's own thread
            self._error = error


def fresh_tenant(rng: random.Random, company: str = "tenant") -> str:
    """A tenant that no other check uses, with a name of any shape that the brief allows."""
    name = f"{rng.getrandbits(40):010x}"
    return rng.choice((f"{company}-{name}", name, f"0{name}", f"{company}{name}", f"{name}--{company}", f"{name}-"))


def chat_about(ask: str) -> Callable[[Request], bool]:
    """Matches requests to the model that ask this."""
    return lambda request: request.wire in CHAT_WIRES and ask in request.text


def embedding_of(words: str) -> Callable[[Request], bool]:
    """Matches requests for embeddings with an input that holds these words."""
    return lambda request: request.wire == "openai-embeddings" and any(words in text for text in request.inputs)
