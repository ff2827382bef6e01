// Where a finished picture shows an object too often; as ui/lessons.py.

/** @import { Subject, Verdict } from "../types" */

/**
 * The cells, row by row, of all objects that are there more often than the prompt asks for.
 * @param {Verdict} verdict the detector's
 * @param {readonly Subject[]} subjects of the prompt
 * @param {readonly number[]} grid rows, columns
 * @returns {number[]} ascending
 */
export function doubleCells({ detections }, subjects, [rows, columns]) {
  const asked = (/** @type {string} */ noun) => subjects.reduce((sum, subject) => sum + (subject.noun === noun ? subject.count : 0), 0);
  const found = (/** @type {string} */ noun) => detections.filter((one) => one.noun === noun).length;
  const double = detections.filter(({ noun }) => asked(noun) > 0 && found(noun) > asked(noun));
  return Array.from({ length: rows * columns }, (_, cell) => cell).filter((cell) => {
    const [down, right] = [(Math.floor(cell / columns) + 0.5) / rows, ((cell % columns) + 0.5) / columns];
    return double.some(({ box: [top, left, bottom, end] }) => top <= down && down < bottom && left <= right && right < end);
  });
}
