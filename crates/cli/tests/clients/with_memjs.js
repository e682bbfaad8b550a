// memjs: the binary protocol from Node.js, with SASL where it is asked for.

const assert = require('assert');
const net = require('net');
const path = require('path');

const [address, username, password] = process.argv.slice(2);
// Installed beside, not above, this script.
const memjs = require(path.join(process.env.CLIENTS_DIRECTORY, 'node_modules', 'memjs'));

const large = Buffer.alloc(700001, 'larger than every buffer of the server');

function client(options) {
  return memjs.Client.create(address, {retries: 1, timeout: 10, ...options});
}

// Lets time pass for the server.
function passSeconds(seconds) {
  const [host, port] = address.split(':');
  const data = `${username} ${password}`;
  const login = username ? `set auth 0 0 ${data.length}\r\n${data}\r\n` : '';
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, host, () => socket.write(`${login}debugtime ${seconds}\r\nquit\r\n`));
    let reply = '';
    socket.on('data', (data) => { reply += data; });
    socket.on('error', reject);
    socket.on('close', () => {
      assert.strictEqual(reply, login ? 'STORED\r\nOK\r\n' : 'OK\r\n');
      resolve();
    });
  });
}

async function run(options) {
  const cache = client(options);
  const value = async (key) => {
    const {value} = await cache.get(key);
    return value && value.toString();
  };
  await cache.flush();

  assert.strictEqual(await value('nothing'), null);
  assert.ok(await cache.set('text', 'grüße', {}));
  assert.strictEqual(await value('text'), 'grüße');
  assert.ok(await cache.set('large', large, {}));
  assert.ok((await cache.get('large')).value.equals(large));
  await assert.rejects(async () => {
    if (!await cache.set('large', Buffer.alloc(2000000), {})) throw new Error('not stored');
  });

  await Promise.all([...Array(500).keys()].map((i) => cache.set(`key-${i}`, `${i}`, {})));
  const many = await Promise.all([...Array(500).keys()].map((i) => value(`key-${i}`)));
  assert.deepStrictEqual(many, [...Array(500).keys()].map(String));

  assert.strictEqual(await cache.add('once', '1', {}), true);
  assert.strictEqual(await cache.add('once', '2', {}), false);
  assert.strictEqual(await cache.replace('once', '3', {}), true);
  assert.strictEqual(await cache.replace('nothing', '3', {}), false);
  assert.strictEqual(await cache.delete('once'), true);
  assert.strictEqual(await cache.delete('once'), false);

  assert.strictEqual((await cache.increment('count', 5, {initial: 9})).value, 9);
  assert.strictEqual((await cache.increment('count', 5, {initial: 9})).value, 14);
  assert.strictEqual((await cache.decrement('count', 15, {})).value, 0);

  await cache.set('short', '1', {expires: 100});
  await cache.set('long', '1', {expires: 1000});
  assert.ok(await cache.touch('text', 1000));
  await passSeconds(101);
  assert.strictEqual(await value('short'), null);
  assert.strictEqual(await value('long'), '1');
  assert.strictEqual(await value('text'), 'grüße');
  await cache.set('gone', '1', {expires: 0xffffffff});
  assert.strictEqual(await value('gone'), null, 'expired at once');

  await cache.flush();
  assert.strictEqual(await value('long'), null);
  cache.close();
}

async function main() {
  if (!username) {
    await run({});
    // Configured with credentials against a server that asks for none, as in development.
    await run({username: 'anybody', password: 'anything'});
    return;
  }
  await run({username, password});
  const refused = client({username, password: 'wrong', logger: {log: () => {}}});
  await assert.rejects(refused.set('a', '1', {}), 'a wrong password was let in');
  refused.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
