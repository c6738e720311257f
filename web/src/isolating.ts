/** Isolates the page from other sites where the server does not, so that threads can be used. */

const TRIED = "clip-surgery-isolation";
const WAIT_MS = 3000;

/**
 * Returns whether the page goes on. It does not if it is about to be loaded again by its service
 * worker. Where service workers are refused, the page goes on with one thread.
 */
export async function becomeIsolated(): Promise<boolean> {
  if (crossOriginIsolated || !("serviceWorker" in navigator) || window.top !== window) return true;
  try {
    if (sessionStorage.getItem(TRIED) !== null) return true;
    sessionStorage.setItem(TRIED, "yes");
    const registered = navigator.serviceWorker.register("isolation.js", { type: "module" });
    const active = registered.then(() => navigator.serviceWorker.ready).then(() => true);
    const late = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), WAIT_MS));
    if (!(await Promise.race([active, late]))) return true;
    location.reload();
    return false;
  } catch {
    return true; // private windows and some settings refuse storage or service workers
  }
}
