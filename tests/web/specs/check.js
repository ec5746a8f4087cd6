/** Checks for the specs: they throw what is wrong. */

export function equal(actual, expected, what = "value") {
  const [left, right] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (left !== right) throw new Error(`${what} is ${left}; it must be ${right}`);
}

export function throws(action, code) {
  try {
    action();
  } catch (error) {
    return equal(error.code, code, "the error's code");
  }
  throw new Error(`nothing was thrown; it must be ${code}`);
}

/** Numbers from 0 to 1 that a seed determines (mulberry32). */
export function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let value = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296;
  };
}
