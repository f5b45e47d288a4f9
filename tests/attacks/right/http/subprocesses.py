"""Lets other programs do the work: a shell, and a Python of its own for each request."""

import json
import subprocess
import sys

from right import serve

CHILD = "import json, sys; json.dump({'text': json.load(sys.stdin)['text']}, sys.stdout)"


def echo(self, sent):
    subprocess.run(["sh", "-c", "true | cat"], check=True)
    told = subprocess.run(
        [sys.executable, "-c", CHILD], input=json.dumps(sent), capture_output=True, text=True, check=True
    )
    return json.loads(told.stdout)


serve(echo=echo)
