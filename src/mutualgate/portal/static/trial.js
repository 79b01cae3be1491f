// What a change would do, where that takes a while to find out: looks how far it is, and puts what comes of it on the page.
// A long list is turned in place, so that what was typed below stays.

import { say } from "./portal.js";

const LOOK_MS = 500;

for (let told = shown(); told?.hasAttribute("aria-busy"); told = shown()) {
  await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  try {
    await show(told.dataset.trial);
    if (!shown()?.hasAttribute("aria-busy")) say("What the change would do is known now.");
  } catch {
    // the network is away for a moment
  }
}

document.addEventListener("click", async (event) => {
  const link = event.target.closest("[data-trial] .pager a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  try {
    await show(link.href);
    const details = shown()?.querySelector("details");
    if (details) details.open = true;
    details?.querySelector("summary").focus();
  } catch {
    location.assign(link.href);
  }
});

function shown() {
  return document.querySelector("[data-trial]");
}

/** Puts what is at an address in the place of what is shown. */
async function show(address) {
  const page = await load(address);
  let next = page.querySelector("[data-trial]");
  if (!next) {
    next = document.createElement("p");
    next.textContent = `${page.querySelector("h1")?.textContent ?? "It is not known what the change would do."} Load this page again.`;
  }
  shown().replaceWith(document.adoptNode(next));
}

/** A page as a document without its scripts; trusted types have no other way to read one. */
function load(address) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", address);
    request.responseType = "document";
    request.setRequestHeader("Accept", "text/html");
    request.onload = () => (request.response ? resolve(request.response) : reject(new Error("no page")));
    request.onerror = () => reject(new Error("no answer"));
    request.send();
  });
}
