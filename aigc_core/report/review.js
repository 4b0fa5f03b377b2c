"use strict";
// Collects the decisions of this page into a CSV file that `aigc quality review --apply` reads. Nothing is sent anywhere.
const who = document.getElementById("who");
const button = document.getElementById("download");
const told = document.getElementById("told");
const forms = [...document.querySelectorAll("form.decision")];
const columns = ["id", "decision", "label", "who", "note", "content"];

function line(form) {
  const data = new FormData(form);
  const decision = data.get("decision");
  return {
    id: form.dataset.id, decision, label: decision === "relabel" ? (data.get("label") || "").trim() : "",
    who: who.value.trim(), note: (data.get("note") || "").trim(), content: form.dataset.content,
  };
}

function quoted(text) {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function refresh() {
  const chosen = forms.map(line).filter((item) => item.decision);
  const bare = chosen.filter((item) => item.decision === "relabel" && !item.label).length;
  for (const form of forms) {
    const decision = new FormData(form).get("decision");
    form.closest("li").classList.toggle("decided", Boolean(decision));
    form.elements.label.disabled = decision !== "relabel";
  }
  button.disabled = !chosen.length || bare > 0 || !who.value.trim();
  told.value = bare ? `${bare} without a new label`
    : !chosen.length ? "nothing decided yet"
    : !who.value.trim() ? `${chosen.length} decided; write your name`
    : `${chosen.length} decided`;
  return chosen;
}

function download() {
  const rows = refresh().map((item) => columns.map((name) => quoted(item[name])).join(","));
  const file = new Blob([[columns.join(","), ...rows].join("\n") + "\n"], { type: "text/csv" });
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(file), download: "decisions.csv" });
  link.click();
  URL.revokeObjectURL(link.href);
}

for (const form of forms) form.addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("input", refresh);
button.addEventListener("click", download);
refresh();
