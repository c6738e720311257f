/**
 * A service worker that isolates the page from other sites, which browsers require for threads.
 *
 * A server does this with two headers. Static hosts such as GitHub Pages do not send them, so that
 * this worker adds them to the answers of the site itself. It stores nothing and asks no other host.
 */
interface WorkerScope {
  skipWaiting(): Promise<void>;
  readonly clients: { claim(): Promise<void> };
  addEventListener(kind: string, listener: (event: never) => void): void;
}

interface FetchEvent extends Event {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}

const scope = self as unknown as WorkerScope;

async function isolated(request: Request): Promise<Response> {
  const response = await fetch(request);
  if (response.status === 0) return response; // an opaque answer cannot be changed
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  const { status, statusText } = response;
  const empty = status === 204 || status === 304;
  return new Response(empty ? null : response.body, { status, statusText, headers });
}

scope.addEventListener("install", () => void scope.skipWaiting());
scope.addEventListener("activate", (event: { waitUntil(done: Promise<void>): void }) => {
  event.waitUntil(scope.clients.claim());
});
scope.addEventListener("fetch", (event: FetchEvent) => {
  const { request } = event;
  const own = new URL(request.url).origin === location.origin;
  if (own && !(request.cache === "only-if-cached" && request.mode !== "same-origin")) {
    event.respondWith(isolated(request));
  }
});
