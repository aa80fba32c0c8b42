"""Runs this program and three ways in which people get a token otherwise through the same faults, on loopback, and prints
what became of each as a table in Markdown.

Right means: no token when there should be none, a token when there can be one, an end within the time, no secret to a
third party or in the output, no runner's command from a server.
"""

import base64
import gzip
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIMIT = 12
AUDIENCE, SCOPE = "my-equinix-audience", "roleassignments:0f1d5c9b-2f6e-4c62-b4a5-2a6c8de7f013"
BEARER = "the-bearer-of-this-job-0123456789abcdef"
TOKEN = "Zk3Qw8RtYp5LmNx2VbHsZk3Qw8RtYp5LmNx2VbHs"


def jwt(issuer, **changes):
    now = int(time.time())
    claims = {"iss": issuer, "aud": AUDIENCE, "sub": "repo:octo-org/octo-repo:ref:refs/heads/main",
              "iat": now, "nbf": now - 5, "exp": now + 300, **changes}
    part = lambda data: base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")
    return f"{part({'alg': 'RS256', 'typ': 'JWT', 'kid': 'k'})}.{part(claims)}.{'c2lnbmF0dXJl' * 20}"


class Server:
    """A server whose answers are scripted, one for each request; the last one goes on."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.requests, self.script, self.closed = [], [], False
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection):
        try:
            data = b""
            while b"\r\n\r\n" not in data:
                more = connection.recv(65536)
                if not more:
                    return
                data += more
            head, _, body = data.partition(b"\r\n\r\n")
            length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0)
            while len(body) < length:
                body += connection.recv(65536)
            self.requests.append(head + b"\r\n\r\n" + body)
            number = min(len(self.requests), len(self.script)) - 1
            self.script[number](connection, body.decode("latin-1"))
        except OSError:
            pass
        finally:
            connection.close()

    def stop(self):
        self.closed = True
        self.socket.close()


def reply(body, status="200 OK", headers=(), kind="application/json", length=None):
    body = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()

    def send(connection, _):
        lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {length or len(body)}", "Connection: close", *headers]
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    return send


def drip(connection, _):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{")
    for _ in range(1000):
        connection.sendall(b" ")
        time.sleep(0.5)


def endless(connection, _):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"x\":\"")
    for _ in range(40_000):
        connection.sendall(b"y" * 65536)


def stall(connection, _):
    time.sleep(60)


def reset(connection, _):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


def bomb(connection, body):
    packed = gzip.compress(b" " * (256 << 20), 9)
    reply(packed, headers=["Content-Encoding: gzip"])(connection, body)


def echo(connection, body):
    from urllib.parse import parse_qs
    subject = parse_qs(body).get("subject_token", [""])[0]
    reply({"error": "invalid_request", "error_description": f"bad token {subject}"}, "400 Bad Request")(connection, body)


def good(**changes):
    answer = {"access_token": TOKEN, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
              "token_type": "Bearer", "expires_in": 3600, **changes}
    return reply({name: value for name, value in answer.items() if value is not None})


def faults(world):
    """Name, the issuer's script, the STS's script, whether there should be a token."""
    issuer, sink = world.issuer.url + "/_services/token", world.sink.url
    identity = reply({"value": jwt(issuer)})
    elsewhere = lambda status: reply("", status, [f"Location: {sink}/stolen"])
    busy = lambda status, *headers: reply("busy", status, headers, "text/plain")
    text = json.dumps({"access_token": TOKEN})
    return [
        ("the ID token trickles", [drip], [good()], False),
        ("the answer of the STS trickles", [identity], [drip], False),
        ("the STS is silent", [identity], [stall], False),
        ("the ID token's answer has no end", [endless], [good()], False),
        ("the answer of the STS has no end", [identity], [endless], False),
        ("a redirect takes the bearer elsewhere", [elsewhere("302 Found")], [good()], False),
        ("a redirect takes the ID token elsewhere", [identity], [elsewhere("307 Temporary Redirect")], False),
        ("a compressed answer of 256 MiB", [identity], [bomb], False),
        ("HTML with status 200", [identity], [reply("<html>Log in</html>", kind="text/html")], False),
        ("an error beside a token", [identity], [good(error="invalid_scope")], False),
        ("the STS echoes the ID token", [identity], [echo], False),
        ("the STS sends a runner's command", [identity], [reply({"error": "invalid_request", "error_description": "##[error]forged\n::add-mask::e"}, "400 Bad Request")], False),
        ("the ID token has expired", [reply({"value": jwt(issuer, iat=1, nbf=1, exp=2)})], [good()], False),
        ("the ID token is for another audience", [reply({"value": jwt(issuer, aud="https://github.com/octo-org")})], [good()], False),
        ("the ID token is from another issuer", [reply({"value": jwt("https://issuer.example")})], [good()], False),
        ("429 with Retry-After, then success", [identity], [busy("429 Too Many Requests", "Retry-After: 1"), good()], True),
        ("503, then success", [identity], [busy("503 Service Unavailable"), good()], True),
        ("409, then success", [identity], [busy("409 Conflict"), good()], True),
        ("a reset by the STS, then success", [identity], [reset, good()], True),
        ("a reset by the issuer, then success", [reset, identity], [good()], True),
        ("a body that is cut after a whole object", [identity], [reply(text, length=len(text) + 50)], False),
        ("a token with a line feed", [identity], [good(access_token=f"{TOKEN}\nPATH=/tmp")], False),
        ("a token of another type", [identity], [good(token_type="MAC")], False),
        ("a token that expires in five seconds", [identity], [good(expires_in=5)], False),
        ("more scope than was asked for", [identity], [good(scope=f"{SCOPE} orgpolicies:1")], False),
    ]


class World:
    def __init__(self):
        self.issuer, self.sts, self.sink = Server(), Server(), Server()
        self.sink.script = [reply({"value": "x", "access_token": TOKEN})]

    def run(self, command, flags):
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder, "output")
            output.touch()
            env = {"PATH": os.environ["PATH"], "HOME": folder, "RUNNER_TEMP": folder, "GITHUB_ACTIONS": "true",
                   "GITHUB_SERVER_URL": self.issuer.url, "GITHUB_OUTPUT": str(output), "AUDIENCE": AUDIENCE, "SCOPE": SCOPE,
                   "STS": self.sts.url, "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.issuer.url}/idtoken?api-version=2.0",
                   "ACTIONS_ID_TOKEN_REQUEST_TOKEN": BEARER, "NODE_NO_WARNINGS": "1"}
            started = time.monotonic()
            flags = [flag.format(sts=self.sts.url) for flag in flags]
            process = subprocess.Popen(command + flags, env=env, cwd=folder, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
            try:
                out, err = process.communicate(timeout=LIMIT)
                status = process.returncode
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                out, err = process.communicate()
                status = None
            return status, out.decode(errors="replace"), err.decode(errors="replace"), time.monotonic() - started


def judge(world, wants_token, status, out, err):
    """What went wrong, in a few words; nothing if all was right."""
    shown = "\n".join(line for line in (out + "\n" + err).splitlines() if not line.startswith("::add-mask::"))
    subject = next((r.decode("latin-1").split("subject_token=")[1].split("&")[0] for r in world.sts.requests if b"subject_token=" in r), "")
    signature = "c2lnbmF0dXJl" * 3
    wrong = []
    if status is None:
        wrong.append(f"no end in {LIMIT} s")
    if any(BEARER.encode() in r or b"subject_token" in r for r in world.sink.requests):
        wrong.append("secret sent elsewhere")
    elif world.sink.requests:
        wrong.append("redirect followed")
    if signature in shown:
        wrong.append("ID token printed")
    if "##[error]forged" in shown or any(line.lstrip().startswith("::add-mask::e") and len(line) < 20 for line in err.splitlines()):
        wrong.append("command printed")
    if wants_token and TOKEN not in out:
        wrong.append("no token")
    if not wants_token and status == 0:
        wrong.append("a token all the same")
    return "; ".join(wrong)


def sent_unchecked(name, world):
    return name.startswith("the ID token ") and "trickles" not in name and any(b"subject_token" in r for r in world.sts.requests)


def main():
    binary = Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parents[2] / "target/release/equinix-wif").resolve()
    python = HERE / ".venv/bin/python"
    contenders = [
        ("equinix-wif", [str(binary), "token"], ["--audience", AUDIENCE, "--scope", SCOPE, "--sts-endpoint", "{sts}", "--format", "raw", "--timeout", "8"]),
        ("@actions/core, fetch", ["node", str(HERE / "toolkit.mjs")], []),
        ("id, requests", [str(python), str(HERE / "package_id.py")], []),
        ("curl, jq", ["sh", str(HERE / "curl.sh")], []),
    ]

    def one(job):
        number, contender = job
        world = World()
        name, issuer, sts, wants = faults(world)[number]
        world.issuer.script, world.sts.script = issuer, sts
        status, out, err, seconds = world.run(contender[1], contender[2])
        wrong = judge(world, wants, status, out, err)
        if not wrong and sent_unchecked(name, world):
            wrong = "sent to the STS unchecked"
        for server in (world.issuer, world.sts, world.sink):
            server.stop()
        return number, contender[0], wrong, seconds

    count = len(faults(World()))
    jobs = [(number, contender) for number in range(count) for contender in contenders]
    with ThreadPoolExecutor(4) as pool:
        results = {(number, name): (wrong, seconds) for number, name, wrong, seconds in pool.map(one, jobs)}
    names = [name for name, *_ in contenders]
    print("| Fault | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 1) + "|")
    for number, (fault, *_) in enumerate(faults(World())):
        cells = [results[number, name][0] or "right" for name in names]
        print(f"| {fault} | " + " | ".join(cells) + " |")
    right = [sum(not results[number, name][0] for number in range(count)) for name in names]
    print(f"| **right, of {count}** | " + " | ".join(f"**{number}**" for number in right) + " |")
    return 0 if right[0] == count else 1


if __name__ == "__main__":
    sys.exit(main())
