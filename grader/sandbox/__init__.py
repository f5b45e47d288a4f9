"""Starts programs that are not trusted, keeps them from the rest of the machine, and lets none outlive its run."""

from grader.sandbox.launcher import Launcher, Limits, Output, Reach, Running
from grader.sandbox.levels import Isolation, Level, Trial

__all__ = ["Isolation", "Launcher", "Level", "Limits", "Output", "Reach", "Running", "Trial"]
