// Runs executions in aws-local-stepfunctions: a list of them as JSON on standard input, their ends on standard output.

const fs = require("node:fs");

// The package is published for Node.js 22. This is all that Node.js 20 lacks of it.
Promise.withResolvers ??= function () {
  const parts = {};
  parts.promise = new this((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
};
const { StateMachine } = require("aws-local-stepfunctions");

// A clock that moves on to the next timer as soon as nothing else is left to do. Waits, pauses
// before retries, and time-outs end in their order and take no time.
const timers = new Map();
let now = 0;
let last = 0;
globalThis.setTimeout = (callback, milliseconds) => {
  timers.set(++last, { callback, due: now + milliseconds });
  setImmediate(moveOn);
  return last;
};
globalThis.clearTimeout = (timer) => timers.delete(timer);

function moveOn() {
  const [timer, next] = [...timers].sort(([, a], [, b]) => a.due - b.due)[0] ?? [];
  if (timer === undefined) return;
  timers.delete(timer);
  now = next.due;
  next.callback();
}

class MockedError extends Error {
  constructor(name, cause) {
    super(cause);
    this.name = name;
  }
}

const THRESHOLD = ["States.ExceedToleratedFailureThreshold", "The specified tolerated failure threshold was exceeded"];

// Returns how one execution of `definition` ended: its states, calls, status, and output or error.
async function runExecution(definition, input, context, answers, maps, children) {
  const calls = [];
  const handlers = {};
  for (const name of Object.keys(definition.States)) {
    const queue = answers[name] ?? [];
    let position = 0;
    handlers[name] = (parameters) => {
      calls.push([name, parameters]);
      const answer = queue[Math.min(position++, queue.length - 1)];
      if (answer === undefined) throw new MockedError("Unmocked", `no answer for ${name}`);
      if (answer.hangs) return new Promise(() => {});
      if (answer.error !== undefined) throw new MockedError(answer.error, answer.cause);
      return answer.result;
    };
  }
  for (const [name, map] of Object.entries(maps)) {
    handlers[name] = (parameters) => runChildren(map, parameters, context, children);
  }
  const overrides = { taskResourceLocalHandlers: handlers };
  const validationOptions = { noValidate: true };
  const execution = new StateMachine(definition, { validationOptions }).run(input, { overrides, context });
  const states = [];
  const logged = (async () => {
    for await (const event of execution.eventLogs) if (event.type === "StateEntered") states.push(event.state.name);
  })();
  let end;
  try {
    end = { status: "SUCCEEDED", output: await execution.result };
  } catch ({ cause }) {
    end = { status: "FAILED", error: cause.name, cause: cause.message };
  }
  await logged;
  return { states, calls, ...end };
}

// Runs one execution per item, one after another, as a distributed Map with a concurrency of 1 does.
async function runChildren(map, parameters, context, children) {
  const items = map.items[`${parameters.Bucket}/${parameters.Key}`];
  let failed = 0;
  for (const item of items) {
    const own = { ...context, Execution: { ...context.Execution, Id: "the ARN of the child execution" } };
    const child = await runExecution(map.processor, item, own, map.answers[item.job_id], {}, []);
    children.push({ item, ...child });
    failed += child.status === "FAILED" ? 1 : 0;
    if ((failed * 100) / items.length > parameters.ToleratedFailurePercentage) throw new MockedError(...THRESHOLD);
  }
  return null;
}

async function main() {
  const ends = [];
  for (const run of JSON.parse(fs.readFileSync(0, "utf8"))) {
    const children = [];
    const end = await runExecution(run.definition, run.input, run.context, run.answers, run.maps, children);
    ends.push({ ...end, children });
  }
  process.stdout.write(JSON.stringify(ends));
}

main();
