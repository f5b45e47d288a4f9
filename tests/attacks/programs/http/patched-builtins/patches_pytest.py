"""Imports the grader's own pytest and patches its reports to passed.

must not pass
"""

import importlib
import sys

from right import serve, wrong

for name in ("_pytest.reports", "_pytest.runner", "grader.session.plugin", "grader.verdict", "grader.session.events"):
    try:
        module = importlib.import_module(name)
    except Exception:
        continue
    for attribute in dir(module):
        if attribute in ("judge", "_same", "CallInfo"):
            setattr(module, attribute, lambda *_, **__: None)
    if name == "grader.verdict":
        module.Verdict._value2member_map_["failed"] = module.Verdict.PASSED
serve(echo=wrong)
