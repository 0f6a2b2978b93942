#!/usr/bin/env python3
"""Runs real tools and writes down what they print: harmless.jsonl, whose error words are
somebody else's or have another cause, and failing.jsonl, whose cause was arranged.

    harvest.py FOLDER [PART...]      FOLDER is scratch, and has tools/node_modules, venv and src

$TOOLS limits the run to some tools. $HOSTS are the registries' hosts, as the clients are
configured for, which get a neutral name. $SEED is the round: samples of a later one are held out.

Tools that are not there are left out. What a run adds to the files is to be read before
it is committed: the class of a harmless output is "none" since somebody has read it.
"""
import hashlib
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cases
import origin

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.abspath(sys.argv[1])
TOOLS = os.environ.get("TOOLS", "").split()
LINES, BYTES = 160, 6 << 10
ENV = {
    "PATH": f"{FOLDER}/venv/bin:{FOLDER}/tools/node_modules/.bin:" + os.environ["PATH"], "HOME": f"{FOLDER}/home", "LANG": "C.UTF-8", "TERM": "dumb",
    "NO_COLOR": "1", "MANPAGER": "cat", "PAGER": "cat", "GIT_PAGER": "cat", "MANWIDTH": "100", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local",
    "GOPATH": os.path.expanduser("~/go"), "GOCACHE": os.path.expanduser("~/.cache/go-build"), "CARGO_HOME": os.path.expanduser("~/.cargo"),
    "RUSTUP_HOME": os.path.expanduser("~/.rustup"), "PYENV_VERSION": "3.11.7", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "npm_config_update_notifier": "false",
    "GIT_AUTHOR_NAME": "dev", "GIT_AUTHOR_EMAIL": "dev@example.com", "GIT_COMMITTER_NAME": "dev", "GIT_COMMITTER_EMAIL": "dev@example.com",
    "NODE_PATH": f"{FOLDER}/tools/node_modules", "GIT_TERMINAL_PROMPT": "0",
}
NEUTRAL = [
    (re.escape(FOLDER) + r"/(?:runs/[0-9a-f]+|venv/lib/python[\d.]+/site-packages|tools)", "/src"), (re.escape(FOLDER), "/src"),
    (re.escape(os.path.expanduser("~")) + r"/", "/home/dev/"), (r"/home/dev/\.pyenv/versions/[\d.]+", "/usr"),
    *[(re.escape(host), "registry.example") for host in os.environ.get("HOSTS", "").split()], (re.escape(socket.gethostname()), "build-7"), (r"\x1b\[[0-9;?]*[A-Za-z]", ""),
]
jobs = []


def add(tool, kind, command, files=None, env=None, label="none", **more):
    """Notes a run. Of files, {name: text}, a folder of its own is made."""
    jobs.append(dict(tool=tool, kind=kind, command=command, files=files or {}, env=env or {}, label=label, **more))


def neutral(text):
    for pattern, by in NEUTRAL:
        text = re.sub(pattern, by, text)
    return text


def cut(text):
    """Keeps the beginning of a long text and, where failures are told, more of its end."""
    lines = text.split("\n")
    if len(lines) > LINES:
        lines = lines[:LINES // 3] + lines[-(LINES - LINES // 3):]
    text = "\n".join(lines)
    return text if len(text) <= BYTES else text[:BYTES // 3].rsplit("\n", 1)[0] + "\n" + text[-(BYTES - BYTES // 3):].split("\n", 1)[-1]


def perform(job):
    name = hashlib.sha1(repr(sorted((k, v) for k, v in job.items() if k != "env") + [cases.SEED]).encode()).hexdigest()[:8]
    folder = f"{FOLDER}/runs/{name}"
    os.makedirs(folder, exist_ok=True)
    for file, text in job["files"].items():
        os.makedirs(os.path.dirname(f"{folder}/{file}") or folder, exist_ok=True)
        with open(f"{folder}/{file}", "w") as f:
            f.write(text)
    with open(f"{folder}/.output", "w+b") as out:
        p = subprocess.Popen(["bash", "-c", job["command"]], cwd=folder, env=ENV | job["env"], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        try:
            status = p.wait(job.get("timeout", 90))
        except subprocess.TimeoutExpired:
            status = 124
        try:
            os.killpg(p.pid, 9)
        except ProcessLookupError:
            pass
        p.wait()
        out.seek(0)
        text = out.read().decode(errors="replace")
    text = cut(neutral(text).replace("\r\n", "\n"))
    if len(text) < 20 or re.search(r"command not found|No such file or directory$", text.strip()[:200]) or status in (124, 127):
        print(f"left out: {job['command'][:100]!r}: {status} {text[:150]!r}", file=sys.stderr)
        return None
    return {"id": f"{job['tool']}-{name}", "class": job["label"], "tool": job["tool"], "kind": job["kind"],
            "command": neutral(job["command"]), "status": status, "round": cases.SEED, "text": text}


def write(results):
    """Adds what is new to the two files."""
    for file, harmless in (("harmless.jsonl", True), ("failing.jsonl", False)):
        path = f"{HERE}/../{file}"
        old = {}
        if os.path.exists(path):
            with open(path) as f:
                old = {s["id"]: s for s in map(json.loads, f)}
        texts = {s["text"] for s in old.values()}
        for r in results:
            if (r["class"] == "none") == harmless and r["text"] not in texts:
                texts.add(r["text"])
                old[r["id"]] = r
        with open(path, "w") as f:
            for s in sorted(old.values(), key=lambda s: s["id"]):
                f.write(json.dumps(s, ensure_ascii=False) + "\n")
        print(file, len(old), file=sys.stderr)


def main():
    os.makedirs(f"{FOLDER}/home", exist_ok=True)
    if not os.path.exists(f"{FOLDER}/known.pem"):
        origin.certificates(FOLDER)
    for part in sys.argv[2:] or cases.PARTS:
        jobs.clear()
        getattr(cases, part)(add, FOLDER)
        if TOOLS:
            jobs[:] = [job for job in jobs if job["tool"] in TOOLS]
        with ThreadPoolExecutor(4) as pool:
            write([r for r in pool.map(perform, jobs) if r])


if __name__ == "__main__":
    main()
