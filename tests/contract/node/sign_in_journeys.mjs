// Logins: single sign-on, social providers, step-up, access keys, nOTP and enchanted links.

import assert from 'node:assert/strict';
import {
  ADA, CALLBACK, GRACE, choose, client, hasEveryField, journey, emulators, press, projectId, refused, signIn,
} from './support.mjs';

journey('sso sign-in', async () => {
  const sdk = client();
  const options = { customClaims: { plan: 'gold' } };
  const started = await sdk.sso.start('acme', CALLBACK, options, undefined, 'acme-okta', true, ADA);
  assert.deepEqual([started.ok, started.code], [true, 200]);
  const callback = await choose(started.data.url, ADA);
  assert.equal(callback.get('state'), 'xyz');
  const { data } = await sdk.sso.exchange(callback.get('code'));
  const { token } = await sdk.validateSession(data.sessionJwt);
  assert.equal(token.iss, projectId);
  assert.deepEqual([token.drn, token.dct, token.sub], ['DS', 'acme', data.user.userId]);
  assert.deepEqual(token.nsec, { plan: 'gold' });
  assert.deepEqual(data.user.loginIds, [ADA]);
  assert.equal((await sdk.validateJwt(data.refreshJwt)).token.drn, 'DSR');
});

journey('saml names', async () => {
  const data = await signIn(client());
  assert.match(data.cookies[0], new RegExp(`^DSR=${data.refreshJwt}; .*Max-Age=2419[0-9]{3}; Path=/; HttpOnly`));
});

journey('tenant by e-mail address', async () => {
  const sdk = client();
  const started = await sdk.sso.start(GRACE, CALLBACK, {}, undefined, undefined, false, undefined, true);
  const { data } = await sdk.sso.exchange((await choose(started.data.url, GRACE)).get('code'));
  assert.equal(sdk.getCurrentTenant(data.sessionJwt), 'acme');
});

journey('refusal on the page', async () => {
  const started = await client().sso.start('acme', CALLBACK);
  const callback = await choose(started.data.url, null);
  assert.deepEqual([callback.get('err'), callback.get('code')], ['access_denied', null]);
});

journey('sign-in that cannot start', async () => {
  const sdk = client();
  refused(await sdk.sso.start('umbrella', CALLBACK), 400, 'E011004');
  refused(await sdk.sso.start('acme'), 400, 'E011002');
  refused(await sdk.sso.start('acme', 'https://evil.example/callback'), 400, 'E011004');
  refused(await sdk.sso.start('acme', CALLBACK, {}, undefined, 'acme-none'), 400, 'E011004');
});

journey('code works once', async () => {
  const sdk = client();
  const started = await sdk.sso.start('acme', CALLBACK);
  const code = (await choose(started.data.url, ADA)).get('code');
  assert.ok((await sdk.sso.exchange(code)).ok);
  refused(await sdk.sso.exchange(code), 400, 'E061301');
  refused(await sdk.sso.exchange('nonsense'), 400, 'E061301');
});

journey('social sign-in', async () => {
  const sdk = client();
  const started = await sdk.oauth.start.google(CALLBACK, {}, undefined, ADA);
  const result = await sdk.oauth.exchange((await choose(started.data.url, ADA)).get('code'));
  const { token } = await sdk.validateSession(result.data.sessionJwt);
  assert.deepEqual([token.amr, token.dct], [['oauth'], undefined]);
  refused(await sdk.oauth.start('nobody', CALLBACK), 400, 'E011004');
});

journey('step-up', async () => {
  const sdk = client();
  const first = await signIn(sdk);
  const data = await signIn(sdk, { options: { stepup: true }, token: first.refreshJwt });
  assert.equal((await sdk.validateSession(data.sessionJwt)).token.su, true);
  assert.equal((await sdk.validateJwt(data.refreshJwt)).token.su, undefined);
  assert.equal((await sdk.refreshSession(data.refreshJwt)).token.su, undefined);
});

journey('second factor', async () => {
  const sdk = client();
  const first = await signIn(sdk);
  const data = await signIn(sdk, { options: { mfa: true }, token: first.refreshJwt });
  assert.deepEqual((await sdk.validateSession(data.sessionJwt)).token.amr.sort(), ['fed', 'mfa']);
});

journey('access key', async () => {
  const sdk = client();
  const session = await sdk.exchangeAccessKey('emulator-access-key', { customClaims: { job: 'nightly' } });
  assert.equal(session.token.sub, 'K2EMULATORnightlyReports0001');
  assert.deepEqual(session.token.nsec, { job: 'nightly' });
  assert.ok(sdk.validateRoles(session, ['reporter']));
  const { data } = await sdk.accessKey.exchange('emulator-access-key');
  assert.equal(data.keyId, 'K2EMULATORnightlyReports0001');
  assert.ok(data.expiration > Date.now() / 1000);
});

journey('access key of a tenant', async () => {
  const sdk = client('machines');
  const { secret } = emulators.machines;
  const session = await sdk.exchangeAccessKey(secret, { selectedTenant: 'acme' });
  assert.equal(session.token.dct, 'acme');
  assert.ok(sdk.validateTenantRoles(session, 'acme', ['viewer']));
  refused(await sdk.accessKey.exchange(secret, { selectedTenant: 'globex' }), 403, 'E011004');
});

journey('wrong access key', async () => {
  const sdk = client();
  await assert.rejects(sdk.exchangeAccessKey('nonsense'), /could not exchange access key/);
  refused(await sdk.accessKey.exchange('nonsense'), 401, 'E062803');
});

journey('notp', async () => {
  const sdk = client('phones');
  const started = await sdk.notp.signIn(emulators.phones.phone);
  assert.deepEqual(Object.keys(started.data).sort(), ['image', 'pendingRef', 'redirectUrl']);
  const { pendingRef, redirectUrl } = started.data;
  refused(await sdk.httpClient.post('/v1/auth/notp/pending-session', { pendingRef }).then(toResult), 401, 'E066103');
  const waiting = sdk.notp.waitForSession(pendingRef, { timeoutMs: 8000 });
  assert.equal((await press(redirectUrl, ADA)).status, 200);
  const result = await waiting;
  assert.ok(result.ok, JSON.stringify(result.error));
  assert.ok((await sdk.validateSession(result.data.sessionJwt)).token.amr.includes('whatsapp'));
});

journey('notp for any phone number', async () => {
  const sdk = client('full');
  const { redirectUrl, pendingRef } = (await sdk.notp.signUpOrIn('')).data;
  assert.equal((await press(redirectUrl, ADA)).status, 200);
  const { data } = await sdk.notp.waitForSession(pendingRef, { timeoutMs: 8000 });
  const isOfSso = (path) => path === 'tenantSSOID' || path.startsWith('idpResponse');
  hasEveryField(data, (path) => isOfSso(path) || path === 'firstSeen');
  assert.equal(data.idpResponse, null);
});

journey('every field of a sign-in', async () => {
  const data = await signIn(client('full'));
  hasEveryField(data, (path) => path === 'firstSeen');
  assert.equal(typeof data.firstSeen, 'boolean');
  assert.deepEqual(data.idpResponse.idpGroups, ['engineering', 'on-call']);
  assert.deepEqual(data.idpResponse.idpSAMLAttributes, { department: ['R&D'] });
  assert.deepEqual([data.tenantSSOID, data.externalToken, data.claims], ['acme-entra', 'from-another-vendor', { plan: 'gold' }]);
  assert.deepEqual([data.cookieName, data.sessionCookieName], ['DSR', 'DS']);
});

journey('trusted device', async () => {
  const sdk = client('full');
  const { trustedDeviceJwt, user } = await signIn(sdk);
  const { token } = await sdk.validateJwt(trustedDeviceJwt);
  assert.deepEqual([token.drn, token.sub], ['DTD', user.userId]);
  refused(await sdk.refresh(trustedDeviceJwt), 401, 'E061005');
});

journey('notp and enchanted link stay pending', async () => {
  const sdk = client('phones');
  const { pendingRef } = (await sdk.notp.signIn(emulators.phones.phone)).data;
  const options = { timeoutMs: 1100 };
  const results = await Promise.all([
    sdk.notp.waitForSession(pendingRef, options),
    sdk.enchantedLink.waitForSession('unknown-pending-ref', options),
  ]);
  for (const result of results) {
    assert.deepEqual([result.ok, result.error.errorCode], [false, '0']);
  }
});

journey('enchanted link', async () => {
  const sdk = client('managed', { managementKey: 'for-management' });
  const made = await sdk.management.user.generateEnchantedLinkForTestUser(ADA, CALLBACK);
  assert.ok(made.ok, JSON.stringify(made.error));
  const { link, pendingRef } = made.data;
  refused(await sdk.httpClient.post('/v1/auth/enchantedlink/pending-session', { pendingRef }).then(toResult), 401, 'E062503');
  const waiting = sdk.enchantedLink.waitForSession(pendingRef, { timeoutMs: 8000 });
  assert.ok((await sdk.enchantedLink.verify(new URL(link).searchParams.get('t'))).ok);
  const result = await waiting;
  assert.ok(result.ok, JSON.stringify(result.error));
  assert.equal((await sdk.validateSession(result.data.sessionJwt)).token.sub, result.data.user.userId);
});

/** Converts a response to the SDK's result format. */
async function toResult(response) {
  const body = await response.json();
  return { ok: response.ok, code: response.status, error: response.ok ? undefined : body };
}
