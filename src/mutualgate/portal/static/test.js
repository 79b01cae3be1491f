// "Test my certificate": asks the gate what it sees of this browser, and looks whether it has seen the certificate at all,
// from wherever it was used.

import { say } from "./portal.js";

const LOOK_MS = 2500;
const CLOCK_MS = 120_000;

const test = document.getElementById("test");
const button = document.getElementById("try");
const result = document.getElementById("result");
let green = false;

button.setAttribute("role", "button");
button.addEventListener("click", async (event) => {
  event.preventDefault();
  if (button.getAttribute("aria-disabled")) return;
  button.setAttribute("aria-disabled", "true");
  say("Testing.");
  try {
    const response = await fetch(test.dataset.probe, { headers: { Accept: "application/json" }, cache: "no-store" });
    const told = await response.json();
    if (!response.ok) show("bad", told.title, [{ title: told.fix ?? "", fix: "" }]);
    else if (told.good) turnGreen(told.title);
    else show("bad", told.title, [...clock(told.now), ...told.causes]);
  } catch {
    show("bad", "The connection was not made.", [
      { title: "Your browser was asked for a certificate and gave up, or the network is away.", fix: "Test again." },
    ]);
  } finally {
    button.removeAttribute("aria-disabled");
    button.textContent = "Test again";
    result.focus();
  }
});
button.addEventListener("keydown", (event) => {
  if (event.key === " ") {
    event.preventDefault();
    button.click();
  }
});

/** A clock that is wrong makes a good certificate look too new or too old, and the browser hides it. */
function clock(now) {
  const ahead = Date.now() - Date.parse(now);
  if (Math.abs(ahead) < CLOCK_MS) return [];
  const minutes = Math.round(Math.abs(ahead) / 60_000);
  const much = minutes < 120 ? `${minutes} minutes` : minutes < 2880 ? `${Math.round(minutes / 60)} hours` : `${Math.round(minutes / 1440)} days`;
  return [{ code: "clock", title: `The clock of this device is ${much} ${ahead > 0 ? "ahead" : "behind"}.`, fix: "Set it right: your browser thinks that the certificate is not valid." }];
}

function turnGreen(title) {
  green = true;
  test.classList.add("green");
  button.classList.add("quiet");
  document.getElementById("in").hidden = false;
  document.getElementById("elsewhere").hidden = true;
  for (const part of document.querySelectorAll(".until-green")) part.hidden = true;
  show("good", title, []);
}

function show(kind, title, causes) {
  const text = document.createElement("div");
  text.append(Object.assign(document.createElement("p"), { className: "title", textContent: title }));
  for (const cause of causes) {
    const line = document.createElement("p");
    line.append(Object.assign(document.createElement("strong"), { textContent: cause.title }), ` ${cause.fix}`);
    text.append(line);
  }
  const notice = Object.assign(document.createElement("div"), { className: `notice ${kind}` });
  notice.append(sign(kind), text);
  result.replaceChildren(notice);
}

function sign(kind) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [name, value] of [["viewBox", "0 0 16 16"], ["width", "16"], ["height", "16"], ["class", `icon ${kind}`], ["aria-hidden", "true"]]) svg.setAttribute(name, value);
  const path = document.createElementNS(svg.namespaceURI, "path");
  path.setAttribute("d", kind === "good" ? "M3.5 8.5l3 3 6-7" : "M4.5 4.5l7 7M11.5 4.5l-7 7");
  svg.append(path);
  return svg;
}

/** The gate may see the certificate from another device, or from a program. */
async function look() {
  while (!green) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    if (document.hidden || green) continue;
    try {
      const response = await fetch(test.dataset.progress, { headers: { Accept: "application/json" }, cache: "no-store" });
      if (response.status === 404 || response.status === 410 || response.status === 409) return;
      const told = await response.json();
      if (told.seen && !green) turnGreen(`It works. The gate has seen the certificate of ${told.client} and let it in.`);
    } catch {
      // the network is away for a moment
    }
  }
}

if (!test.dataset.progress) green = true; // nothing to look at but this browser
else if (test.closest("[hidden]")) document.addEventListener("test-begins", look, { once: true });
else look();
