// Shows an answer: the prediction, its probabilities, what each input contributed. Text is only ever text, never markup.

const { target: targetText, version } = document.body.dataset;
const target = JSON.parse(targetText);
const box = document.getElementById("answer");
const waiting = document.getElementById("waiting");
const outdated = document.getElementById("outdated");
const FALLBACKS = {
  previous: "The model failed on this; its predecessor answered instead.",
  rule: "The model failed on this; a rule answered instead.",
  fixed: "The model failed on this; what you see is a fixed answer.",
};
const MOST_CLASSES = 8;
const MOST_INPUTS = 15;

export function element(tag, { text, ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...(text === undefined ? children : [text]));
  return made;
}

/** A class or a value in words. */
function say(value) {
  if (value === true || value === "true") return "Yes";
  if (value === false || value === "false") return "No";
  if (value === null) return "not known";
  if (value === "") return "(empty)";
  return typeof value === "number" ? number(value) : String(value);
}

/** An input's JSON text in words; numbers as they were written. */
function asGiven(json) {
  const value = JSON.parse(json ?? "null");
  return typeof value === "number" ? json : say(value);
}

function number(value, digits = 6) {
  return value.toLocaleString("en", { maximumSignificantDigits: digits }).replace("-", "\u2212");
}

function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  if (share < 1 && share > 0.999) return "> 99.9 %";
  return `${(100 * share).toFixed(1)} %`;
}

function bar(share) {
  const inner = element("i");
  inner.style.setProperty("--size", `${(100 * share).toFixed(2)}%`);
  return element("span", { class: "bar", "aria-hidden": "true" }, inner);
}

/** Say that the form was changed since it was answered. */
export function outdate() {
  outdated.hidden = box.hidden;
}

/** Take the answer away. */
export function withdraw() {
  box.hidden = outdated.hidden = true;
  box.replaceChildren();
  waiting.hidden = false;
}

/**
 * Show an answer of /predict.
 * `given` has the JSON text that was sent for each input, `labels` what each is called.
 */
export function show(answer, given, labels) {
  const parts = [
    element("p", { class: "overline", text: target.label }),
    element("p", { class: "verdict", id: "verdict", text: say(answer.prediction) }),
    element("p", { class: "hint", text: target.description }),
  ];
  if (answer.fallback) parts.push(element("p", { class: "notice", text: FALLBACKS[answer.fallback] ?? FALLBACKS.fixed }));
  if (answer.probabilities) parts.push(chances(answer));
  if (answer.review === true) parts.push(element("p", { class: "small", text: "A person will look at this case as well." }));
  parts.push(...(answer.explanation ? explained(answer.explanation, given, labels) : [unexplained(answer)]));
  const notes = [`Answered by ${answer.model_version}`, `prediction ${answer.prediction_id}`];
  parts.push(element("p", { class: "small mono", text: notes.join(", ") }));
  if (answer.model_version !== version) {
    parts.push(element("p", { class: "small", text: "The model was changed since this page was loaded; load it again to read about the new one." }));
  }
  box.replaceChildren(...parts);
  box.hidden = false;
  waiting.hidden = true;
  outdated.hidden = true;
  const title = document.getElementById("answer-title");
  title.focus({ preventScroll: true });
  const { top } = title.getBoundingClientRect();
  if (top < 0 || top > window.innerHeight * 0.6) title.scrollIntoView({ block: "start" });
}

function chances(answer) {
  const sorted = Object.entries(answer.probabilities).sort((one, other) => other[1] - one[1]);
  const shown = sorted.length > MOST_CLASSES + 1 ? sorted.slice(0, MOST_CLASSES) : sorted;
  const rest = sorted.slice(shown.length);
  const lines = shown.map(([name, share]) => [say(name), share, name === String(answer.prediction)]);
  if (rest.length) lines.push([`${rest.length} others together`, rest.reduce((sum, [, share]) => sum + share, 0), false]);
  return element("ul", { class: "chances", "aria-label": "Probabilities" }, ...lines.map(([name, share, predicted]) =>
    element("li", {},
      element("div", predicted ? { class: "given" } : {}, element("span", { text: name }), element("b", { text: percent(share) })),
      bar(share))));
}

function unexplained(answer) {
  const why = answer.no_explanation ? `: ${answer.no_explanation}` : "";
  return element("p", { class: "small", text: `What each input contributed is not available here${why}.` });
}

/** Decimals with which the largest of some numbers shows three digits. */
function decimalsFor(values) {
  const largest = Math.max(...values.map(Math.abs));
  return largest > 0 ? Math.min(6, Math.max(0, 2 - Math.floor(Math.log10(largest)))) : 2;
}

function signed(value, decimals) {
  const text = Math.abs(value).toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
  return /[1-9]/.test(text) ? (value < 0 ? "\u2212" : "+") + text : text;
}

function explained(explanation, given, labels) {
  const { base_value: base, score, scale, contributions } = explanation;
  const sorted = Object.entries(contributions).sort((one, other) => Math.abs(other[1]) - Math.abs(one[1]));
  const shown = sorted.length > MOST_INPUTS + 1 ? sorted.slice(0, MOST_INPUTS) : sorted;
  const rest = sorted.slice(shown.length);
  const largest = Math.max(...sorted.map(([, value]) => Math.abs(value))) || 1;
  const decimals = decimalsFor([...sorted.map(([, value]) => value), score, base]);
  const line = (label, hint, value) => {
    const mark = element("i", value < 0 ? { class: "minus" } : {});
    mark.style.setProperty("--size", `${((50 * Math.abs(value)) / largest).toFixed(2)}%`);
    return element("tr", {},
      element("th", { scope: "row" }, label, element("span", { class: "hint", text: hint })),
      element("td", {}, element("span", { class: "track", "aria-hidden": "true" }, mark)),
      element("td", { text: signed(value, decimals) }));
  };
  const body = shown.map(([name, value]) => line(labels.get(name) ?? name, asGiven(given.get(name)), value));
  if (rest.length) body.push(line(`${rest.length} others together`, "", rest.reduce((sum, [, value]) => sum + value, 0)));
  const table = element("table", { class: "ledger" },
    element("thead", {}, element("tr", {}, ...["Input", "Direction", "Contribution"].map((text) => element("th", { scope: "col", text })))),
    element("tbody", {}, edge("Starting point", base, scale, decimals), ...body),
    element("tfoot", {}, edge("Sum", score, scale, decimals)));
  const rows = `${number(explanation.background_rows)} rows of the training data`;
  const method = explanation.method === "exact" ? `Shapley values against ${rows}` : `Shapley values against ${rows}, estimated from random orders of the inputs`;
  return [
    element("h3", { text: "What each input contributed" }),
    element("p", { class: "hint", text: meaning(explanation) }),
    table,
    element("p", { class: "small", text: `${method}; they say what moved this model, not what causes the outcome.` }),
  ];
}

function edge(name, value, scale, decimals) {
  const chance = scale === "log-odds" ? 1 / (1 + Math.exp(-value)) : scale === "probability" ? value : null;
  const label = element("th", { scope: "row", text: name });
  if (chance !== null) label.append(element("span", { class: "hint", text: `a chance of ${percent(chance)}` }));
  const row = element("tr", {}, label, element("td"), element("td", { text: signed(value, decimals).replace("+", "") }));
  if (name !== "Sum") row.className = "start";
  return row;
}

function meaning({ scale, explained_class: explainedClass }) {
  if (scale === "value") return "From a typical prediction, each input moves the number up (to the right) or down (to the left).";
  const what = typeof explainedClass === "boolean" ? `“${target.label}: ${say(explainedClass)}”` : `“${say(explainedClass)}”`;
  const unit = scale === "log-odds" ? "Counted in log-odds, which add up." : "Counted in probability.";
  return `Bars to the right speak for ${what}, bars to the left against it. ${unit}`;
}
