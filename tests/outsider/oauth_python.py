"""What authlib, oauthlib and requests-oauthlib make of the server that OAUTH_WORLD describes."""

import json
import os
import time

import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OKPKey
from oauthlib.oauth2 import BackendApplicationClient, InvalidClientError, InvalidScopeError
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session as RequestsSession

WORLD = json.loads(os.environ["OAUTH_WORLD"])
ISSUER, CLIENT, SECRET = WORLD["issuer"], WORLD["id"], WORLD["secret"]
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


def expect(due, seen):
    if due != seen:
        raise SystemExit(f"{due!r} was due, not {seen!r}")


def refused(error, code, attempt):
    try:
        attempt()
    except error as told:
        expect(code, told.error)
    else:
        raise SystemExit(f"{code} was due, and all went well")


class Assertion(PrivateKeyJWT):
    """Of itself authlib makes assertions for an hour, and with claims of one's own all with the same jti."""

    def sign(self, auth, token_endpoint):
        self.claims = {"exp": int(time.time()) + 60}
        return super().sign(auth, token_endpoint)


def asserting(private):
    """Has the client authenticate with that key."""
    body = {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [private.as_dict(private=False)]}}
    answer = requests.put(f"{ISSUER}/v1/keys/{WORLD['asserting']}/client", json=body, timeout=30,
                          headers={"Authorization": f"Bearer {WORLD['key']}"})
    expect(200, answer.status_code)


def verified(token, client):
    """What somebody else's server reads in a token. authlib's own validator of RFC 9068 has no way to name EdDSA."""
    keys = KeySet.import_key_set(requests.get(METADATA["jwks_uri"], timeout=30).json())
    read = jwt.decode(token, keys, algorithms=["EdDSA"])
    expect("at+jwt", read.header["typ"])
    due = {name: {"essential": True} for name in ("sub", "exp", "iat", "jti")}
    due |= {"iss": {"essential": True, "value": ISSUER}, "aud": {"essential": True, "value": ISSUER}}
    jwt.JWTClaimsRegistry(**due, client_id={"essential": True, "value": client}).validate(read.claims)


def discovered():
    """The metadata, as authlib finds them sound; it knows no others than https."""
    metadata = requests.get(get_well_known_url(ISSUER, external=True), timeout=30).json()
    expect(ISSUER, metadata["issuer"])
    secure = json.loads(json.dumps(metadata).replace("http://", "https://"))
    checked = AuthorizationServerMetadata(secure)
    for name in ("issuer", "token_endpoint", "jwks_uri", "scopes_supported", "grant_types_supported",
                 "token_endpoint_auth_methods_supported", "token_endpoint_auth_signing_alg_values_supported",
                 "revocation_endpoint", "revocation_endpoint_auth_methods_supported",
                 "revocation_endpoint_auth_signing_alg_values_supported",
                 "introspection_endpoint", "introspection_endpoint_auth_methods_supported",
                 "introspection_endpoint_auth_signing_alg_values_supported", "service_documentation"):
        getattr(checked, f"validate_{name}")()
    resource = requests.get(f"{ISSUER}/.well-known/oauth-protected-resource", timeout=30).json()
    expect([ISSUER], resource["authorization_servers"])
    return metadata


METADATA = discovered()


def me(session):
    answer = session.get(f"{ISSUER}/v1/me", timeout=30)
    return answer.json()["account"]["id"] if answer.status_code == 200 else answer.status_code


def authlib(name, method, identifier, secret, *assertions):
    """The whole life of a token in authlib."""
    def session(**more):
        found = OAuth2Session(identifier, secret, token_endpoint_auth_method=method, revocation_endpoint_auth_method=method, **more)
        for one in assertions:
            found.register_client_auth_method(one)
        return found

    expect(True, method in METADATA["token_endpoint_auth_methods_supported"])
    client = session(scope="accounts:read")
    token = client.fetch_token(METADATA["token_endpoint"], grant_type="client_credentials")
    expect("accounts:read", token["scope"])
    verified(token["access_token"], identifier)
    expect(WORLD["account"], me(client))

    exchanged = session().fetch_token(METADATA["token_endpoint"], grant_type=EXCHANGE, subject_token=token["access_token"],
                                      subject_token_type=ACCESS_TOKEN, account=WORLD["below"])
    below = session(token=exchanged)
    expect(WORLD["below"], me(below))
    told = client.introspect_token(METADATA["introspection_endpoint"], exchanged["access_token"]).json()
    expect((True, WORLD["below"], {"sub": WORLD["account"]}), (told["active"], told["sub"], told["act"]))
    expect(200, client.revoke_token(METADATA["revocation_endpoint"], exchanged["access_token"]).status_code)
    expect({"active": False}, client.introspect_token(METADATA["introspection_endpoint"], exchanged["access_token"]).json())
    expect(401, me(below))
    refused(OAuthError, "invalid_scope",
            lambda: session(scope="servers:write").fetch_token(METADATA["token_endpoint"], grant_type="client_credentials"))
    print(f"authlib, {name}: discovered, granted, verified, used, exchanged, introspected, revoked", flush=True)


def requests_oauthlib(name, **how):
    """The same with oauthlib, which knows no exchange; requests-oauthlib carries it."""
    session = RequestsSession(client=BackendApplicationClient(CLIENT, scope=["accounts:read"]))
    token = session.fetch_token(METADATA["token_endpoint"], **how)
    expect(["accounts:read"], token["scope"])
    expect(WORLD["account"], me(session))
    url, headers, body = session._client.prepare_token_revocation_request(METADATA["revocation_endpoint"], token["access_token"])
    answer = requests.post(url, data=body, headers=headers, auth=(CLIENT, SECRET), timeout=30)
    expect(200, answer.status_code)
    expect(401, me(session))
    greedy = RequestsSession(client=BackendApplicationClient(CLIENT, scope=["servers:write"]))
    refused(InvalidScopeError, "invalid_scope", lambda: greedy.fetch_token(METADATA["token_endpoint"], **how))
    print(f"requests-oauthlib, {name}: granted, used, revoked", flush=True)


def main():
    for method in ("client_secret_basic", "client_secret_post"):
        authlib(method, method, CLIENT, SECRET)
    for alg, private in (("EdDSA", OKPKey.generate_key("Ed25519")), ("ES256", ECKey.generate_key("P-256"))):
        asserting(private)
        method = "private_key_jwt"
        expect(True, alg in METADATA["token_endpoint_auth_signing_alg_values_supported"])
        authlib(f"{method} {alg}", method, WORLD["asserting"], private, Assertion(ISSUER, alg=alg))
        authlib(f"{method} {alg} for the endpoint", method, WORLD["asserting"], private, Assertion(METADATA["token_endpoint"], alg=alg))
    requests_oauthlib("client_secret_basic", auth=HTTPBasicAuth(CLIENT, SECRET))
    requests_oauthlib("client_secret_post", client_secret=SECRET, include_client_id=True)
    stranger = RequestsSession(client=BackendApplicationClient(CLIENT))
    refused(InvalidClientError, "invalid_client",
            lambda: stranger.fetch_token(METADATA["token_endpoint"], auth=HTTPBasicAuth(CLIENT, "wrong")))


main()
