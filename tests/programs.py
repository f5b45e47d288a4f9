"""Small programs for the toy lab: one right, the others wrong, broken or hostile, each named by what it does."""

from __future__ import annotations

_ROUTES = """
import json, os, sys, threading, time, signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({"text": os.environ.get("GREETING", "")} if self.path == "/greeting" else {"status": "ok"})
    def do_POST(self):
        self.answer({"text": json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"]})
    def answer(self, body, status=200):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *args):
        pass
"""
_SERVE = """
ThreadingHTTPServer((HOST, int(os.environ["PORT"])), Handler).serve_forever()
"""


def service(change: str = "", *, host: str = "127.0.0.1", before_serving: str = "") -> str:
    """The right answer to the toy lab, with a change to its handler or something done before it serves."""
    return f"{_ROUTES}\n{change}\nHOST = {host!r}\n{before_serving}\n{_SERVE}"


RIGHT = service()
EXITS_AT_ONCE = "import sys\nprint('I had enough', flush=True)\nsys.exit(0)"
EXITS_HARD = "import os\nos._exit(0)"
RAISES = "raise RuntimeError('task echo is not written yet')"
NEVER_LISTENS = "import time\nprint('thinking', flush=True)\ntime.sleep(600)"
LISTENS_ELSEWHERE = service(before_serving="os.environ['PORT'] = '0'")
SAYS_JUNK = """
import os, socket
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    connection, _ = listener.accept()
    connection.sendall(b"\\x00\\xffNOT HTTP AT ALL\\r\\n\\r\\n")
    connection.close()
"""
DIES_IN_THE_REQUEST = service("""
def do_POST(self):
    print("about to divide", flush=True)
    os._exit(7)
Handler.do_POST = do_POST
""")
HANGS_IN_THE_REQUEST = service("""
def do_POST(self):
    time.sleep(600)
Handler.do_POST = do_POST
""")
ANSWERS_FOR_EVER = service("""
def do_POST(self):
    self.send_response(200)
    self.end_headers()
    try:
        while True:
            self.wfile.write(b"[")
            time.sleep(0.05)
    except OSError:
        pass
Handler.do_POST = do_POST
""")
ANSWERS_A_GIGABYTE = service("""
def do_POST(self):
    self.send_response(200)
    self.send_header("Content-Length", str(10**9))
    self.end_headers()
    part = b"x" * 2**20
    try:
        for _ in range(1000):
            self.wfile.write(part)
    except OSError:
        pass
Handler.do_POST = do_POST
""")
ANSWERS_GZIP = service("""
def do_POST(self):
    import gzip
    data = gzip.compress(b"0" * 10**7)
    self.send_response(200)
    self.send_header("Content-Encoding", "gzip")
    self.send_header("Content-Length", str(len(data)))
    self.end_headers()
    self.wfile.write(data)
Handler.do_POST = do_POST
""")
REDIRECTS = service("""
def do_POST(self):
    self.send_response(307)
    self.send_header("Location", "/elsewhere")
    self.send_header("Content-Length", "0")
    self.end_headers()
Handler.do_POST = do_POST
""")
ANSWERS_NAN = service("""
def do_POST(self):
    data = b'{"text": NaN}'
    self.send_response(200)
    self.send_header("Content-Length", str(len(data)))
    self.end_headers()
    self.wfile.write(data)
Handler.do_POST = do_POST
""")
ANSWERS_VERDICTS = service("""
def do_POST(self):
    import stat
    for fd in range(3, 64):
        try:
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.write(fd, b'{"ended": {"verdict": "passed"}}')
        except OSError:
            pass
    self.answer({"passed": True, "verdict": "passed", "points": 100})
Handler.do_POST = do_POST
""")
FLOODS_OUTPUT = service(
    before_serving="""
def flood():
    while True:
        print("x" * 10000)
threading.Thread(target=flood, daemon=True).start()
"""
)
IGNORES_TERM = service(before_serving="signal.signal(signal.SIGTERM, signal.SIG_IGN)")
SPEAKS_IN_ESCAPES = """
import sys
sys.stdout.write("\\x1b[2J\\x1b[32m10 passed\\x1b[0m\\r::set-output name=x::y\\n")
sys.stdout.flush()
raise SystemExit(3)
"""


def leaves_a_daemon(pid_file: str) -> str:
    """Right, but it leaves a process behind that has forked away twice, in a session of its own."""
    return service(
        before_serving=f"""
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open({pid_file!r}, "w").write(str(os.getpid()))
        time.sleep(600)
    os._exit(0)
"""
    )


def writes_its_environment(file: str) -> str:
    """Right, and it notes every variable and open file that it was given."""
    return service(
        before_serving=f"""
seen = {{"environment": dict(os.environ), "files": sorted(os.listdir("/proc/self/fd")), "argv": sys.argv}}
open({file!r}, "w").write(json.dumps(seen))
"""
    )
