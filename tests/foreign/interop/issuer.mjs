// The CI platform's side: `oauth2-mock-server` as the OIDC issuer of a GitHub job and of a GitLab job.
//
// Both live on one origin, as a GitHub Enterprise Server and a GitLab instance would: GitHub's issuer is
// <base>/_services/token, GitLab's is <base>. Keys, signing, discovery, JWKS and TLS are the library's; ours are the
// claims and GitHub's ID-token endpoint, which no library has.

import { randomBytes, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { HttpServer, OAuth2Issuer, OAuth2Service } from 'oauth2-mock-server';

const ALGORITHMS = ['RS256', 'ES256'];
const kid = (alg, generation) => `interop-${alg.toLowerCase()}-${generation}`;
const DISCOVERY = '/.well-known/openid-configuration';

// What the platform knows about the two jobs. The environment that a job gets and the claims of its token both come
// from here, so that they agree as they do in reality. The claims' types are the platforms' own (ids are strings).
const GITHUB = {
  repository: 'octo-org/octo-repo',
  repositoryId: '740001',
  runId: '98765432101',
  runAttempt: '2',
  actor: 'monalisa',
  ref: 'refs/heads/main',
  sha: '8f4a2c0d9b1e7c6a5d3f2e1b0a9c8d7e6f5a4b3c',
};
const GITLAB = {
  project: 'net-group/edge',
  projectId: '4711',
  pipelineId: '880021',
  jobId: '990033',
  ref: 'main',
  sha: '1c9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a3b2c1d',
};

const PLATFORMS = {
  github: {
    path: '/_services/token',
    jwks: '/.well-known/jwks',
    lifetime: 300,
    notBefore: 600,
    claims: (base) => ({
      sub: `repo:${GITHUB.repository}:ref:${GITHUB.ref}`,
      aud: `${base}/${GITHUB.repository.split('/')[0]}`,
      jti: randomBytes(16).toString('hex'),
      repository: GITHUB.repository,
      repository_id: GITHUB.repositoryId,
      repository_owner: 'octo-org',
      repository_owner_id: '65',
      repository_visibility: 'private',
      run_id: GITHUB.runId,
      run_number: '10',
      run_attempt: GITHUB.runAttempt,
      actor: GITHUB.actor,
      actor_id: '12',
      workflow: 'deploy',
      workflow_ref: `${GITHUB.repository}/.github/workflows/deploy.yml@${GITHUB.ref}`,
      workflow_sha: GITHUB.sha,
      job_workflow_ref: `${GITHUB.repository}/.github/workflows/deploy.yml@${GITHUB.ref}`,
      job_workflow_sha: GITHUB.sha,
      event_name: 'push',
      ref: GITHUB.ref,
      ref_type: 'branch',
      ref_protected: 'true',
      sha: GITHUB.sha,
      head_ref: '',
      base_ref: '',
      runner_environment: 'self-hosted',
    }),
    environment: (base, bearer) => ({
      CI: 'true',
      GITHUB_ACTIONS: 'true',
      GITHUB_SERVER_URL: base,
      GITHUB_REPOSITORY: GITHUB.repository,
      GITHUB_REPOSITORY_ID: GITHUB.repositoryId,
      GITHUB_RUN_ID: GITHUB.runId,
      GITHUB_RUN_ATTEMPT: GITHUB.runAttempt,
      GITHUB_EVENT_NAME: 'push',
      GITHUB_ACTOR: GITHUB.actor,
      GITHUB_REF: GITHUB.ref,
      GITHUB_SHA: GITHUB.sha,
      ACTIONS_ID_TOKEN_REQUEST_URL: `${base}/actions/idtoken?api-version=2.0`,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: bearer,
    }),
  },
  gitlab: {
    path: '',
    jwks: '/oauth/discovery/keys',
    lifetime: 3600,
    notBefore: 5,
    claims: () => ({
      sub: `project_path:${GITLAB.project}:ref_type:branch:ref:${GITLAB.ref}`,
      jti: randomBytes(16).toString('hex'),
      namespace_id: '72',
      namespace_path: 'net-group',
      project_id: GITLAB.projectId,
      project_path: GITLAB.project,
      user_id: '1',
      user_login: 'monalisa',
      user_email: 'monalisa@example.com',
      pipeline_id: GITLAB.pipelineId,
      pipeline_source: 'push',
      job_id: GITLAB.jobId,
      ref: GITLAB.ref,
      ref_type: 'branch',
      ref_path: `refs/heads/${GITLAB.ref}`,
      ref_protected: 'true',
      sha: GITLAB.sha,
      runner_id: 12270807,
      runner_environment: 'self-hosted',
      project_visibility: 'private',
      groups_direct: ['net-group'],
    }),
    environment: (base) => ({
      CI: 'true',
      GITLAB_CI: 'true',
      CI_SERVER_URL: base,
      CI_PROJECT_ID: GITLAB.projectId,
      CI_PROJECT_PATH: GITLAB.project,
      CI_PIPELINE_ID: GITLAB.pipelineId,
      CI_JOB_ID: GITLAB.jobId,
      CI_COMMIT_SHA: GITLAB.sha,
    }),
  },
};

/** Starts the issuer on a free port of 127.0.0.1. */
export async function startIssuer({ key, cert }) {
  let route;
  const server = new HttpServer((req, res) => route(req, res), { key: readFileSync(key), cert: readFileSync(cert) });
  await server.start(0, '127.0.0.1');
  const base = server.buildIssuerUrl('127.0.0.1', server.address().port);

  const bearer = randomBytes(48).toString('base64url');
  const minted = [];
  const log = [];

  const platforms = {};
  let generation = 0;

  /** Makes new keys, which both platforms sign with and publish from now on. Those before are published no more. */
  async function rotate() {
    generation += 1;
    const published = await keyStore(base, generation);
    for (const [name, platform] of Object.entries(PLATFORMS)) {
      const issuer = new OAuth2Issuer();
      issuer.url = base + platform.path;
      for (const jwk of published.keys.toJSON(true)) {
        await issuer.keys.add(jwk);
      }
      const { requestHandler } = new OAuth2Service(issuer, { jwks: platform.jwks });
      platforms[name] = { ...platform, issuer, requestHandler };
    }
  }
  await rotate();

  // A stranger's keys under the published key ids: only the signature itself tells the difference.
  let foreign;

  /** One ID token of a job; the options spoil it for the negative cases. */
  async function mint({ job, audience, alg = 'RS256', signature = 'published', age = 0 }) {
    const platform = platforms[job];
    foreign ??= signature === 'foreign' ? await keyStore(base, generation) : undefined;
    const signer = signature === 'foreign' ? foreign : platform.issuer;
    const token = await signer.buildToken({
      kid: kid(alg, generation),
      expiresIn: platform.lifetime,
      scopesOrTransform: (_header, payload) => {
        payload.iss = platform.issuer.url;
        payload.iat -= age;
        payload.exp -= age;
        payload.nbf = payload.iat - platform.notBefore;
        Object.assign(payload, platform.claims(base), audience === undefined ? {} : { aud: audience });
      },
    });
    minted.push(token);
    return token;
  }

  /** GitHub's endpoint: one audience, and the query that the platform put into the URL must still be there. */
  async function idToken(req, res, query) {
    const audiences = query.getAll('audience');
    if (!sameText(req.headers.authorization ?? '', /^bearer /i, bearer)) {
      return reply(res, 401, { message: 'Unauthorized' });
    }
    if (req.method !== 'GET' || query.get('api-version') !== '2.0' || audiences.length > 1) {
      return reply(res, 400, { message: 'Bad request' });
    }
    const value = await mint({
      job: 'github',
      audience: audiences[0],
      alg: query.get('alg') ?? undefined,
      signature: query.get('signature') ?? undefined,
    });
    return reply(res, 200, { count: value.length, value });
  }

  async function answer(req, res) {
    const { pathname, searchParams } = new URL(req.url, base);
    switch (pathname) {
      case '/control/mint':
        return reply(res, 200, { token: await mint(JSON.parse(await text(req))) });
      case '/control/rotate':
        await rotate();
        return reply(res, 200, {});
      case '/control/minted':
        return reply(res, 200, minted);
      case '/control/log':
        return reply(res, 200, log);
      default:
    }
    log.push({ method: req.method, path: pathname });
    if (pathname === '/actions/idtoken') {
      return idToken(req, res, searchParams);
    }
    const { path, requestHandler } = platforms.github;
    if (pathname.endsWith(DISCOVERY)) {
      listAlgorithms(res);
    }
    if (pathname.startsWith(`${path}/`)) {
      req.url = req.url.slice(path.length);
      return requestHandler(req, res);
    }
    return platforms.gitlab.requestHandler(req, res);
  }

  route = (req, res) => {
    answer(req, res).catch((error) => {
      console.error(error);
      reply(res, 500, { message: String(error) });
    });
  };

  const jobs = Object.fromEntries(
    Object.entries(platforms).map(([name, platform]) => [name, platform.environment(base, bearer)]),
  );
  const issuers = Object.values(platforms).map(({ issuer, jwks }) => ({ issuer: issuer.url, jwks: issuer.url + jwks }));
  return { base, jobs, issuers };
}

async function keyStore(url, generation) {
  const issuer = new OAuth2Issuer();
  issuer.url = url;
  await Promise.all(ALGORITHMS.map((alg) => issuer.keys.generate(alg, { kid: kid(alg, generation) })));
  return issuer;
}

/** The library's discovery document lists RS256 alone, whatever keys it holds; ours are listed as well. */
function listAlgorithms(res) {
  const end = res.end;
  res.end = (body) => {
    const metadata = { ...JSON.parse(body), id_token_signing_alg_values_supported: ALGORITHMS };
    const bytes = Buffer.from(JSON.stringify(metadata));
    res.setHeader('content-length', bytes.length);
    return end.call(res, bytes);
  };
}

function sameText(header, scheme, expected) {
  const given = Buffer.from(header.replace(scheme, ''));
  const wanted = Buffer.from(expected);
  return scheme.test(header) && given.length === wanted.length && timingSafeEqual(given, wanted);
}

function reply(res, status, body) {
  res.writeHead(status, { 'content-type': 'application/json; charset=utf-8' });
  res.end(JSON.stringify(body));
}

async function text(req) {
  const chunks = [];
  for await (const chunk of req) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
