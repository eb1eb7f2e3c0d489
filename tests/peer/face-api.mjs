// Times face-api.js's age and gender network on one thread of TensorFlow.js's WebAssembly backend: one number, ms, p50.
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(import.meta.url);
const wasm = require("@tensorflow/tfjs-backend-wasm");
wasm.setWasmPaths(path.dirname(require.resolve("@tensorflow/tfjs-backend-wasm")) + path.sep);
wasm.setThreadsCount(1);
const faceapi = require("@vladmandic/face-api/dist/face-api.node-wasm.js");

const [runs, warmUp] = process.argv.slice(2).map(Number);
await faceapi.tf.setBackend("wasm");
await faceapi.tf.ready();
const model = path.join(path.dirname(require.resolve("@vladmandic/face-api/package.json")), "model");
await faceapi.nets.ageGenderNet.loadFromDisk(model);
// The size that the network itself resizes to.
const face = faceapi.tf.randomUniform([1, 112, 112, 3], 0, 255);

const times = [];
for (let run = 0; run < warmUp + runs; run++) {
  const started = performance.now();
  await faceapi.nets.ageGenderNet.predictAgeAndGender(face);
  if (run >= warmUp) times.push(performance.now() - started);
}
console.log(times.sort((one, other) => one - other)[Math.floor(runs / 2)]);
