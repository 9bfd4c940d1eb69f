// Standard Webhooks and CloudEvents, by their official JavaScript libraries; and Ed25519 by
// Node's own, since those libraries leave `v1a` out.
//
// `standards.js receive SECRET` is a receiver: it prints its port, answers 200 to what the
// libraries take and 401 to the rest, and prints what it made of each request as a line of JSON.
// With a `whpk_` secret it verifies `v1a`.
//
// `standards.js sign` reads lines of JSON with `secret`, `id`, `timestamp` and `body`, and answers
// each with its signature. `standards.js public WHSK` prints the public key of a private one.

const crypto = require("node:crypto");
const http = require("node:http");
const readline = require("node:readline");
const { HTTP } = require("cloudevents");
const { Webhook, WebhookVerificationError } = require("standardwebhooks");

// What stands before an Ed25519 seed in PKCS #8, and before a public key in SubjectPublicKeyInfo
// (RFC 8410).
const PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex");
const SPKI = Buffer.from("302a300506032b6570032100", "hex");

const decode = (secret) => Buffer.from(secret.slice("whsk_".length), "base64");

const privateKey = (secret) =>
  crypto.createPrivateKey({
    key: Buffer.concat([PKCS8, decode(secret).subarray(0, 32)]),
    format: "der",
    type: "pkcs8",
  });

const publicKey = (secret) =>
  crypto.createPublicKey({
    key: Buffer.concat([SPKI, decode(secret)]),
    format: "der",
    type: "spki",
  });

function verify(secret, body, headers) {
  if (!secret.startsWith("whpk_")) {
    return new Webhook(secret).verify(body, headers);
  }
  const signed = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`;
  const signatures = headers["webhook-signature"].split(" ");
  const matches = signatures.some((signature) => {
    const [version, encoded] = signature.split(",");
    const bytes = Buffer.from(encoded, "base64");
    return version === "v1a" && crypto.verify(null, Buffer.from(signed), publicKey(secret), bytes);
  });
  if (!matches) {
    throw new WebhookVerificationError("No matching signature found");
  }
  return JSON.parse(body);
}

function take(secret, headers, body) {
  const data = verify(secret, body, headers);
  const event = HTTP.toEvent({ headers, body });
  event.validate();
  if (JSON.stringify(event.data) !== JSON.stringify(data)) {
    throw new Error("the libraries read different data");
  }
  return {
    type: event.type,
    source: event.source,
    subject: event.subject,
    id: event.id,
    time_ms: Date.parse(event.time),
    specversion: event.specversion,
    datacontenttype: event.datacontenttype,
    data,
  };
}

function receive(secret) {
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      let taken, status;
      try {
        taken = take(secret, request.headers, Buffer.concat(chunks).toString());
        status = 200;
      } catch (error) {
        taken = { refused: error.message };
        status = error instanceof WebhookVerificationError ? 401 : 500;
      }
      console.log(JSON.stringify(taken));
      response.writeHead(status).end();
    });
  });
  server.listen(0, "127.0.0.1", () => console.log(server.address().port));
}

function sign({ secret, id, timestamp, body }) {
  if (!secret.startsWith("whsk_")) {
    return new Webhook(secret).sign(id, new Date(timestamp * 1000), body);
  }
  const signed = Buffer.from(`${id}.${timestamp}.${body}`);
  return `v1a,${crypto.sign(null, signed, privateKey(secret)).toString("base64")}`;
}

const [mode, secret] = process.argv.slice(2);
if (mode === "receive") {
  receive(secret);
} else if (mode === "sign") {
  const lines = readline.createInterface({ input: process.stdin });
  lines.on("line", (line) => console.log(sign(JSON.parse(line))));
} else {
  const der = crypto.createPublicKey(privateKey(secret)).export({ format: "der", type: "spki" });
  console.log(`whpk_${der.subarray(SPKI.length).toString("base64")}`);
}
