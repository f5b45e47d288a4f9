"""The server; tasks count and manners are yours."""

raise NotImplementedError("lab-04, task count: read a line")
