// Verifies deliveries with the libraries that integrators in JavaScript use: standardwebhooks and svix as they are
// published, and Node's own Ed25519 for the signatures of public keys. Reads an array of
// {headers, body, secret, publicKey}, writes for each and for each library whether it was taken.
import { createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const required = createRequire(`${process.argv[2]}/`);
const libraries = { standardwebhooks: required("standardwebhooks").Webhook, svix: required("svix").Webhook };

function taken(Webhook, { headers, body, secret }) {
  try {
    new Webhook(secret).verify(body, headers);
    return true;
  } catch {
    return false;
  }
}

// What stands before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
const prefix = Buffer.from("302a300506032b6570032100", "hex");

function signedByPair({ headers, body, publicKey }) {
  const key = createPublicKey({
    key: Buffer.concat([prefix, Buffer.from(publicKey.replace(/^whpk_/, ""), "base64")]),
    format: "der",
    type: "spki",
  });
  const text = Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`);
  const signatures = headers["webhook-signature"].split(" ").filter((one) => one.startsWith("v1a,"));
  return signatures.some((one) => verify(null, text, key, Buffer.from(one.slice(4), "base64")));
}

const deliveries = JSON.parse(readFileSync(0, "utf8"));
const told = deliveries.map((delivery) => ({
  ...Object.fromEntries(Object.entries(libraries).map(([name, it]) => [`npm ${name}`, taken(it, delivery)])),
  "Node's Ed25519": signedByPair(delivery),
}));
process.stdout.write(JSON.stringify(told));
