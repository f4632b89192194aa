// A backend with the SDK: sends its events, waits until all are acknowledged, prints what was.
//   node node.cjs FOLDER 1|2 HOST PATH KEY ROUNDS
const { createRequire } = require("node:module");
const [folder, line, host, endpoint, key, rounds] = process.argv.slice(2);
const load = createRequire(folder + "/");
console.info = console.log = console.warn = console.error = (...words) => process.stderr.write(words.join(" ") + "\n");
require("./events.js");

const acknowledged = [];
let answers = [];
const plain = globalThis.fetch;
globalThis.fetch = async (url, options) => {
  const answer = await plain(url, options);
  answers.push(answer.status);
  if (answer.ok) acknowledged.push(...JSON.parse(options.body).events);
  return answer;
};

const config = {
  pdata: { id: "test.backend", ver: "1.0", pid: "sdk-" + line }, env: "home", channel: "in.test", did: "backend-1",
  uid: "user-1", sid: "s-1", authtoken: key, host, endpoint, batchsize: 5,
};

async function second() {
  const { $t } = load("@project-sunbird/telemetry-sdk");
  $t.initialize({ ...config, enableValidation: true });
  return $t;
}

// The older line has no sender for Node.js: backends hand it a dispatcher of their own.
async function first() {
  const $t = load("@project-sunbird/telemetry-sdk");
  let batch = [];
  const dispatch = (event) => {
    batch.push(JSON.parse(JSON.stringify(event)));
    if (batch.length < 5 && event.eid !== "END") return;
    const events = batch;
    batch = [];
    const body = JSON.stringify({ id: "api.sunbird.telemetry", ver: "3.0", params: { msgid: "b-" + events[0].mid }, ets: Date.now(), events });
    const headers = { "Content-Type": "application/json", Authorization: "Bearer " + key };
    const send = () => fetch(host + endpoint, { method: "POST", headers, body }).catch(() => setTimeout(send, 200));
    send();
  };
  $t.initialize({ ...config, runningEnv: "server", dispatcher: { dispatch } });
  return $t;
}

(async () => {
  const $t = await (line === "1" ? first() : second());
  let sent = 0;
  for (let round = 0; round < Number(rounds); round++) {
    await $t.start(null, "do_" + round, "1", { type: "session", mode: "play", pageid: "p" });
    globalThis.sendEvents($t, round);
    $t.end({ type: "session", pageid: "p" + round });
    sent += 12;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const until = Date.now() + 60000;
  while (acknowledged.length < sent && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 50));
  process.stdout.write(JSON.stringify({ sent, acknowledged, answers }), () => process.exit(0));
})();
