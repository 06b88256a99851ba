// Asks /predict for what the form holds, and says what is wrong with it.

import { element, outdate, show, withdraw } from "./answer.js";

const question = document.getElementById("question");
const keyForm = document.getElementById("key");
const fields = [...question.querySelectorAll(".field")].map(describe);
const labels = new Map(fields.map((field) => [field.name, field.label]));
const KEY = `key ${location.pathname}`;
// What a service answers that knows no ?explain=true; any other refusal is about the question itself.
const NO_EXPLANATIONS = new Set([400, 404, 405, 500, 501]);
let asking = null;

function describe(box) {
  const { name, kind, label, example } = box.dataset;
  const controls = [...box.querySelectorAll("input, select")];
  const unknown = controls.find((control) => control.type === "checkbox");
  const radios = controls.filter((control) => control.type === "radio");
  const control = radios[0] ?? controls.find((one) => one !== unknown);
  const fault = box.querySelector(".fault");
  const described = box.querySelector("[aria-describedby]");
  return { name, kind, label, example, box, control, radios, unknown, fault, described };
}

// ---- from the form to JSON ----

/** The field's value as JSON text, or null where nothing is filled in. */
function read(field) {
  if (field.unknown?.checked) return "null";
  if (field.radios.length) return field.radios.find((radio) => radio.checked)?.value ?? null;
  const text = field.control.value;
  if (field.control.tagName === "SELECT") return text === "" ? null : text;
  const trimmed = text.trim();
  if (trimmed === "") return null;
  if (field.kind === "integer" || field.kind === "number") return asNumber(trimmed) ?? JSON.stringify(text);
  return JSON.stringify(field.kind === "string" ? text : trimmed);
}

/** A number as JSON writes it, digit by digit, so that none is rounded here; null if it is no number. */
function asNumber(text) {
  const parts = /^([+\u2212-]?)(\d*)(?:\.(\d*))?(?:e([+-]?\d+))?$/i.exec(text);
  if (!parts || !(parts[2] || parts[3])) return null;
  const [, sign, whole, fraction, power] = parts;
  const digits = whole.replace(/^0+(?=\d)/, "") || "0";
  return `${sign === "" || sign === "+" ? "" : "-"}${digits}${fraction ? `.${fraction}` : ""}${power ? `e${power}` : ""}`;
}

function write(field, json) {
  if (field.radios.length) {
    for (const radio of field.radios) radio.checked = radio.value === json;
  } else if (field.control.tagName === "SELECT") {
    field.control.value = json;
  } else {
    const value = JSON.parse(json);
    if (field.unknown) field.unknown.checked = value === null;
    field.control.value = value === null ? "" : field.control.type === "datetime-local" ? asLocal(value) : String(value);
  }
  settle(field);
}

/** A moment in ISO 8601, in UTC, as a datetime field takes it. */
function asLocal(text) {
  const zoned = /(Z|[+-]\d\d:\d\d)$/.test(text) ? text : `${text.replace(" ", "T")}${text.length > 10 ? "Z" : "T00:00Z"}`;
  return new Date(zoned).toISOString().slice(0, 19);
}

function settle(field) {
  if (field.unknown) field.control.disabled = field.unknown.checked;
}

// ---- to the service and back ----

function ask(path, body) {
  const headers = { "Content-Type": "application/json" };
  const key = sessionStorage.getItem(KEY);
  if (key) headers["X-API-Key"] = key;
  return fetch(path, { method: "POST", headers, body, signal: asking.signal, credentials: "same-origin" });
}

async function submit() {
  asking?.abort();
  const mine = (asking = new AbortController());
  const given = fields.map((field) => [field.name, read(field)]);
  const known = given.filter(([, json]) => json !== null);
  const body = `{${known.map(([name, json]) => `${JSON.stringify(name)}:${json}`).join(",")}}`;
  clearFaults();
  busy(true);
  try {
    let response = await ask("predict?explain=true", body);
    if (NO_EXPLANATIONS.has(response.status)) response = await ask("predict", body);
    const content = await response.json().catch(() => null);
    if (mine.signal.aborted) return;
    if (response.ok && content) show(content, new Map(given), labels);
    else refuse(response, content);
  } catch (error) {
    if (mine.signal.aborted) return;
    withdraw();
    trouble(`The service could not be reached (${error.message}). Try again in a moment.`);
  } finally {
    if (asking === mine) busy(false);
  }
}

function busy(yes) {
  document.getElementById("predict").setAttribute("aria-busy", String(yes));
}

// ---- what is wrong ----

function refuse(response, content) {
  const faults = Array.isArray(content?.detail) ? content.detail : [];
  withdraw();
  const told = faults.map((fault) => fault.msg).join("; ") || (typeof content?.detail === "string" ? content.detail : "");
  const wait = response.headers.get("Retry-After");
  const again = wait ? ` Try again in ${wait} ${wait === "1" ? "second" : "seconds"}.` : "";
  switch (response.status) {
    case 401:
      askForKey(sessionStorage.getItem(KEY) ? "The service does not accept this key." : "");
      break;
    case 403:
      askForKey("This key may not ask for predictions; use another.");
      break;
    case 422:
      point(faults);
      break;
    case 429:
      trouble(`Too many questions.${again || " Try again in a moment."}`);
      break;
    default:
      trouble(`The service gave no answer (${response.status})${told ? `: ${told}` : ""}.${again}`);
  }
}

/** Say beside each field what is wrong with it, and go to the first. */
function point(faults) {
  const wrong = new Map();
  const others = [];
  for (const fault of faults) {
    const field = fields.find((one) => fault.loc?.[0] === "body" && one.name === fault.loc[1]);
    if (field) wrong.set(field, [...(wrong.get(field) ?? []), sentence(fault, field)]);
    else others.push(fault.msg);
  }
  for (const [field, sentences] of wrong) {
    field.fault.textContent = sentences.join(" ");
    field.fault.hidden = false;
    field.box.classList.add("wrong");
    describeBy(field, true);
  }
  if (others.length || !wrong.size) trouble(`The service refuses this: ${others.join("; ") || "it does not say why"}.`);
  const first = fields.find((field) => wrong.has(field));
  if (!first) return;
  const summary = document.getElementById("summary");
  const links = fields.filter((field) => wrong.has(field)).flatMap((field, at) => {
    const link = element("a", { href: `#${field.control.id}`, text: field.label });
    link.addEventListener("click", (event) => {
      event.preventDefault();
      focus(field);
    });
    return at ? [", ", link] : [link];
  });
  summary.replaceChildren(wrong.size === 1 ? "One field needs another look: " : `${wrong.size} fields need another look: `, ...links, ".");
  summary.hidden = false;
  focus(first);
}

function sentence(fault, field) {
  if (fault.type === "missing") return field.unknown ? "Fill this in, or tick “Not known”." : "This needs an answer.";
  return `${fault.msg.replace(/^Input should/, "This should").replace(/\.$/, "")}.`;
}

function focus(field) {
  (field.control.disabled ? field.unknown : field.control).focus();
}

function describeBy(field, wrong) {
  const ids = [field.described.getAttribute("aria-describedby").split(" ")[0], ...(wrong ? [field.fault.id] : [])];
  field.described.setAttribute("aria-describedby", ids.join(" "));
  if (wrong) field.described.setAttribute("aria-invalid", "true");
  else field.described.removeAttribute("aria-invalid");
}

function clearFaults() {
  for (const field of fields) {
    field.fault.hidden = true;
    field.fault.textContent = "";
    field.box.classList.remove("wrong");
    describeBy(field, false);
  }
  for (const id of ["summary", "trouble"]) {
    document.getElementById(id).hidden = true;
    document.getElementById(id).replaceChildren();
  }
}

function trouble(text) {
  const box = document.getElementById("trouble");
  box.textContent = text;
  box.hidden = false;
}

function askForKey(text) {
  if (text) trouble(text);
  keyForm.hidden = false;
  document.getElementById("key-field").focus();
}

// ---- what people do ----

question.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
question.addEventListener("reset", () => {
  clearFaults();
  withdraw();
  setTimeout(() => fields.forEach(settle));
});
question.addEventListener("input", outdate);
for (const field of fields) field.unknown?.addEventListener("change", () => settle(field));
document.getElementById("example").addEventListener("click", () => {
  clearFaults();
  outdate();
  for (const field of fields) if (field.example !== undefined) write(field, field.example);
});
keyForm.addEventListener("submit", (event) => {
  event.preventDefault();
  const key = document.getElementById("key-field");
  sessionStorage.setItem(KEY, key.value.trim());
  key.value = "";
  keyForm.hidden = true;
  submit();
});
fields.forEach(settle); // a page that is gone back to comes with what was filled in
