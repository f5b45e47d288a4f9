"""Checks of the second toy lab: a database and a model."""

import random

from grader.checking import Reply, Stage, check, expect, expect_equal


@check(task="ledger")
def finds_what_was_there(stage: Stage, opening_entry: str) -> None:
    """What the ledger held before the program started is in the sum"""
    stage.model.script(Reply("sum"))
    stage.program.post("/sum", json={})
    asked = stage.model.journal.since()
    expect(len(asked) == 1, "the model was not asked once", observed=len(asked))
    expect(
        opening_entry in asked[0].request.text, "the opening entry is not in the prompt", observed=asked[0].request.text
    )


@check(task="ledger")
def keeps_entries(stage: Stage, rng: random.Random) -> None:
    """An entry is a row once it was answered"""
    text = f"entry {rng.random()}"
    expect_equal(stage.program.post("/entries", json={"text": text}).status, 200, "the status")
    rows = stage.database.rows("SELECT text FROM public.entries WHERE text = %s", [text])
    expect_equal([row["text"] for row in rows], [text], "the rows with that text")


@check(task="ledger", after=("keeps_entries",))
def sums_up_with_one_call(stage: Stage, rng: random.Random) -> None:
    """The sum is what the model said when it was asked once"""
    word = f"all of {rng.random()}"
    mark = stage.model.journal.mark()
    stage.model.script(Reply(word))
    answer = stage.program.post("/sum", json={})
    asked = stage.model.journal.since(mark)
    expect(asked, "the model was not asked")
    expect("entry " in asked[0].request.text, "the entries are not in the prompt", observed=asked[0].request.text)
    expect_equal(answer.json(), {"text": word}, "the sum")
