// What computes in this browser: WebGPU where there is a graphics processor for it, WebAssembly elsewhere; and why. Knows no markup.

/** @import { Device } from "../types" */
import { PLAIN } from "../backends/devices.js";

/** @typedef {Device & { reason: string }} Chosen reason = why not WebGPU; "" where it is, or where somebody chose */

/** What a visitor may choose. "software" is for tests: WebGPU computed by the processor itself, which is slower than anything else. */
export const WISHES = ["auto", "webgpu", "wasm", "software"];
/** A first visit compiles the model for the graphics processor; one that takes longer is not worth waiting for. */
export const WEBGPU_PATIENCE_MS = 45_000;

/** The processor compiles and computes for minutes what a graphics processor does in a second. */
const SOFTWARE_PATIENCE = { start_ms: 600_000, first_ms: 600_000, least_ms: 600_000, times: 10 };

/** @param {string} [reason] @returns {Chosen} */
export function webAssembly(reason = "") {
  return { ...PLAIN, reason };
}

/**
 * @param {string} wish one of WISHES
 * @param {any} [gpu] as navigator.gpu
 * @returns {Promise<Chosen>}
 */
export async function chooseDevice(wish, gpu = /** @type {any} */ (navigator).gpu) {
  if (wish === "wasm") return webAssembly();
  if (!gpu) return webAssembly(globalThis.isSecureContext ? "this browser has no WebGPU" : "browsers have WebGPU on pages that come over https only");
  const adapter = await gpu.requestAdapter().catch(() => null);
  if (!adapter) return webAssembly("this browser has WebGPU, but no graphics processor for it");
  const info = adapter.info || {};
  if ((info.isFallbackAdapter || adapter.isFallbackAdapter) && wish !== "software") return webAssembly("WebGPU would be computed by the processor itself here");
  const told = [info.vendor, info.architecture].filter(Boolean).join(" ");
  const patience = wish === "software" ? { patience: SOFTWARE_PATIENCE } : {};
  return { build: "webgpu", name: told ? `WebGPU (${told})` : "WebGPU", reason: "", hurry: wish === "auto", ...patience };
}
