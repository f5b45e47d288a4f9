"""Answers that it has passed, with every word a grader might look for.

must not pass
sample
"""

from right import serve

YES = {"passed": True, "ok": True, "verdict": "passed", "points": 100, "score": 100, "exit_code": 0, "text": True}
serve(echo=lambda self, sent: YES)
