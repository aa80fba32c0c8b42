// Reads an access token on stdin, verifies it with `jose` and prints its claims.
//
// usage: node verify.mjs JWKS-URL ISSUER <TOKEN

import { text } from 'node:stream/consumers';
import { createRemoteJWKSet, jwtVerify } from 'jose';

const [jwks, issuer] = process.argv.slice(2);
try {
  const token = (await text(process.stdin)).trimEnd();
  const { payload } = await jwtVerify(token, createRemoteJWKSet(new URL(jwks)), {
    issuer,
    typ: 'at+jwt',
    requiredClaims: ['aud', 'exp', 'iat', 'scope', 'sub'],
  });
  console.log(JSON.stringify(payload));
} catch (error) {
  console.error(`verify.mjs: ${error.message}`);
  process.exitCode = 1;
}
