#!/usr/bin/env python3
"""Runs `helloop drill` on this project's server and on others, and prints the table of docs/operate.md.

    cargo build --release && benches/drill/table.py [--rounds 20] [NAME ...]

The variable HELLOOP names another binary.

What is not installed is left out, with a word on standard error. On Debian:
apt-get install nginx-light haproxy golang-go nodejs python3-venv
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILT = ROOT / "target" / "drill-peers"
HELLOOP = Path(os.environ.get("HELLOOP", ROOT / "target" / "release" / "helloop"))
SLOW = ["--slow-path", "/big/{id}"]


class Absent(Exception):
    """A program that is needed is not there."""


def run(*command):
    """What a command prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Absent(f"{command[0]}: {done.stderr.strip().splitlines()[-1:]}")
    return (done.stdout + done.stderr).strip()


def need(program):
    path = shutil.which(program, path="/usr/local/sbin:/usr/sbin:/sbin:" + os.environ["PATH"])
    if path is None:
        raise Absent(f"{program} is not installed")
    return path


def helloop(_, *more):
    # Its greeting has one size; slow readers ask for a long one.
    return [str(HELLOOP), "serve", "--listen", "127.0.0.1:{port}", *more]


def slow_helloop(_):
    return helloop(_, "--text", "Hello, {name}!\\n" + "x" * 100_000)


def nginx(work):
    # Its workers run as nobody.
    work.chmod(0o755)
    (work / "big.txt").write_text("x" * 400_000)
    text = (HERE / "nginx.conf").read_text().replace("WORK", str(work))
    (work / "template").write_text(text)
    # The shell becomes nginx: `{port}` is not known before.
    start = f"sed s/PORT/{{port}}/ {work}/template >{work}/nginx-{{port}}.conf && exec {need('nginx')} -e stderr -c {work}/nginx-{{port}}.conf"
    return ["sh", "-c", start]


def rust(name):
    def typed(_):
        manifest = HERE / "Cargo.toml"
        run("cargo", "build", "--quiet", "--release", "--manifest-path", str(manifest), "--target-dir", str(BUILT))
        return [str(BUILT / "release" / name), "{port}"]

    return typed


def go(_):
    program = BUILT / "peer-go"
    run(need("go"), "build", "-o", str(program), str(HERE / "go" / "main.go"))
    return [str(program), "{port}"]


def node(_):
    return [need("node"), str(HERE / "server.js"), "{port}"]


def aiohttp(_):
    venv = BUILT / "aiohttp"
    if not venv.exists():
        run(sys.executable, "-m", "venv", str(venv))
        run(str(venv / "bin" / "pip"), "install", "--quiet", "aiohttp==3.*")
    return [str(venv / "bin" / "python"), str(HERE / "server.py"), "{port}"]


LAME_DUCK = ["--health-path", "/healthz", "--drain-delay", "2s"]

# Name, how it is restarted, flags of the drill, the server.
ROWS = [
    ("helloop", "`helloop upgrade`", ["--restart", f"{HELLOOP} upgrade {{pid}}"], helloop),
    ("helloop, answers of 100 kB", "`helloop upgrade`", ["--restart", f"{HELLOOP} upgrade {{pid}}"], slow_helloop),
    ("helloop", "two behind haproxy", ["--behind", "haproxy", "--health-path", "/healthz"], lambda w: helloop(w, *LAME_DUCK)),
    ("helloop", "two behind nginx", ["--behind", "nginx"], helloop),
    ("helloop", "SIGTERM, new start", [], helloop),
    ("nginx", "SIGHUP (reload)", ["--restart", "kill -HUP {pid}", *SLOW], nginx),
    ("nginx", "SIGQUIT, new start", ["--signal", "QUIT", *SLOW], nginx),
]
for name, server in [
    ("axum", rust("peer-axum")),
    ("hyper", rust("peer-hyper")),
    ("Go", go),
    ("node", node),
    ("aiohttp", aiohttp),
]:
    ROWS.append((name, "two behind nginx", ["--behind", "nginx", *SLOW], server))
    ROWS.append((name, "SIGTERM, new start", SLOW, server))


def story(report):
    kinds = sorted(report["kinds"].items(), key=lambda kind: -kind[1])
    text = ", ".join(f"{count} {kind}" for kind, count in kinds)
    gap = report["longest_gap_ms"]
    if "refused" in report["kinds"]:
        text += f" (nobody listened for up to {gap:.0f} ms)"
    text = text or "nothing"
    if report["trouble"]:
        text += "; not carried out: " + report["trouble"]["text"].split(";")[0]
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", default="20")
    parser.add_argument("names", nargs="*", help="only these rows")
    arguments = parser.parse_args()
    print("| server | restarted by | lost or doubled / requests | repeated | what was lost |")
    print("|---|---|---|---|---|")
    for name, how, flags, server in ROWS:
        if arguments.names and name.split(",")[0] not in arguments.names:
            continue
        with tempfile.TemporaryDirectory() as work:
            try:
                typed = server(Path(work))
            except Absent as absent:
                print(f"{name}: {absent}", file=sys.stderr)
                continue
            command = [str(HELLOOP), "drill", "--json", "--rounds", arguments.rounds, *flags, "--", *typed]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        if not done.stdout:
            print(f"{name}, {how}: {done.stderr}", file=sys.stderr)
            continue
        report = json.loads(done.stdout)
        total = report["total"]
        failed = total["lost"] + total["doubled"]
        cells = [name, how, f"{failed} / {total['requests']:,}", f"{total['repeated']:,}", story(report)]
        print("| " + " | ".join(cells) + " |", flush=True)
        told = set()
        for one in report["stories"]:
            kind, habit, text = one["kind"], one["habit"], one["text"]
            if kind not in told:
                print(f"{name}, {how}: {kind}, {habit}: {text}", file=sys.stderr)
            told.add(kind)


main()
