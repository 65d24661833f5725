// Gives each test its row in `pgsonde audit`. Outside of an audit it does nothing.
//
// node:test
//   import { beforeEach, afterEach } from 'node:test';
//   import { mark } from './deploy/hooks/pgsonde.mjs';
//   beforeEach((t) => mark(t.name)); afterEach(() => mark(null));
//
// Jest (setupFilesAfterEnv) and Vitest (setupFiles)
//   import { mark } from './deploy/hooks/pgsonde.mjs';
//   beforeEach(() => mark(expect.getState().currentTestName));
//   afterEach(() => mark(null));

const { PGSONDE_ADMIN: admin, PGSONDE_TOKEN: token } = process.env;

/** Everything of this process runs under `name` from now on; `null` ends it. */
export async function mark(name) {
  if (!admin || !token) return;
  const answer = await fetch(`${admin}/api/v1/marks`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ mark: name && name.slice(0, 80) }),
    signal: AbortSignal.timeout(5000),
  });
  if (!answer.ok) throw new Error(`pgsonde: ${answer.status} ${await answer.text()}`);
}
