"""The service; task echo and task manners are yours."""

raise NotImplementedError("lab-01, task echo: answer POST /echo")
