"""Writes a conversation down, and plays it again without a model and without effects."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict

from assistant.replies import Call, Run
from assistant.tools import Toolbox
from assistant.users import User

# Results that say what befell the run, not what the database holds: they cannot come out differently.
OF_THE_MOMENT = frozenset({"timeout", "failed", "not_run", "denied", "expired"})


class RecordedCall(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: str
    name: str
    arguments: str
    result: str | None
    error: str | None


class RecordedReply(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: str
    calls: list[RecordedCall]


class RecordedRun(BaseModel):
    model_config = ConfigDict(extra="forbid")
    message_id: str
    message: str
    replies: list[RecordedReply]


class Transcript(BaseModel):
    """What `/transcript` gives and `/replay` takes."""

    model_config = ConfigDict(extra="forbid")
    conversation: str
    runs: list[RecordedRun]


def write_down(conversation: str, runs: list[Run]) -> Transcript:
    """The conversation without the vendors' blocks: what was said, asked for and found."""
    return Transcript(
        conversation=conversation,
        runs=[
            RecordedRun(
                message_id=run.message_id,
                message=run.message,
                replies=[
                    RecordedReply(
                        text=step.reply.text,
                        calls=[
                            RecordedCall(
                                **asdict(call),
                                result=result.text if result else None,
                                error=result.error if result else None,
                            )
                            for call, result in zip(step.reply.calls, step.results, strict=True)
                        ],
                    )
                    for step in run.steps
                ],
            )
            for run in runs
        ],
    )


async def play(toolbox: Toolbox, user: User, transcript: Transcript) -> dict[str, Any]:
    """Carry the reading calls out again, with the user's rights as they are now, and compare."""
    differences: list[dict[str, str]] = []
    steps = 0
    for run in transcript.runs:
        for reply in run.replies:
            steps += 1
            for recorded in reply.calls:
                if recorded.error in OF_THE_MOMENT or recorded.result is None:
                    continue
                call = Call(f"replay-{recorded.id}", recorded.name, recorded.arguments)
                result = await toolbox.run(user.user_id, transcript.conversation, call)
                if (result.text, result.error) != (recorded.result, recorded.error):
                    differences.append({"id": recorded.id, "tool": call.name})
    return {"matches": not differences, "steps": steps, "differences": differences}
