// From the detector's numbers to what it sees; as backends/embedded/detector.py and the detections of backend.py.

/** @import { FoundObject, Manifest } from "../types" */

// A weaker peak within this many cells of a stronger one is the same object.
const RADIUS = 2;

/**
 * Detections of one picture, strongest first.
 * @param {Manifest} manifest
 * @param {Float32Array} centre "noun y x" logits
 * @param {Float32Array} style "style y x" logits
 * @returns {FoundObject[]}
 */
export function foundObjects(manifest, centre, style) {
  const [rows, columns] = manifest.model.grid;
  const { threshold } = manifest.detector;
  const cells = rows * columns;
  const probability = Float32Array.from(centre, (logit) => 1 / (1 + Math.exp(-logit)));
  /** @type {{ score: number, noun: number, y: number, x: number }[]} */
  const peaks = [];
  probability.forEach((score, at) => {
    if (score > threshold) peaks.push({ score, noun: Math.floor(at / cells), y: Math.floor((at % cells) / columns), x: at % columns });
  });
  peaks.sort((a, b) => b.score - a.score || b.noun - a.noun || b.y - a.y || b.x - a.x);
  const kept = peaks.slice(0, 0);
  for (const peak of peaks) {
    if (kept.every((other) => Math.max(Math.abs(peak.y - other.y), Math.abs(peak.x - other.x)) > RADIUS)) kept.push(peak);
  }
  return kept.map(({ score, noun, y, x }) => {
    const half = manifest.detector.object_cells / 2;
    let color = 0;
    for (let k = 1; k < manifest.styles.length; k++) if (style[k * cells + y * columns + x] > style[color * cells + y * columns + x]) color = k;
    return {
      noun: manifest.nouns[noun],
      color: manifest.styles[color],
      score,
      box: [
        Math.max(0, (y + 0.5 - half) / rows), Math.max(0, (x + 0.5 - half) / columns),
        Math.min(1, (y + 0.5 + half) / rows), Math.min(1, (x + 0.5 + half) / columns),
      ],
      rival: rivalOf(manifest, probability, noun, y, x),
    };
  });
}

/**
 * The likeliest other noun around a detection, or "".
 * @param {Manifest} manifest @param {Float32Array} probability @param {number} noun @param {number} y @param {number} x
 */
function rivalOf(manifest, probability, noun, y, x) {
  const [rows, columns] = manifest.model.grid;
  const near = manifest.nouns.map((_, k) => {
    if (k === noun) return 0;
    let most = 0;
    for (let row = Math.max(0, y - 1); row < Math.min(rows, y + 2); row++) {
      for (let column = Math.max(0, x - 1); column < Math.min(columns, x + 2); column++) most = Math.max(most, probability[(k * rows + row) * columns + column]);
    }
    return most;
  });
  const best = near.indexOf(Math.max(...near));
  return near[best] >= manifest.detector.rival ? manifest.nouns[best] : "";
}
