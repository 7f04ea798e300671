// Sessions: validation, refresh, tenants, profile and logout.

import assert from 'node:assert/strict';
import { ADA, client, hasEveryField, journey, emulators, refused, signIn } from './support.mjs';

journey('validate', async () => {
  const sdk = client();
  const { sessionJwt } = await signIn(sdk);
  assert.equal((await sdk.validateSession(sessionJwt)).jwt, sessionJwt);
  const [header, payload, signature] = sessionJwt.split('.');
  const flipped = `${header}.${payload}.${signature.slice(0, 9)}${signature[9] === 'A' ? 'B' : 'A'}${signature.slice(10)}`;
  await assert.rejects(sdk.validateSession(flipped), /signature verification failed/);
  await assert.rejects(sdk.validateSession(sessionJwt, { audience: 'another' }), /missing required "aud" claim/);
});

journey('refresh', async () => {
  const sdk = client();
  const { refreshJwt } = await signIn(sdk);
  const renewed = await sdk.refreshSession(refreshJwt);
  assert.deepEqual([renewed.token.drn, renewed.token.dct], ['DS', 'acme']);
  assert.equal(renewed.refreshJwt ?? refreshJwt, refreshJwt); // without rotation it may be absent
  assert.equal((await sdk.refresh(refreshJwt)).data.user, null);
});

journey('valid session is not refreshed', async () => {
  const paths = [];
  const hooks = { beforeRequest: (call) => (paths.push(call.path), call) };
  const sdk = client('typed', { hooks });
  const { sessionJwt, refreshJwt } = await signIn(sdk);
  paths.length = 0;
  assert.equal((await sdk.validateAndRefreshSession(sessionJwt, refreshJwt)).jwt, sessionJwt);
  assert.ok(!paths.includes('/v1/auth/refresh'));
  assert.equal((await sdk.validateAndRefreshSession('', refreshJwt)).token.dct, 'acme');
  assert.ok(paths.includes('/v1/auth/refresh'));
});

journey('expired session is refreshed', async () => {
  const sdk = client('prepared');
  const { session, refresh } = emulators.prepared.expired;
  await assert.rejects(sdk.validateSession(session), /"exp" claim timestamp check failed/);
  const renewed = await sdk.validateAndRefreshSession(session, refresh);
  assert.ok(renewed.token.exp > Date.now() / 1000);
});

journey('tenant switch', async () => {
  const sdk = client();
  const { refreshJwt } = await signIn(sdk);
  const { data } = await sdk.selectTenant('globex', refreshJwt);
  for (const jwt of [data.sessionJwt, data.refreshJwt]) {
    assert.equal((await sdk.validateJwt(jwt)).token.dct, 'globex');
  }
  assert.match(data.cookies[0], new RegExp(`^DSR=${data.refreshJwt}`));
  assert.equal((await sdk.refreshSession(data.refreshJwt)).token.dct, 'globex');
});

journey('every field of a tenant switch', async () => {
  const sdk = client('full');
  const { refreshJwt } = await signIn(sdk);
  const { data } = await sdk.selectTenant('globex', refreshJwt);
  hasEveryField(data, (path) => path === 'firstSeen');
  assert.deepEqual(data.user, (await sdk.me(refreshJwt)).data);
});

journey('switch to a tenant without membership', async () => {
  const sdk = client();
  const { refreshJwt } = await signIn(sdk);
  refused(await sdk.selectTenant('umbrella', refreshJwt), 403, 'E011004');
});

journey('profile', async () => {
  const sdk = client();
  const { refreshJwt, user } = await signIn(sdk);
  const { data } = await sdk.me(refreshJwt);
  assert.deepEqual(data, user);
  const roles = Object.fromEntries(data.userTenants.map((one) => [one.tenantId, one.roleNames]));
  assert.deepEqual(roles, { acme: ['admin'], globex: ['viewer'] });
});

journey('tenants', async () => {
  const sdk = client();
  const { refreshJwt } = await signIn(sdk);
  const ids = async (wanted) => (await sdk.myTenants(wanted, refreshJwt)).data.tenants.map((one) => one.id);
  assert.deepEqual(await ids(true), ['acme']);
  assert.deepEqual(await ids(['globex', 'umbrella']), ['globex']);
  refused(await sdk.myTenants(false, refreshJwt), 400, 'E011003');
});

journey('history', async () => {
  const sdk = client();
  const { refreshJwt, user } = await signIn(sdk);
  const { data } = await sdk.history(refreshJwt);
  assert.ok(Array.isArray(data));
  assert.deepEqual([data[0].userId, data[0].selectedTenant], [user.userId, 'acme']);
  assert.ok(Number.isInteger(data[0].loginTime));
});

journey('logout', async () => {
  const sdk = client();
  const { sessionJwt, refreshJwt } = await signIn(sdk);
  const result = await sdk.logout(refreshJwt);
  assert.deepEqual([result.ok, result.data.sessionJwt, result.data.refreshJwt], [true, '', '']);
  refused(await sdk.refresh(refreshJwt), 401, 'E064001');
  refused(await sdk.me(refreshJwt), 401, 'E064001');
  await assert.rejects(sdk.refreshSession(refreshJwt), /revoked by a logout/);
  assert.equal((await sdk.validateSession(sessionJwt)).token.dct, 'acme');
});

journey('logout everywhere', async () => {
  const sdk = client();
  const [first, second] = [await signIn(sdk), await signIn(sdk)];
  assert.ok((await sdk.logoutAll(first.refreshJwt)).ok);
  refused(await sdk.me(second.refreshJwt), 401, 'E064001');
});

journey('roles and permissions', async () => {
  const sdk = client();
  const session = await sdk.validateSession((await signIn(sdk)).sessionJwt);
  assert.equal(sdk.validateTenantRoles(session, 'acme', ['admin']), true);
  assert.equal(sdk.validateTenantRoles(session, 'acme', ['admin', 'owner']), false);
  assert.equal(sdk.validateTenantRoles(session, 'globex', ['admin']), false);
  assert.equal(sdk.validateTenantRoles(session, 'umbrella', []), false);
  assert.equal(sdk.validateTenantPermissions(session, 'globex', ['reports.read']), true);
  assert.deepEqual(sdk.getMatchedTenantRoles(session, 'acme', ['owner', 'admin']), ['admin']);
  assert.deepEqual(sdk.getMatchedTenantPermissions(session, 'globex', ['users.manage', 'reports.read']), ['reports.read']);
  assert.equal(sdk.validateRoles(session, ['admin']), false);
  assert.deepEqual(sdk.getMatchedPermissions(session, ['reports.read']), []);
});

journey('claims read without keys', async () => {
  const sdk = client();
  const { sessionJwt } = await signIn(sdk, { loginId: ADA });
  assert.deepEqual(sdk.getTenants(sessionJwt), ['acme', 'globex']);
  assert.equal(sdk.getCurrentTenant(sessionJwt), 'acme');
  assert.deepEqual(sdk.getJwtRoles(sessionJwt, 'globex'), ['viewer']);
  assert.deepEqual(sdk.getJwtPermissions(sessionJwt, 'globex'), ['reports.read']);
  assert.deepEqual(sdk.getJwtRoles(sessionJwt), []);
  assert.equal(sdk.isJwtExpired(sessionJwt), false);
});

journey('base URL with a slash', async () => {
  const sdk = client('typed', { baseUrl: `${emulators.typed.url}/` });
  assert.equal((await sdk.validateSession((await signIn(sdk)).sessionJwt)).token.dct, 'acme');
});
