"""Serves with FastAPI on uvicorn, on the name localhost."""

import os

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Echo(BaseModel):
    text: str


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/greeting")
async def greeting() -> Echo:
    return Echo(text=os.environ["GREETING"])


@app.post("/echo")
async def echo(sent: Echo) -> Echo:
    return sent


uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="info")
