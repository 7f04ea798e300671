// Shared by the journeys: the SDK, the emulators that pytest started, and the emulator's sign-in page.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

export const { sdks, projectId, emulators, users, fields } = JSON.parse(process.env.JOURNEYS);

const descopeSdk = createRequire(sdks)('@descope/node-sdk');

export const ADA = 'ada@acme.example';
export const GRACE = 'grace@acme.example';
export const CALLBACK = 'http://localhost:8000/callback?state=xyz';

export const journeys = new Map();

/** Registers a journey. pytest reads the names from the source, so each must be a literal. */
export function journey(name, run) {
  journeys.set(name, run);
}

/** Returns a client of the emulator with this name. */
export function client(emulator = 'typed', settings = {}) {
  return descopeSdk({ projectId, baseUrl: emulators[emulator].url, ...settings });
}

/** Presses a user's button on the sign-in page, or Refuse, and returns the response. */
export async function press(pageUrl, loginId) {
  const page = await (await fetch(pageUrl)).text();
  const token = page.match(/name="form_token" value="([^"]+)"/)[1];
  const choice = loginId ? { user: users[loginId] } : { refuse: 'yes' };
  const body = new URLSearchParams({ form_token: token, ...choice });
  return fetch(pageUrl, { method: 'POST', body, redirect: 'manual' });
}

/** Submits the sign-in page and returns the query parameters of the redirect. */
export async function choose(pageUrl, loginId) {
  const response = await press(pageUrl, loginId);
  assert.equal(response.status, 303);
  return new URL(response.headers.get('location')).searchParams;
}

/** Runs a login, by default of Ada, with the SDK's older method names, which read cookies. Returns its data. */
export async function signIn(sdk, { tenant = 'acme', loginId = ADA, options = {}, token } = {}) {
  const started = await sdk.saml.start(tenant, CALLBACK, options, token);
  assert.ok(started.ok, JSON.stringify(started.error));
  const result = await sdk.saml.exchange((await choose(started.data.url, loginId)).get('code'));
  assert.ok(result.ok, JSON.stringify(result.error));
  return result.data;
}

/** Returns the values at a path such as `user.userTenants[].tenantId`, except falsy ones. */
function valuesAt(data, path) {
  const [name, ...rest] = path.split('.');
  const value = data?.[name.replace('[]', '')];
  const members = name.endsWith('[]') ? (value ?? []) : [value];
  return members.flatMap((one) => (rest.length ? valuesAt(one, rest.join('.')) : [one])).filter(Boolean);
}

/** Asserts that the SDK's data has a value for every documented field of a response with tokens. */
export function hasEveryField(data, except) {
  const missing = fields.filter((path) => !except(path) && !valuesAt(data, path).length);
  assert.deepEqual(missing, []);
}

/** Asserts that the SDK's result is an error with this status and code, and with Descope's error body. */
export function refused(result, status, errorCode) {
  assert.equal(result.ok, false);
  assert.deepEqual([result.code, result.error.errorCode], [status, errorCode]);
  assert.equal(result.data, undefined);
  for (const name of ['errorDescription', 'errorMessage', 'message']) {
    assert.equal(typeof result.error[name], 'string');
  }
}
