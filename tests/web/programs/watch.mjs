/* Prints what is said in a view, line by line as JSON, until so many lines were said. */
import { watch } from "../../../client/javascript/src/index.js";

const [address, view, lines] = process.argv.slice(2);
let said = 0;
for await (const event of watch(address, view)) {
  console.log(JSON.stringify(event));
  said += event.type === "final" ? 1 : 0;
  if (said === Number(lines)) break;
}
