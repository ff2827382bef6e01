// Reading zip archives and the .npy arrays in them, as trace files are; what does not fit is refused in a sentence.

import { crc32 } from "./zip.js";

const END = 0x06054b50, ENTRY = 0x02014b50;
const END_BYTES = 22, ENTRY_BYTES = 46, LOCAL_BYTES = 30;
/** Of all members together, unpacked: more than a run of 256 steps with its pictures takes. */
const MAX_BYTES = 256 << 20;
/** @type {Record<string, any>} */
const KINDS = { "<f4": Float32Array, "<f8": Float64Array, "<i4": Int32Array, "<i2": Int16Array, "<u2": Uint16Array, "|u1": Uint8Array, "|b1": Uint8Array };

/**
 * The members of an archive by name.
 * @param {Uint8Array} bytes
 * @returns {Promise<Record<string, Uint8Array>>}
 * @throws {Error} no archive, a damaged one, or one that is too large
 */
export async function unzipped(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let end = bytes.length - END_BYTES;
  while (end >= 0 && view.getUint32(end, true) !== END) end--;
  if (end < 0) throw new Error("it is no archive, or it is cut off");
  /** @type {Record<string, Uint8Array>} */
  const members = {};
  let at = view.getUint32(end + 16, true), total = 0;
  for (let left = view.getUint16(end + 10, true); left > 0; left--) {
    if (at + ENTRY_BYTES > bytes.length || view.getUint32(at, true) !== ENTRY) throw new Error("its list of members is damaged");
    const [method, crc, packed, size] = [view.getUint16(at + 10, true), view.getUint32(at + 16, true), view.getUint32(at + 20, true), view.getUint32(at + 24, true)];
    const [name, extra, comment] = [28, 30, 32].map((place) => view.getUint16(at + place, true));
    const local = view.getUint32(at + 42, true);
    const label = new TextDecoder().decode(bytes.subarray(at + ENTRY_BYTES, at + ENTRY_BYTES + name));
    at += ENTRY_BYTES + name + extra + comment;
    total += size;
    if (total > MAX_BYTES) throw new Error(`unpacked it would have more than ${MAX_BYTES >> 20} MB`);
    if (local + LOCAL_BYTES > bytes.length) throw new Error(`${label} is damaged`);
    const from = local + LOCAL_BYTES + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    members[label] = await member(label, bytes.subarray(from, from + packed), method, size, crc);
  }
  return members;
}

/** @param {string} label @param {Uint8Array} data @param {number} method @param {number} size @param {number} crc */
async function member(label, data, method, size, crc) {
  if (method !== 0 && method !== 8) throw new Error(`${label} is packed in a way that is not read here`);
  let content = data;
  if (method === 8) {
    const stream = new Blob([/** @type {BlobPart} */ (data)]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    try {
      content = new Uint8Array(await new Response(stream).arrayBuffer());
    } catch (error) {
      throw new Error(`${label} is damaged: it cannot be unpacked`, { cause: error });
    }
  }
  if (content.length !== size || crc32(content) !== crc) throw new Error(`${label} is damaged: its content is not what was saved`);
  return content;
}

/**
 * One .npy array.
 * @param {Uint8Array} bytes
 * @returns {{ values: any, shape: number[] }} values in a typed array of their own
 * @throws {Error} something else
 */
export function arrayOf(bytes) {
  const told = bytes.length > 10 && bytes[0] === 0x93 ? new TextDecoder().decode(bytes.subarray(10, 10 + (bytes[8] | (bytes[9] << 8)))) : "";
  const said = /'descr': '([^']+)', 'fortran_order': False, 'shape': \(([\d, ]*)\)/.exec(told);
  const kind = said && KINDS[said[1]];
  if (!said || !kind) throw new Error("an array is of a kind that is not read here");
  const shape = said[2].split(",").filter((side) => side.trim()).map(Number);
  const data = bytes.slice(10 + (bytes[8] | (bytes[9] << 8)));
  const count = shape.reduce((product, side) => product * side, 1);
  if (data.length !== count * kind.BYTES_PER_ELEMENT) throw new Error("an array is cut off");
  return { values: new kind(data.buffer), shape };
}
