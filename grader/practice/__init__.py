"""Hands-on work: a lab's services without a grader, and something that answers for the model."""
