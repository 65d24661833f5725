// Where answers come from: the proxy that served this page, or the data inside a report file.

export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string | null,
    message: string,
    readonly help: string | null = null,
  ) {
    super(message);
  }
}

export type Parameters = Record<string, string>;

const data = document.getElementById("data");

/** Whether this is a report file: nothing is asked for over the network. */
export const isFile = data !== null;

/** Where applications connect, as the proxy wrote it into the page. */
export const listen = document.querySelector<HTMLMetaElement>("meta[name=pgsonde-listen]")?.content ?? "127.0.0.1:6435";

let unpacked: Promise<Map<string, unknown>> | undefined;

/** Paths as one spelling, so that two encoders of the same name agree. */
function normal(path: string): string {
  const part = (text: string) => {
    try {
      return encodeURIComponent(decodeURIComponent(text));
    } catch {
      return text;
    }
  };
  return path.split("/").map(part).join("/");
}

export async function unpack(text: string): Promise<Map<string, unknown>> {
  const packed = Uint8Array.from(atob(text.trim()), (char) => char.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const answers = JSON.parse(await new Response(stream).text()) as Record<string, unknown>;
  return new Map(Object.entries(answers).map(([path, answer]) => [normal(path), answer]));
}

async function fromFile<T>(path: string): Promise<T> {
  unpacked ??= unpack(data?.textContent ?? "");
  const answer = (await unpacked).get(normal(path));
  if (answer === undefined) throw new Problem(404, "FILE", "A report file does not hold this.");
  return answer as T;
}

const TOKEN = "pgsonde-token";

export const token = {
  value: (): string | null => sessionStorage.getItem(TOKEN),
  keep: (value: string): void => sessionStorage.setItem(TOKEN, value),
};

/** Takes the token out of the address, so that nobody copies it along with a link. */
export function takeToken(): void {
  const found = /^#token=([^&/]+)/.exec(location.hash);
  if (!found?.[1]) return;
  try {
    token.keep(decodeURIComponent(found[1]));
  } catch {
    token.keep(found[1]);
  }
  history.replaceState(null, "", `${location.pathname}${location.search}#/`);
}

function headers(): Record<string, string> {
  const value = token.value();
  return value === null ? {} : { authorization: `Bearer ${value}` };
}

async function refusal(response: Response): Promise<Problem> {
  const body = (await response.json().catch(() => ({}))) as { code?: string; detail?: string; help?: string };
  const what = body.detail ?? `${response.status} ${response.statusText}`;
  return new Problem(response.status, body.code ?? null, what, body.help ?? null);
}

export async function open(path: string, parameters: Parameters, init: RequestInit): Promise<Response> {
  const query = new URLSearchParams(parameters).toString();
  let response: Response;
  try {
    response = await fetch(query === "" ? path : `${path}?${query}`, {
      ...init,
      headers: { ...headers(), ...init.headers },
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, null, "The proxy does not answer.", "It may have ended; this page goes on when it is back.");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

/** The one way to read: served, it asks; in a file, it looks up (parameters are dropped there). */
export async function get<T>(path: string, parameters: Parameters = {}, signal?: AbortSignal): Promise<T> {
  if (isFile) return fromFile<T>(path);
  const response = await open(path, parameters, signal ? { signal } : {});
  return (await response.json()) as T;
}

/** The one way to write. */
export async function send<T>(method: string, path: string, body: unknown): Promise<T> {
  const response = await open(path, {}, {
    method,
    body: JSON.stringify(body),
    headers: { "content-type": "application/json" },
  });
  return (await response.json().catch(() => null)) as T;
}
