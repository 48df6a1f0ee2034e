// What openid-client and jose make of the server that OAUTH_WORLD describes.

import assert from 'node:assert/strict'
import { createRemoteJWKSet, exportJWK, generateKeyPair, jwtVerify } from 'jose'
import * as client from 'openid-client'

const world = JSON.parse(process.env.OAUTH_WORLD)
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token'
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'

// Has the client authenticate with a new key.
const asserting = async (alg) => {
  const { privateKey, publicKey } = await generateKeyPair(alg)
  const body = {
    token_endpoint_auth_method: 'private_key_jwt',
    jwks: { keys: [{ ...(await exportJWK(publicKey)), kid: alg, alg, use: 'sig' }] },
  }
  const answer = await fetch(`${world.issuer}/v1/keys/${world.asserting}/client`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${world.key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  assert.equal(answer.status, 200, await answer.text())
  return client.PrivateKeyJwt({ key: privateKey, kid: alg })
}

const ways = [
  ['client_secret_basic', world.id, () => client.ClientSecretBasic(world.secret)],
  ['client_secret_post', world.id, () => client.ClientSecretPost(world.secret)],
  ['private_key_jwt', world.asserting, () => asserting('Ed25519')],
  ['private_key_jwt', world.asserting, () => asserting('ES256')],
]

const configured = (id, authentication) =>
  client.discovery(new URL(world.issuer), id, undefined, authentication, {
    algorithm: 'oauth2',
    execute: [client.allowInsecureRequests],
  })

const me = async (config, token) => {
  const answer = await client.fetchProtectedResource(config, token, new URL(`${world.issuer}/v1/me`), 'GET')
  return (await answer.json()).account.id
}

for (const [method, id, prepare] of ways) {
  const config = await configured(id, await prepare())
  const server = config.serverMetadata()
  assert.ok(server.token_endpoint_auth_methods_supported.includes(method), `${method} is not announced`)

  const granted = await client.clientCredentialsGrant(config, { scope: 'accounts:read' })
  assert.equal(granted.scope, 'accounts:read')
  const { payload } = await jwtVerify(granted.access_token, createRemoteJWKSet(new URL(server.jwks_uri)), {
    issuer: world.issuer,
    audience: world.issuer,
    typ: 'at+jwt',
    requiredClaims: ['iss', 'sub', 'aud', 'exp', 'iat', 'jti', 'client_id'],
  })
  assert.equal(payload.client_id, id)
  assert.equal(await me(config, granted.access_token), world.account)

  const exchanged = await client.genericGrantRequest(config, EXCHANGE, {
    subject_token: granted.access_token,
    subject_token_type: ACCESS_TOKEN,
    account: world.below,
  })
  assert.equal(exchanged.issued_token_type, ACCESS_TOKEN)
  assert.equal(await me(config, exchanged.access_token), world.below)
  const told = await client.tokenIntrospection(config, exchanged.access_token)
  assert.deepEqual([told.active, told.sub, told.act.sub], [true, world.below, world.account])

  await client.tokenRevocation(config, exchanged.access_token)
  assert.deepEqual(await client.tokenIntrospection(config, exchanged.access_token), { active: false })
  await assert.rejects(me(config, exchanged.access_token), (error) => {
    assert.ok(error instanceof client.WWWAuthenticateChallengeError, String(error))
    assert.equal(error.cause[0].parameters.error, 'invalid_token')
    return true
  })

  await assert.rejects(client.clientCredentialsGrant(config, { scope: 'servers:write' }), { error: 'invalid_scope' })
  console.log(`openid-client, ${method}: discovered, granted, used, exchanged, introspected, revoked`)
}

const stranger = await configured(world.id, client.ClientSecretBasic('wrong'))
await assert.rejects(client.clientCredentialsGrant(stranger), (error) => {
  const parsed = error.error ?? error.cause?.[0]?.scheme
  assert.ok(parsed === 'invalid_client' || parsed === 'basic', String(error))
  return true
})
console.log('openid-client, a wrong secret: refused')
