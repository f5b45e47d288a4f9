"""Patches the runner that runs it, so that failed tests count as passed.

must not pass
"""

import _pytest.main
import _pytest.reports

_pytest.reports.BaseReport.failed = property(lambda self: False)
_pytest.reports.BaseReport.passed = property(lambda self: True)


def test_it():
    assert False
