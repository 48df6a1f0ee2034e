"""What Schemathesis does not look at by itself."""

import json
import os
import re
import subprocess
import uuid
import zlib

import requests
import schemathesis
from schemathesis.core.failures import Failure

# What a schema says: a request that fits it is not refused for these.
BY_THE_SCHEMA = {"required", "unknown_field", "field_not_writable", "wrong_type", "not_allowed"}
# The command by which the operator makes a key on the server.
MAKE_KEY = json.loads(os.environ["SCHEMATHESIS_MAKE_KEY"])


class Key:
    """The operator's key. What is called revokes keys, this one as well: then the operator makes another."""

    text = os.environ["SCHEMATHESIS_KEY"]
    made = 1


def of_ours(headers):
    """The name of the header that carries a key of ours."""
    return next((name for name in headers or () if name.lower() == "authorization" and "tnk_live_" in str(headers[name])), None)


# Objects that are there, by noun.
REAL = json.loads(os.environ["SCHEMATHESIS_REAL"])


def instead(values, name, ids):
    """In every second case puts one of `ids` where a value was made up, or takes the value out if there are none."""
    made_up = values.get(name) if values else None
    if not isinstance(made_up, str) or made_up in ids:
        return
    number = zlib.crc32(made_up.encode(errors="replace"))
    if number % 2 and ids:
        values[name] = ids[number // 2 % len(ids)]
    elif number % 2:
        del values[name]


def real(case):
    """Has every second request that fits the document go to what is there as it is now, and lists begin at their beginning."""
    if case.meta is None or not case.meta.generation.mode.is_positive or not case.path.startswith("/v1/"):
        return
    if (case.method, case.path) == ("POST", "/v1/accounts") and isinstance(case.body, dict):
        # A test account is reached with its own keys alone, and not with those of who opened it.
        case.body.pop("environment", None)
    if ids := REAL.get(case.path.split("/")[2]):
        instead(case.path_parameters, "id", ids)
    instead(case.headers, "Tenantry-Account", REAL["accounts"])
    instead(case.headers, "If-Match", ["*"])
    for name in ("cursor", "after"):
        instead(case.query, name, [])


@schemathesis.hook
def before_call(context, case, kwargs):
    real(case)
    for headers in (case.headers, kwargs.get("headers")):
        if name := of_ours(headers):
            headers[name] = f"Bearer {Key.text}"


@schemathesis.hook
def after_call(context, case, response):
    sent = response.request.headers.get("Authorization", "")
    if response.status_code == 401 and sent == f"Bearer {Key.text}":
        said = subprocess.run(MAKE_KEY, check=True, capture_output=True, text=True).stdout
        Key.text = re.search("tnk_live_[0-9a-z]{26}_[0-9A-Za-z]{49}", said)[0]
        Key.made += 1
        print(f"the operator's key was revoked; this is its {Key.made}th", flush=True)


    if (case.method, case.path) == ("PATCH", "/v1/accounts/{id}") and response.status_code == 200:
        # Whose account demands an Idempotency-Key is refused all that follows without one, which no schema says.
        if json.loads(response.text).get("require_idempotency_key"):
            headers = {"Authorization": f"Bearer {Key.text}", "Idempotency-Key": uuid.uuid4().hex}
            done = requests.patch(response.request.url.split("?")[0], json={"require_idempotency_key": False}, headers=headers, timeout=30)
            print(f"an account no longer demands an Idempotency-Key: {done.status_code}", flush=True)


@schemathesis.check
def refused_for_what_no_schema_says(ctx, response, case):
    """A request that fits the document is refused only for what a schema cannot say."""
    meta = case.meta
    if meta is None or not meta.generation.mode.is_positive or response.status_code not in (400, 422):
        return
    if "json" not in response.headers.get("content-type", [""])[0]:
        return
    told = json.loads(response.text)
    # What a server's settings are its connector says, and what of a resource can change its type, not the document.
    untold = ("/settings/", "/spec/") if case.method == "PATCH" else ("/settings/",)
    faults = [fault for fault in told.get("errors", []) if not fault.get("pointer", "").startswith(untold)]
    codes = {fault["code"] for fault in faults} & BY_THE_SCHEMA
    known = response.status_code == 422 or told.get("code") == "invalid_cursor" or "error" in told
    if codes or not known:
        raise Failure(operation=case.operation.label, title="Refused for what the schema says",
                      message=f"{told.get('code')} {sorted(codes)}: {response.text[:500]}")
