// A key's whole life with fetch and the types that openapi-typescript makes; tsc --strict.
import type { components, paths } from "./schema.d.ts";

declare const process: { env: Record<string, string | undefined> };
type ApiError = components["schemas"]["ApiError"];
type Method = "get" | "post" | "delete";
type Answer<Path extends keyof paths, M extends Method> = paths[Path][M] extends {
  responses: infer All;
}
  ? All extends { 200: { content: { "application/json": infer Body } } }
    ? Body
    : All extends { 201: { content: { "application/json": infer Body } } }
      ? Body
      : never
  : never;

const { URL: url = "", KEY: first = "", STUB: stub = "" } = process.env;

async function call<Path extends keyof paths, M extends Method>(
  path: Path,
  method: M,
  options: { key?: string; id?: string; query?: string; body?: unknown; from?: string } = {},
): Promise<{ ok: true; data: Answer<Path, M> } | { ok: false; data: ApiError }> {
  const { key = first, id = "", query = "", body, from = url } = options;
  const response = await fetch(from + path.replace("{key_id}", id) + query, {
    method: method.toUpperCase(),
    headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
    body: body === undefined ? null : JSON.stringify(body),
  });
  const data = await response.json();
  return response.ok ? { ok: true, data } : { ok: false, data };
}

function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

const wanted: components["schemas"]["ApiKeyCreate"] = { name: "Generated", scopes: ["tests:read"] };
const made = await call("/v1/keys", "post", { body: wanted });
assert(made.ok, "made");
const id = made.data.id;
const me = await call("/v1/auth/me", "get", { key: made.data.key });
assert(me.ok && me.data.key_id === id, "used");
const listed = await call("/v1/keys", "get", { query: "?status=active&limit=2" });
assert(listed.ok && listed.data.data[0]?.id === id, "listed");
const rotated = await call("/v1/keys/{key_id}/rotate", "post", { id, body: { overlap_seconds: 0 } });
assert(rotated.ok && rotated.data.key !== made.data.key, "rotated");
const log = await call("/v1/events", "get", { query: `?key=${id}` });
assert(log.ok, "events");
const actions = log.data.data.map((event) => event.action);
assert(actions.join() === "api_key.rotated,api_key.issued", "events");
const revoked = await call("/v1/keys/{key_id}", "delete", { id, query: "?reason=leaked" });
assert(revoked.ok && revoked.data.status === "revoked", "revoked");
const refused = await call("/v1/auth/me", "get", { key: rotated.data.key });
assert(!refused.ok && refused.data.error.code === "api_key_invalid", "refused");

const strange = await call("/v1/auth/me", "get", { from: stub });
assert(!strange.ok && strange.data.error.code === "code_of_tomorrow", "unknown code");
const keys = await call("/v1/keys", "get", { from: stub });
assert(keys.ok && keys.data.data[0]?.status === "hibernating", "unknown status");
