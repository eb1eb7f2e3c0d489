// Detects faces in raw images with face-api.js, and estimates age and gender of each. Reads from standard input, for
// each image, width and height as 32-bit little-endian integers and the RGB bytes. Prints one JSON line an image.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import path from "node:path";

const require = createRequire(import.meta.url);
const wasm = require("@tensorflow/tfjs-backend-wasm");
wasm.setWasmPaths(path.dirname(require.resolve("@tensorflow/tfjs-backend-wasm")) + path.sep);
wasm.setThreadsCount(1);
const faceapi = require("@vladmandic/face-api/dist/face-api.node-wasm.js");

await faceapi.tf.setBackend("wasm");
await faceapi.tf.ready();
const model = path.join(path.dirname(require.resolve("@vladmandic/face-api/package.json")), "model");
await faceapi.nets.ssdMobilenetv1.loadFromDisk(model);
await faceapi.nets.ageGenderNet.loadFromDisk(model);

const input = readFileSync(0);
for (let at = 0; at < input.length; ) {
  const [width, height] = [input.readUInt32LE(at), input.readUInt32LE(at + 4)];
  const bytes = 3 * width * height;
  const image = faceapi.tf.tensor3d(new Uint8Array(input.subarray(at + 8, at + 8 + bytes)), [height, width, 3], "int32");
  at += 8 + bytes;
  const faces = await faceapi.detectAllFaces(image, new faceapi.SsdMobilenetv1Options()).withAgeAndGender();
  image.dispose();
  const found = faces.map(({ detection: { box }, age, gender }) => {
    const center = [box.x + box.width / 2, box.y + box.height / 2];
    return { center, side: Math.max(box.width, box.height), age, gender };
  });
  console.log(JSON.stringify(found));
}
