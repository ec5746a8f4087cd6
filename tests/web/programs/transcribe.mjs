/* Sends samples of a file of 16-bit samples at 16 kHz as it is told; prints every event as a line of JSON. */
import { createReadStream } from "node:fs";
import { connect } from "../../../client/javascript/src/index.js";

const [address, path, pace, options] = process.argv.slice(2);

/** Pieces of odd sizes, so that samples are cut in two; in real time if `pace` is 1. */
async function* pieces() {
  const began = performance.now();
  let seconds = 0;
  for await (const piece of createReadStream(path, { highWaterMark: 3201 })) {
    seconds += piece.length / 32_000;
    yield piece;
    const ahead = seconds * 1000 * Number(pace) - (performance.now() - began);
    if (ahead > 0) await new Promise((resolve) => setTimeout(resolve, ahead));
  }
}

try {
  const stream = await connect(address, { ...JSON.parse(options ?? "{}"), source: pieces(), sampleRate: 16_000 });
  for await (const event of stream) console.log(JSON.stringify(event));
} catch (error) {
  console.log(JSON.stringify({ type: "failed", code: error.code ?? String(error), message: error.message }));
}
