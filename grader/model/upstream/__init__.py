"""Lets a real model answer in the double's place: a provider, a local server, or what one of them said before."""

from grader.model.upstream.live import Live, UpstreamGoneError
from grader.model.upstream.relay import Relay, Speaks
from grader.model.upstream.tape import Recording, Tape, read_tape, secrets_in

__all__ = ["Live", "Recording", "Relay", "Speaks", "Tape", "UpstreamGoneError", "read_tape", "secrets_in"]
