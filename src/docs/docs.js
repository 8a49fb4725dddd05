"use strict";

// Everything shown is set as text, never as markup: what a server says cannot become a script here.
const by = (id) => document.getElementById(id);

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) element.setAttribute(key, value);
  }
  for (const child of children) {
    if (child !== undefined && child !== null) element.append(child);
  }
  return element;
}

let spec = {};

const resolve = (schema) => {
  let at = schema ?? {};
  for (let n = 0; at.$ref && n < 9; n += 1) {
    at = at.$ref.slice(2).split("/").reduce((node, key) => node?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], spec) ?? {};
  }
  return at;
};

function example(schema, depth = 0) {
  if (!schema || depth > 6) return undefined;
  if (schema.example !== undefined) return schema.example;
  const at = resolve(schema);
  if (at.example !== undefined) return at.example;
  if (at.enum) return at.enum[0];
  for (const part of at.oneOf ?? at.anyOf ?? []) {
    const found = resolve(part).type === "null" ? undefined : example(part, depth + 1);
    if (found !== undefined) return found;
  }
  if (at.allOf) return Object.assign({}, ...at.allOf.map((part) => example(part, depth + 1)));
  if (at.properties) {
    const out = {};
    for (const [key, value] of Object.entries(at.properties)) {
      const found = example(value, depth + 1);
      if (found !== undefined && found !== null) out[key] = found;
    }
    return out;
  }
  if (at.items) {
    const item = example(at.items, depth + 1);
    return item === undefined ? [] : [item];
  }
  return undefined;
}

function kind(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.oneOf) return schema.oneOf.map(kind).join(" or ");
  const types = [].concat(schema.type ?? "any");
  const named = types.map((type) => (type === "array" ? `list of ${kind(schema.items)}` : type)).join(" or ");
  const bounds = [];
  if (schema.format) bounds.push(schema.format);
  if (schema.minimum !== undefined || schema.maximum !== undefined) bounds.push(`${schema.minimum ?? ""} … ${schema.maximum ?? ""}`);
  if (schema.maxLength !== undefined) bounds.push(`at most ${schema.maxLength} characters`);
  if (schema.enum) bounds.push(schema.enum.join(", "));
  return bounds.length ? `${named} (${bounds.join("; ")})` : named;
}

// What a value may hold: what stands behind references, lists and "null or this".
function members(schema) {
  const at = resolve(schema);
  if (at.items) return members(at.items);
  const parts = [...(at.allOf ?? []), ...(at.oneOf ?? []), ...(at.anyOf ?? [])].map(members);
  const own = Object.entries(at.properties ?? {}).map(([name, property]) => [name, property, (at.required ?? []).includes(name)]);
  return [...parts.flat(), ...own];
}

function fields(schema) {
  const all = members(schema);
  if (!all.length) return make("p", { class: "muted" }, kind(schema));
  const body = make("tbody");
  for (const [name, property, needed] of all) {
    const about = make("td", {}, property.description ?? resolve(property).description ?? "");
    if (members(property).length) {
      // Filled when it is opened, so that what holds itself has an end.
      const inner = make("details", {}, make("summary", {}, `members of ${name}`));
      inner.addEventListener("toggle", () => { if (inner.open && inner.children.length === 1) inner.append(fields(property)); });
      about.append(inner);
    }
    body.append(make("tr", {}, make("td", {}, make("code", {}, name), needed ? " *" : ""), make("td", {}, kind(property)), about));
  }
  const head = make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "member (* required)"), make("th", { scope: "col" }, "kind"), make("th", { scope: "col" }, "what")));
  return make("table", {}, head, body);
}

// In a shell's single quotes.
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

async function call(method, path, headers, body) {
  const token = by("token").value.trim();
  const all = { ...headers };
  if (token) all.Authorization = `Bearer ${token}`;
  const response = await fetch(path, { method, headers: all, body });
  const text = await response.text();
  const kept = ["etag", "location", "retry-after", "x-request-id"].filter((name) => response.headers.has(name));
  const lines = kept.map((name) => `${name}: ${response.headers.get(name)}`);
  let shown = text;
  try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: as it is */ }
  return { status: response.status, text: shown.slice(0, 100000), lines, json: () => JSON.parse(text) };
}

function operation(path, method, value) {
  const summary = make("summary", {}, make("span", { class: `method ${method}` }, method.toUpperCase()), make("span", { class: "path" }, path), ` ${value.summary ?? ""}`);
  const box = make("details", { id: value.operationId }, summary);
  box.addEventListener("toggle", () => { if (box.open && box.children.length === 1) fill(box, path, method, value); });
  return box;
}

function fill(box, path, method, value) {
  if (value.description) box.append(make("p", {}, value.description));
  const needs = (value.security ?? []).flatMap((one) => Object.values(one).flat());
  box.append(make("p", { class: "muted" }, needs.length ? `Needs: ${needs.join(" or ")}` : "Needs no particular action"));
  const inputs = [];
  for (const parameter of value.parameters ?? []) {
    const shown = parameter.in === "path" ? parameter.example ?? example(parameter.schema) : undefined;
    const input = make("input", { value: shown, placeholder: parameter.example ?? parameter.schema?.example, autocomplete: "off" });
    inputs.push([parameter, input]);
    const about = [parameter.in, kind(parameter.schema), parameter.description].filter(Boolean).join("; ");
    box.append(make("p", {}, make("label", {}, make("code", {}, parameter.name), parameter.required ? " * " : " ", input), make("br"), make("span", { class: "muted" }, about)));
  }
  let body;
  const [type, media] = Object.entries(value.requestBody?.content ?? {})[0] ?? [];
  if (media) {
    const given = media.example ?? example(media.schema) ?? {};
    body = make("textarea", { "aria-label": "Body", spellcheck: "false" });
    body.value = typeof given === "string" ? given : JSON.stringify(given, null, 2);
    box.append(make("h3", {}, `Body: ${type}`), fields(media.schema), body);
  }
  const out = make("div", { role: "status" });
  const button = make("button", { type: "button" }, "Send");
  const shown = make("button", { type: "button" }, "Show as curl");
  const asked = () => {
    let target = path;
    const query = new URLSearchParams();
    const headers = type ? { "Content-Type": type } : {};
    for (const [parameter, input] of inputs) {
      if (!input.value) continue;
      if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (parameter.in === "query") query.set(parameter.name, input.value);
      else headers[parameter.name] = input.value;
    }
    return { target: query.size ? `${target}?${query}` : target, headers };
  };
  shown.addEventListener("click", () => {
    const { target, headers } = asked();
    const words = [`curl -sS -X ${method.toUpperCase()} ${quoted(location.origin + target)}`];
    if (by("token").value.trim()) words.push('-H "Authorization: Bearer $TOKEN"');
    for (const [name, value] of Object.entries(headers)) words.push(`-H ${quoted(`${name}: ${value}`)}`);
    if (body) words.push(`--data-binary ${quoted(body.value)}`);
    out.replaceChildren(make("pre", { tabindex: "0" }, words.join(" \\\n  ")));
  });
  button.addEventListener("click", async () => {
    const { target, headers } = asked();
    out.replaceChildren("…");
    try {
      const answer = await call(method.toUpperCase(), target, headers, body?.value);
      out.replaceChildren(make("p", {}, `${answer.status} ${target}`), make("pre", { tabindex: "0" }, [...answer.lines, "", answer.text].join("\n").trim()));
    } catch (error) {
      out.replaceChildren(`It could not be sent: ${error.message}`);
    }
  });
  box.append(make("p", { class: "row" }, button, shown), out, make("h3", {}, "Answers"));
  for (const [status, response] of Object.entries(value.responses ?? {})) {
    const [, answer] = Object.entries(response.content ?? {})[0] ?? [];
    const part = make("details", {}, make("summary", {}, `${status} ${response.description ?? ""}`));
    if (answer?.schema) part.append(fields(answer.schema));
    box.append(part);
  }
}

async function start() {
  by("token").value = sessionStorage.getItem("token") ?? "";
  by("token").addEventListener("change", () => sessionStorage.setItem("token", by("token").value.trim()));
  const say = (text) => by("said").replaceChildren(text);
  const json = { "Content-Type": "application/json" };
  by("ask").addEventListener("click", async () => {
    const answer = await call("POST", "/v1/auth/otp", json, JSON.stringify({ phone: by("phone").value.trim() }));
    say(answer.status === 202 ? "If the number is on the roster, a code is on its way." : answer.text);
  });
  by("enter").addEventListener("click", async () => {
    const device = { id: sessionStorage.getItem("device") ?? crypto.randomUUID(), name: "docs page" };
    sessionStorage.setItem("device", device.id);
    const request = { grant_type: "otp", phone: by("phone").value.trim(), code: by("code").value.trim(), device };
    const answer = await call("POST", "/v1/auth/token", json, JSON.stringify(request));
    if (answer.status !== 200) { say(answer.text); return; }
    by("token").value = answer.json().access_token;
    sessionStorage.setItem("token", by("token").value);
    say(`Signed in as ${answer.json().worker.name}.`);
  });
  spec = await (await fetch("/openapi.json")).json();
  by("about").replaceChildren(`${spec.info.description ?? ""} Version ${spec.info.version}; the document: `, make("a", { href: "/openapi.json" }, "/openapi.json"));
  const tags = new Map();
  for (const [path, item] of Object.entries(spec.paths)) {
    for (const [method, value] of Object.entries(item)) {
      const tag = value.tags?.[0] ?? "other";
      if (!tags.has(tag)) tags.set(tag, []);
      tags.get(tag).push(operation(path, method, value));
    }
  }
  for (const [tag, boxes] of tags) {
    by("tags").append(make("a", { href: `#tag-${tag}` }, tag));
    by("operations").append(make("h2", { id: `tag-${tag}` }, tag), ...boxes);
  }
}

start();
