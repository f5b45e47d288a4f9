"""Puts six documents into your running service, asks six questions, and shows what came back.

It needs a service that is up, with a database, a model and embeddings behind it: yours, a local one, or a provider's.

    python labs/lab-07-rag-service/examples/try_it.py --url http://127.0.0.1:8000

It judges nothing but what can be seen from outside: whether a source holds the sentence that answers the question.
`grader check lab-07` brings its own model and sees what you send.
"""

from __future__ import annotations

import argparse
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def send(url: str, method: str, path: str, tenant: str, body: dict[str, Any]) -> tuple[int, Any]:
    """One request; the status and the JSON body."""
    request = urllib.request.Request(
        url.rstrip("/") + path,
        method=method,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "X-Tenant": tenant},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode("utf-8", "replace")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where your service listens")
    parser.add_argument("--twice", action="store_true", help="store everything twice: the second time says unchanged")
    arguments = parser.parse_args()

    for _ in range(2 if arguments.twice else 1):
        for document in json.loads((HERE / "documents.json").read_text("utf-8")):
            tenant, document_id = document.pop("tenant"), document.pop("document_id")
            status, body = send(arguments.url, "PUT", f"/documents/{document_id}", tenant, document)
            print(f"{status} {tenant}/{document_id}: {body}")

    found = 0
    questions = json.loads((HERE / "questions.json").read_text("utf-8"))
    for question in questions:
        status, body = send(arguments.url, "POST", "/ask", question["tenant"], {"question": question["ask"]})
        print(f"\n{question['tenant']}: {question['ask']}")
        if status != 200:
            print(f"  {status} {body}")
            continue
        sources = [" ".join(source["text"].split()) for source in body["sources"]]
        holds = any(question["gold"] in source for source in sources) if question["gold"] else body["abstained"]
        found += holds
        print(f"  answer: {body['answer']}")
        for citation in body["citations"]:
            print(f"  [{citation['passage_id']}] {citation['document_id']}: {citation['quote']}")
        verdict = "as it should be" if holds else f"NOT as it should be: {question['gold']}"
        print(f"  {len(sources)} sources; {verdict}")
    print(f"\n{found} of {len(questions)}")
    return 0 if found == len(questions) else 1


if __name__ == "__main__":
    raise SystemExit(main())
