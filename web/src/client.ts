/** The page's side of the worker: a request becomes a promise of its answer. */
import type { Answers, Message, Request } from "./protocol.js";

interface Pending {
  readonly resolve: (answer: never) => void;
  readonly reject: (error: Error) => void;
}

export class Client {
  private readonly worker = new Worker(new URL("worker.js", document.baseURI), { type: "module" });
  private readonly pending = new Map<number, Pending>();
  private count = 0;

  constructor(onProgress: (what: string, share: number) => void) {
    this.worker.onmessage = (event: MessageEvent<Message>): void => {
      const message = event.data;
      if ("progress" in message) {
        onProgress(message.progress.what, message.progress.share);
        return;
      }
      const request = this.pending.get(message.id);
      this.pending.delete(message.id);
      if ("error" in message) request?.reject(new Error(message.error));
      else request?.resolve(message.answer as never);
    };
    this.worker.onerror = (event): void => {
      for (const request of this.pending.values()) {
        request.reject(new Error(event.message || "The worker of the page cannot be loaded."));
      }
      this.pending.clear();
    };
  }

  ask<K extends Request["kind"]>(request: Extract<Request, { kind: K }>): Promise<Answers[K]> {
    const id = this.count++;
    return new Promise<Answers[K]>((resolve, reject) => {
      this.pending.set(id, { resolve: resolve as (answer: never) => void, reject });
      this.worker.postMessage({ ...request, id });
    });
  }
}
