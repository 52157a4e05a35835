// Makes one HTML file of an AsyncAPI document: node page.mjs FILE PAGE
// It holds AsyncAPI's React component and the document, and asks nobody for anything.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const [from, to] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const read = (name) => readFileSync(require.resolve(`@asyncapi/react-component/${name}`), "utf8");
// Inside a <script> nothing may look like its end.
const inScript = (text) => text.replaceAll("</script", "<\\/script");

const document = JSON.stringify(JSON.parse(readFileSync(from, "utf8"))).replaceAll("<", "\\u003c");
const title = JSON.parse(document).info.title;
writeFileSync(
  to,
  `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${read("styles/default.min.css")}</style>
</head>
<body>
<div id="topics"></div>
<script>${inScript(read("browser/standalone/index.js"))}</script>
<script>
AsyncApiStandalone.render(
  { schema: ${document}, config: { show: { sidebar: true, errors: true } } },
  document.getElementById("topics"),
);
</script>
</body>
</html>
`,
);
console.log(`wrote ${to}`);
