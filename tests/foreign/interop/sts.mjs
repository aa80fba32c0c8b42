// Equinix's side: the certified `oidc-provider` as an RFC 8693 token endpoint.
//
// HTTP, form parsing, the answer's and the errors' shape, and the signing of the access token are the provider's; the
// verification of the ID token is `jose`'s, through the issuer's published keys. Ours is the grant: whom to trust and
// what to grant, which is what an administrator decides at Equinix.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createRemoteJWKSet, decodeJwt, exportJWK, generateKeyPair, jwtVerify } from 'jose';
import { Provider, errors } from 'oidc-provider';
import { buildTokenResponse } from 'oidc-provider/lib/helpers/grants.js';

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ID_TOKEN = 'urn:ietf:params:oauth:token-type:id_token';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

const TOKEN_ENDPOINTS = ['/use/token', '/v1/token'];
const CLIENT_ID = 'equinix-sts';
const SIGNING_ALG = 'ES256';

/**
 * Starts the STS on a free port of 127.0.0.1.
 *
 * `issuers` is what it trusts ({issuer, jwks}), `audiences` the trusted client ids, `scopes` what the job was granted.
 */
export async function startSts({ key, cert, issuers, audiences, scopes }) {
  let handler;
  const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (req, res) => handler(req, res));
  await new Promise((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve);
  });
  const base = `https://localhost:${server.address().port}`;

  const { privateKey } = await generateKeyPair(SIGNING_ALG, { extractable: true });
  const provider = new Provider(base, {
    jwks: { keys: [{ ...(await exportJWK(privateKey)), alg: SIGNING_ALG, use: 'sig' }] },
    clients: [
      {
        client_id: CLIENT_ID,
        token_endpoint_auth_method: 'none',
        id_token_signed_response_alg: SIGNING_ALG,
        grant_types: [TOKEN_EXCHANGE],
        redirect_uris: [],
        response_types: [],
      },
    ],
    clientDefaults: { id_token_signed_response_alg: SIGNING_ALG },
    features: { devInteractions: { enabled: false } },
    ttl: { AccessToken: 3600 },
  });

  const trusted = new Map(issuers.map(({ issuer, jwks }) => [issuer, createRemoteJWKSet(new URL(jwks))]));

  provider.registerGrantType(
    TOKEN_EXCHANGE,
    async (ctx) => {
      const { subject_token: subjectToken, subject_token_type: subjectTokenType, scope } = ctx.oidc.params;
      if (subjectTokenType !== ID_TOKEN) {
        throw new errors.InvalidRequest('subject_token_type is not supported');
      }
      const subject = await verifySubjectToken(subjectToken, trusted, audiences);
      if (scope === undefined) {
        throw new errors.InvalidScope('scope is required');
      }
      const denied = scope.split(' ').find((word) => !scopes.includes(word));
      if (denied !== undefined) {
        throw new errors.InvalidScope('the principal has no such grant', denied);
      }

      const token = new provider.AccessToken({ client: ctx.oidc.client, accountId: `principal:${subject.sub}`, scope });
      token.resourceServer = new provider.ResourceServer('https://api.equinix.example', {
        accessTokenFormat: 'jwt',
        scope,
      });
      ctx.oidc.entity('AccessToken', token);
      ctx.body = buildTokenResponse(provider, {
        accessToken: await token.save(),
        expiresIn: token.expiration,
        issuedTokenType: ACCESS_TOKEN,
        scope,
        tokenType: token.tokenType,
      });
    },
    ['scope', 'subject_token', 'subject_token_type'],
  );

  const log = [];
  provider.use(async (ctx, next) => {
    if (ctx.path === '/control/log') {
      ctx.body = log;
      return;
    }
    const entry = {
      method: ctx.method,
      path: ctx.path,
      query: ctx.querystring !== '',
      authorization: ctx.get('authorization') !== '',
      content_type: ctx.get('content-type'),
    };
    log.push(entry);
    if (ctx.method === 'POST' && TOKEN_ENDPOINTS.includes(ctx.path)) {
      addClientId(ctx.req);
      ctx.path = provider.pathFor('token');
    }
    try {
      await next();
    } finally {
      entry.status = ctx.status;
      entry.fields = fieldNames(ctx.oidc?.body);
    }
  });
  handler = provider.callback();

  return { base, jwks: base + provider.pathFor('jwks') };
}

async function verifySubjectToken(token, trusted, audiences) {
  try {
    const { iss } = decodeJwt(token);
    const keys = trusted.get(iss);
    if (keys === undefined) {
      throw new Error('the issuer is not trusted');
    }
    const { payload } = await jwtVerify(token, keys, {
      issuer: iss,
      audience: audiences,
      algorithms: ['RS256', 'ES256'],
      requiredClaims: ['exp', 'iat', 'sub'],
    });
    return payload;
  } catch (error) {
    // RFC 8693 section 2.2.2: a subject token that does not hold is an invalid_request.
    throw new errors.InvalidRequest(`the subject token was not accepted: ${error.message}`);
  }
}

/**
 * The provider asks every caller for a client id, and Equinix's STS for none: put one in front of the body, unread.
 */
function addClientId(req) {
  const field = Buffer.from(`client_id=${CLIENT_ID}&`);
  if (req.headers['content-length'] !== undefined) {
    req.headers['content-length'] = String(Number(req.headers['content-length']) + field.length);
  }
  req.unshift(field);
}

/** The names of the fields that the caller sent, as the provider's own form parser saw them; never their values. */
function fieldNames(body) {
  const names = Object.entries(body ?? {}).flatMap(([name, value]) => Array(value).flat().map(() => name));
  const injected = names.indexOf('client_id');
  return names.filter((_, index) => index !== injected).sort();
}
