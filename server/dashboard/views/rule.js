/** One rule: made or changed, and tried on history before it wakes anybody. */

import { announce, button, h, setText } from "../dom.js";
import { askFor, saidBy } from "../form.js";
import { FRESH, ruleForm } from "./ruleform.js";
import { previewPanel } from "./rulepreview.js";

export const title = ({ id }) => (id === "new" ? "New rule" : "Rule");

export async function mount(root, desk) {
  const { api, alerts, params, query, session, navigate, signal } = desk;
  const heading = h("h1", title(params));
  root.append(h("div.view-head", heading));
  const made = params.id === "new";
  const path = `/v1/rules/${encodeURIComponent(params.id)}`;
  const asked = { device: query.get("device") ?? "*", metric: query.get("metric") ?? "" };
  const rule = made ? { ...FRESH, ...asked } : await api.get(path);
  if (signal.aborted) return;
  if (!made) setText(heading, rule.name);

  const form = ruleForm(rule);
  const problem = h("p.problem", { role: "alert" });
  const save = h("button.main", made ? "Make the rule" : "Save");
  const leave = (said) => {
    announce(said);
    navigate("/rules");
  };
  const remove = button("Delete", async () => {
    const firing = [...alerts.firing.values()].filter((alert) => alert.rule.id === rule.id).length;
    const done = await askFor({
      title: `Delete “${rule.name}”?`,
      lead: [firing ? `${firing} of its alerts are firing: they are resolved.` : "None of its alerts is firing.", "Its history stays."],
      action: "Delete",
      danger: true,
      submit: () => api.delete(path),
    }, signal);
    if (done) leave("The rule is deleted.");
  }, { class: "quiet danger" });
  const may = session.has("admin");
  form.root.append(previewPanel(desk, form.read), problem, h("div.actions",
    h("a.button.quiet", { href: "#/rules" }, may ? "Cancel" : "Back"), may && !made && remove, may && save));
  form.root.addEventListener("input", () => setText(problem, ""));
  form.root.addEventListener("submit", async (event) => {
    event.preventDefault();
    setText(problem, "");
    save.disabled = true;
    try {
      await (made ? api.post("/v1/rules", form.read()) : api.put(path, form.read()));
      leave("The rule is saved.");
    } catch (error) {
      if (error.name === "AbortError") return;
      setText(problem, saidBy(error));
      problem.scrollIntoView({ block: "nearest" });
    } finally {
      save.disabled = false;
    }
  });
  root.append(form.root);
}
