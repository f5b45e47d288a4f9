"""Starts programs that are not trusted and makes sure that none outlives its run."""

from grader.sandbox.launcher import Launcher, Limits, Output, Running

__all__ = ["Launcher", "Limits", "Output", "Running"]
