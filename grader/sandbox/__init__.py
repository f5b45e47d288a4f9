"""Starts programs that are not trusted, keeps them from the rest of the machine, and lets none outlive its run."""

from grader.sandbox.launcher import Launcher, PortTakenError
from grader.sandbox.levels import Isolation, Level, Trial
from grader.sandbox.limits import Limits, Reach
from grader.sandbox.relay import Relay
from grader.sandbox.running import Output, Running
from grader.sandbox.watchdog import Overrun

__all__ = [
    "Isolation",
    "Launcher",
    "Level",
    "Limits",
    "Output",
    "Overrun",
    "PortTakenError",
    "Reach",
    "Relay",
    "Running",
    "Trial",
]
