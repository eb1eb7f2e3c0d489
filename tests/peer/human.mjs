// Finds faces in raw images with Human, and estimates age and gender of each with its network faceres, or with gear, if
// the folder of that network is given: Human's package lacks it. Reads from standard input, for each image, width and height as 32-bit
// little-endian integers and the RGB bytes. Prints one JSON line an image.
import { createRequire } from "node:module";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";

const require = createRequire(import.meta.url);
const wasm = require("@tensorflow/tfjs-backend-wasm");
const binaries = path.dirname(require.resolve("@tensorflow/tfjs-backend-wasm")) + path.sep;
wasm.setWasmPaths(binaries);
wasm.setThreadsCount(1);
// The package's exports name no build for WebAssembly, only another one beside it.
const dist = path.dirname(require.resolve("@vladmandic/human"));
const { default: Human } = require(path.join(dist, "human.node-wasm.js"));

// This build reads its models with fetch, which in Node.js takes no file.
const gear = process.argv[2];
const folders = [path.join(dist, "..", "models"), ...(gear ? [gear] : [])];
const files = createServer((request, response) => {
  const places = folders.map((folder) => path.join(folder, path.basename(request.url)));
  const place = places.find(existsSync);
  response.writeHead(place ? 200 : 404, { "Content-Type": request.url.endsWith("json") ? "application/json" : "" });
  response.end(place && readFileSync(place));
});
await new Promise((listening) => files.listen(0, "127.0.0.1", listening));

const off = { enabled: false };
const human = new Human({
  backend: "wasm",
  wasmPath: binaries,
  modelBasePath: `http://127.0.0.1:${files.address().port}/`,
  cacheSensitivity: 0,
  filter: off,
  face: {
    detector: { rotation: true, maxDetected: 20 },
    description: { enabled: true, minConfidence: 0 },
    // Its estimates replace those of faceres.
    gear: { enabled: Boolean(gear), minConfidence: 0, modelPath: "gear.json" },
    emotion: off,
    iris: off,
  },
  body: off,
  hand: off,
  object: off,
  gesture: off,
});
await human.load();

const input = readFileSync(0);
for (let at = 0; at < input.length; ) {
  const [width, height] = [input.readUInt32LE(at), input.readUInt32LE(at + 4)];
  const bytes = 3 * width * height;
  const pixels = new Float32Array(input.subarray(at + 8, at + 8 + bytes));
  const image = human.tf.tensor(pixels, [1, height, width, 3]);
  at += 8 + bytes;
  const { face, error } = await human.detect(image);
  image.dispose();
  if (error) throw new Error(error);
  // A face that its mesh doubts has no estimate.
  const known = face.filter(({ age, gender }) => age !== undefined && gender !== undefined);
  const found = known.map(({ box: [left, top, width, height], age, gender }) => {
    return { center: [left + width / 2, top + height / 2], side: Math.max(width, height), age, gender };
  });
  console.log(JSON.stringify(found));
}
files.close();
