"""The page to try a served model: a row as JSON, and its answer."""

from __future__ import annotations

PAGE = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>hpo serve</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 46rem; padding: 0 1rem }
textarea { width: 100%; height: 16rem; font: 14px/1.4 monospace; box-sizing: border-box }
pre { background: #f2f2f2; color: #111; padding: 1rem; overflow: auto }
</style>
<h1 id="task">A model</h1>
<p><label for="rows">Rows to answer, as JSON:</label></p>
<textarea id="rows" spellcheck="false"></textarea>
<p><button id="send">Answer</button></p>
<pre id="answer" role="status"></pre>
<script>
const by = (id) => document.getElementById(id);
fetch("schema").then((reply) => reply.json()).then((schema) => {
  by("task").textContent = "A model for " + schema.task;
  const rows = Array(schema.window || 1).fill(schema.example);
  by("rows").value = JSON.stringify({rows}, null, schema.shape ? 0 : 2);
});
by("send").onclick = async () => {
  try {
    const reply = await fetch("predict", {
      method: "POST", headers: {"Content-Type": "application/json"}, body: by("rows").value,
    });
    by("answer").textContent = JSON.stringify(await reply.json(), null, 2);
  } catch (error) {
    by("answer").textContent = "No answer: " + error.message;
  }
};
</script>
"""
