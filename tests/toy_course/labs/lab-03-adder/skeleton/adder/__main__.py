"""The command; tasks sum and manners are yours."""

raise NotImplementedError("lab-03, task sum: read a list")
