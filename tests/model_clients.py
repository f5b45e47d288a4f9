"""The official clients as the tests of the double use them: strict about what they get, and impatient."""

from __future__ import annotations

import anthropic

from grader.model.server import ModelDouble


def strict_claude(double: ModelDouble, key: str = "dummy") -> anthropic.Anthropic:
    return anthropic.Anthropic(
        base_url=double.anthropic_base_url, api_key=key, max_retries=0, _strict_response_validation=True
    )


def strict_async_claude(double: ModelDouble) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(
        base_url=double.anthropic_base_url, api_key="dummy", max_retries=0, _strict_response_validation=True
    )
