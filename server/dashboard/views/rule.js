/** One rule: made or changed, and tried on history before it wakes anybody. */

import { confirmed } from "../dialog.js";
import { announce, h, setText } from "../dom.js";
import { saidBy } from "../form.js";
import { FRESH, RuleForm } from "./ruleform.js";
import { PreviewPanel } from "./rulepreview.js";

export const title = ({ id }) => (id === "new" ? "New rule" : "Rule");

/** Draw it. */
export async function mount(root, desk) {
  const { api, alerts, params, query, session, navigate, signal } = desk;
  const heading = h("h1", {}, title(params));
  root.append(h("div", { class: "view-head" }, heading));
  const made = params.id === "new";
  const asked = { device: query.get("device") ?? "*", metric: query.get("metric") ?? "" };
  const rule = made ? { ...FRESH, ...asked } : await api.get(`/v1/rules/${encodeURIComponent(params.id)}`);
  if (signal.aborted) return;
  if (!made) setText(heading, rule.name);

  const form = new RuleForm(rule, signal);
  const problem = h("p", { class: "problem", role: "alert" });
  const save = h("button", { type: "submit", class: "main" }, made ? "Make the rule" : "Save");
  const remove = h("button", { type: "button", class: "quiet danger" }, "Delete");
  const preview = new PreviewPanel(desk, () => form.read());
  const may = session.has("admin");
  form.root.append(preview.root, problem, h("div", { class: "actions" },
    h("a", { class: "button quiet", href: "#/rules" }, may ? "Cancel" : "Back"), may && !made && remove, may && save));
  root.append(form.root);

  const firing = () => [...alerts.firing.values()].filter((alert) => alert.rule.id === rule.id).length;
  const act = async (work, said) => {
    setText(problem, "");
    save.disabled = remove.disabled = true;
    try {
      await work();
      announce(said);
      navigate("/rules");
    } catch (error) {
      if (error.name === "AbortError") return;
      setText(problem, saidBy(error));
      problem.scrollIntoView({ block: "nearest" });
    } finally {
      save.disabled = remove.disabled = false;
    }
  };
  form.root.addEventListener("input", () => setText(problem, ""), { signal });
  form.root.addEventListener("submit", (event) => {
    event.preventDefault();
    act(() => (made ? api.post("/v1/rules", form.read()) : api.put(`/v1/rules/${rule.id}`, form.read())), "The rule is saved.");
  }, { signal });
  remove.addEventListener("click", async () => {
    const text = [firing() ? `${firing()} of its alerts are firing: they are resolved.` : "None of its alerts is firing.", "Its history stays."];
    if (!(await confirmed({ title: `Delete “${rule.name}”?`, text, action: "Delete" }, signal))) return;
    act(() => api.delete(`/v1/rules/${rule.id}`), "The rule is deleted.");
  }, { signal });
}
