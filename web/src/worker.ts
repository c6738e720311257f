/** The worker that computes, so that the page stays responsive. */
import { Engine } from "./engine.js";
import type { Answers, Message, RequestMessage } from "./protocol.js";

function post(message: Message): void {
  self.postMessage(message);
}

const engine = new Engine((what, share) => post({ progress: { what, share } }));

async function answer(request: RequestMessage): Promise<Answers[keyof Answers]> {
  switch (request.kind) {
    case "load":
      return engine.load(request.base);
    case "explain":
      return engine.explain(request.image, request.words);
    case "words":
      return engine.scores(request.words);
    case "attention":
      return engine.attention(request.patch);
    case "encode":
      return engine.encode(request.word);
  }
}

// Requests are answered one after the other: a session runs one image at a time.
let last: Promise<void> = Promise.resolve();
self.onmessage = (event: MessageEvent<RequestMessage>): void => {
  const request = event.data;
  last = last.then(async () => {
    try {
      post({ id: request.id, answer: await answer(request) });
    } catch (error) {
      post({ id: request.id, error: error instanceof Error ? error.message : String(error) });
    }
  });
};
