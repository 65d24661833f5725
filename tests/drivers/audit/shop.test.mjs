// The same shop for node:test and pg: SHOP_FIXED=1 asks for all customers at once.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { mark } from '../../../deploy/hooks/pgsonde.mjs';

const { Client } = createRequire(`${process.env.PGSONDE_NODE}/package.json`)('pg');
const client = new Client({ connectionString: process.env.DATABASE_URL });

before(() => client.connect());
after(() => client.end());
beforeEach((t) => mark(t.name));
afterEach(() => mark(null));

test('order list', async () => {
  await client.query('BEGIN');
  const { rows } = await client.query('SELECT id, customer_id FROM orders ORDER BY id');
  const ids = rows.map((row) => row.customer_id);
  const found = process.env.SHOP_FIXED === '1'
    ? (await client.query('SELECT name FROM customers WHERE id = ANY($1)', [ids])).rows
    : await Promise.all(ids.map(async (id) => (await client.query('SELECT name FROM customers WHERE id = $1', [id])).rows[0]));
  await client.query('COMMIT');
  assert.equal(found.length, 12);
});

test('order count', async () => {
  const { rows } = await client.query('SELECT count(*)::int AS n FROM orders');
  assert.equal(rows[0].n, 12);
});
