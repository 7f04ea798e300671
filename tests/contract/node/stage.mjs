// What the journeys share: the SDK, the emulators that pytest has started, and a person on the sign-in page.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

export const { sdks, projectId, places, users } = JSON.parse(process.env.JOURNEYS);

const descopeSdk = createRequire(sdks)('@descope/node-sdk');

export const ADA = 'ada@acme.example';
export const GRACE = 'grace@acme.example';
export const CALLBACK = 'http://localhost:8000/callback?state=xyz';

export const journeys = new Map();

/** Registers a journey. pytest finds the names in the source, so each is written out in place. */
export function journey(name, walk) {
  journeys.set(name, walk);
}

/** A client of the emulator of that name. */
export function client(place = 'typed', settings = {}) {
  return descopeSdk({ projectId, baseUrl: places[place].url, ...settings });
}

/** Presses a user's button on the sign-in page, or refuses. */
export async function press(pageUrl, loginId) {
  const page = await (await fetch(pageUrl)).text();
  const token = page.match(/name="form_token" value="([^"]+)"/)[1];
  const choice = loginId ? { user: users[loginId] } : { refuse: 'yes' };
  const body = new URLSearchParams({ form_token: token, ...choice });
  return fetch(pageUrl, { method: 'POST', body, redirect: 'manual' });
}

/** Does so; the value is what the browser brings back to the application. */
export async function choose(pageUrl, loginId) {
  const answer = await press(pageUrl, loginId);
  assert.equal(answer.status, 303);
  return new URL(answer.headers.get('location')).searchParams;
}

/** Ada's answer of the SDK to the exchange of her code, by the older names, which know cookies. */
export async function signIn(sdk, { tenant = 'acme', loginId = ADA, options = {}, token } = {}) {
  const started = await sdk.saml.start(tenant, CALLBACK, options, token);
  assert.ok(started.ok, JSON.stringify(started.error));
  const answer = await sdk.saml.exchange((await choose(started.data.url, loginId)).get('code'));
  assert.ok(answer.ok, JSON.stringify(answer.error));
  return answer.data;
}

/** Checks that the SDK's answer is a refusal with this status and code, and a body as Descope's are. */
export function refused(answer, status, errorCode) {
  assert.equal(answer.ok, false);
  assert.deepEqual([answer.code, answer.error.errorCode], [status, errorCode]);
  assert.equal(answer.data, undefined);
  for (const name of ['errorDescription', 'errorMessage', 'message']) {
    assert.equal(typeof answer.error[name], 'string');
  }
}
