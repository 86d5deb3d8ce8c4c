#!/usr/bin/python3
"""schema.py SCHEMAS RL-OCI DIR: every document that `rl oci` prints or hands on, by runtime-spec's own schemas.

SCHEMAS has config-schema.json, state-schema.json and, from 1.1 on, features-schema.json: Debian's
golang-github-opencontainers-specs-dev (an old 1.0.2), or the directory `schema` of any checkout. DIR has a bundle's
`rootfs` and nothing else. Prints `ok NAME` or `FAIL NAME` with what is wrong, and ends with the number of failures.
The surprise: `paused` is no status of the schemas, which the specification allows; it is not looked at here.
"""

import json
import os
import select
import subprocess
import sys

import jsonschema

schemas, runtime, top = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), os.path.abspath(sys.argv[3])
oci = [runtime, "--root", top + "/state"]
failed = 0


def check(name, schema, document):
    global failed
    path = os.path.join(schemas, schema)
    with open(path) as file:
        whole = json.load(file)
    resolver = jsonschema.RefResolver("file://" + path, whole)
    validator = jsonschema.Draft4Validator(whole, resolver=resolver)
    wrong = ["%s: %s" % ("/".join(map(str, one.path)), one.message) for one in validator.iter_errors(document)]
    failed += bool(wrong)
    print("FAIL %s: %s" % (name, "; ".join(wrong)[:2000]) if wrong else "ok %s" % name)


def said(*words):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


def read(name):
    with open(os.path.join(top, name)) as file:
        return json.load(file)


if os.path.exists(os.path.join(schemas, "features-schema.json")):
    check("features", "features-schema.json", json.loads(said(*oci, "features")))
for flags in ["--rootless"], []:
    if os.path.exists(top + "/config.json"):
        os.remove(top + "/config.json")
    said(*oci, "spec", "--bundle", top, *flags)
    check("spec " + " ".join(flags), "config-schema.json", read("config.json"))

config = read("config.json")
config["process"].update(terminal=False, args=["sleep", "100"])
config["annotations"] = {"org.example": "x"}
hooks = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"]
hook = {name: [{"path": "/bin/sh", "args": ["sh", "-c", "cat >%s/%s" % (top, name)]}] for name in hooks}
with open(top + "/config.json", "w") as file:
    json.dump(dict(config, hooks=hook), file)
null = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
subprocess.run([*oci, "create", "--bundle", top, "c"], check=True, **null)
try:
    check("state of one that is created", "state-schema.json", json.loads(said(*oci, "state", "c")))
    said(*oci, "start", "c")
    check("state of one that runs", "state-schema.json", json.loads(said(*oci, "state", "c")))
    for one in json.loads(said(*oci, "list", "--format", "json")):
        check("list", "state-schema.json", one)
    pid = json.loads(said(*oci, "state", "c"))["pid"]
    descriptor = os.pidfd_open(pid)
    said(*oci, "kill", "c", "KILL")
    # It is nobody's child here; the descriptor becomes readable at its end.
    select.select([descriptor], [], [], 30)
    check("state of one that has ended", "state-schema.json", json.loads(said(*oci, "state", "c")))
finally:
    said(*oci, "delete", "--force", "c")
for name in hooks:
    check("what the hook %s is told" % name, "state-schema.json", read(name))
sys.exit(failed)
