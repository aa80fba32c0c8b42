// Starts the issuer and the STS, says on one line of stdout where they are, and ends when stdin ends.
//
// usage: node servers.mjs KEY.pem CERT.pem, with NODE_EXTRA_CA_CERTS naming the certificate's CA

// Before the libraries are loaded: their notices go to stderr, stdout is for the one line.
console.info = console.error;
console.log = console.error;

const { startIssuer } = await import('./issuer.mjs');
const { startSts } = await import('./sts.mjs');

const AUDIENCE = 'https://wif.example/ci?team=net+ops&tier=1';
const ORGANIZATION = '6c1f2b7e-0d34-4a5b-9c8d-7e6f5a4b3c2d';
const SCOPES = [`roleassignments:${ORGANIZATION}`, `orgpolicies:${ORGANIZATION}`];

process.stdin.on('end', () => process.exit(0)).resume();

const [key, cert] = process.argv.slice(2);
const issuer = await startIssuer({ key, cert });
const sts = await startSts({ key, cert, issuers: issuer.issuers, audiences: [AUDIENCE], scopes: SCOPES });

const ready = {
  issuer: issuer.base,
  sts: sts.base,
  sts_jwks: sts.jwks,
  audience: AUDIENCE,
  scopes: SCOPES,
  jobs: issuer.jobs,
};
process.stdout.write(`${JSON.stringify(ready)}\n`);
