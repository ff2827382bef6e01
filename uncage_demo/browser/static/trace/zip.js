// A zip archive of named byte arrays, as trace files are. Deflated where the browser can, stored elsewhere.

const DATE_1980 = 0x21; // a fixed date: the same run gives the same archive
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

/** @param {Uint8Array} bytes */
export function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** @param {Uint8Array} bytes @returns {Promise<Uint8Array | null>} null where the browser cannot */
async function deflated(bytes) {
  if (typeof CompressionStream === "undefined") return null;
  const stream = new Blob([/** @type {BlobPart} */ (bytes)]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * @param {[string, Uint8Array][]} members name and content
 * @returns {Promise<Uint8Array>} the archive
 */
export async function zipped(members) {
  const parts = [], directory = [];
  let at = 0;
  for (const [name, content] of members) {
    const packed = await deflated(content);
    const data = packed || content;
    const label = new TextEncoder().encode(name);
    const common = new DataView(new ArrayBuffer(26));
    [[0, 20], [2, 0], [4, packed ? 8 : 0], [6, 0], [8, DATE_1980], [22, label.length], [24, 0]].forEach(([to, value]) => common.setUint16(to, value, true));
    [[10, crc32(content)], [14, data.length], [18, content.length]].forEach(([to, value]) => common.setUint32(to, value, true));
    const local = joined([Uint8Array.of(0x50, 0x4b, 3, 4), new Uint8Array(common.buffer), label]);
    const tail = new DataView(new ArrayBuffer(14));
    tail.setUint32(10, at, true);
    directory.push(joined([Uint8Array.of(0x50, 0x4b, 1, 2, 20, 0), new Uint8Array(common.buffer), new Uint8Array(tail.buffer), label]));
    parts.push(local, data);
    at += local.length + data.length;
  }
  const size = directory.reduce((sum, entry) => sum + entry.length, 0);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, members.length, true);
  end.setUint16(10, members.length, true);
  end.setUint32(12, size, true);
  end.setUint32(16, at, true);
  return joined([...parts, ...directory, new Uint8Array(end.buffer)]);
}

/** @param {Uint8Array[]} parts */
export function joined(parts) {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
