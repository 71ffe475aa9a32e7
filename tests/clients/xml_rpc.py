"""Runs the calls that stdin lists by Python's own xmlrpc.client, and prints what each gave. See http_clients.rs."""

import json
import sys
from xmlrpc.client import Binary, Fault, MultiCall, ProtocolError, ServerProxy


def typed(value):
    if isinstance(value, dict) and set(value) == {"base64"}:
        return Binary(value["base64"].encode())
    return value


def outcome(give):
    try:
        return {"value": give()}
    except Fault as fault:
        return {"fault": [fault.faultCode, fault.faultString]}
    except ProtocolError as error:
        return {"error": str(error)}


def run(call):
    if call["url"] not in servers:
        servers[call["url"]] = ServerProxy(call["url"])
    server = servers[call["url"]]
    if "several" not in call:
        return outcome(lambda: getattr(server, call["method"])(*map(typed, call["params"])))
    several = MultiCall(server)
    for one in call["several"]:
        getattr(several, one["method"])(*map(typed, one["params"]))
    results = several()
    return {"several": [outcome(lambda: results[at]) for at in range(len(call["several"]))]}


servers = {}
print(json.dumps([run(call) for call in json.load(sys.stdin.buffer)]))
