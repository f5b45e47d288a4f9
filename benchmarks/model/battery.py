"""The battery: what a program's SDK must meet at a double, case by case; also what others can do and ours cannot."""

from __future__ import annotations

from benchmarks.model import cases_of_doubles, cases_of_each_side, cases_of_one_vendor
from benchmarks.model.cases import Case, in_order
from benchmarks.model.doubles import CannotScript, Double
from benchmarks.model.sides import close_clients

PARTS = (cases_of_each_side, cases_of_one_vendor, cases_of_doubles)


def play(double: Double) -> dict[str, str]:
    """Every case by its name: "" when it passes, else why it does not."""
    return {case.name: result_of(case, double) for case in in_order()}


def result_of(case: Case, double: Double) -> str:
    """Why the case does not pass; nothing when it does."""
    try:
        double.reset()
        case.run(double)
    except CannotScript as cannot:
        return f"cannot be scripted: {cannot}"
    except Exception as error:  # noqa: BLE001  whatever goes wrong is the result
        return f"{type(error).__name__}: {str(error)[:120]}"
    finally:
        close_clients()
    return ""
