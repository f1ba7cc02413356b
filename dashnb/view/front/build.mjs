// Bundles src/ into dist/run_view.js, the same bytes every time:
//
//     npm --prefix dashnb/view/front ci && npm --prefix dashnb/view/front run build

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const src = join(here, "src");

// Rules of markdown-it that an answer never uses: raw HTML, and links without brackets.
const unused = /rules_(block[\\/]html_block|inline[\\/](html_inline|linkify))\.mjs$/;
const slimMarkdownIt = {
  name: "slim-markdown-it",
  setup({ onLoad, onResolve }) {
    onLoad({ filter: unused }, () => ({ contents: "export default () => false" }));
    onResolve({ filter: /\/ruler\.mjs$/ }, () => ({ path: join(src, "ruler.js") }));
    onResolve({ filter: /^mdurl$/ }, () => ({ path: "mdurl", namespace: "empty" }));
    onLoad({ filter: /.*/, namespace: "empty" }, () => ({ contents: "" }));
  },
};

// Names of markdown-it's own state: not reached from outside, and long.
const inner = new RegExp(
  `^(${[
    "bMarks eMarks tShift sCount bsCount blkIndent lineMax listIndent ddIndent parentType posMax",
    "pendingLevel tokens_meta _prev_delimiters delimiters backticksScanned skipHtmlSpecial linkLevel",
    "getRules skipSpaces skipSpacesBack skipCharsBack skipEmptyLines pushPending scanDelims",
    "parseLinkLabel parseLinkTitle parseLinkDestination skipToken validateLink normalizeLink",
    "normalizeLinkText maxNesting attrIndex attrPush attrSet attrGet attrJoin can_open can_close ruler2",
    "tokenize postProcess references nesting markup helpers pending marker",
  ]
    .join(" ")
    .replaceAll(" ", "|")})$`,
);

const { outputFiles, metafile } = await build({
  absWorkingDir: here,
  entryPoints: [join(src, "run_view.js")],
  bundle: true,
  write: false,
  format: "esm",
  target: "es2022",
  minify: true,
  charset: "utf8",
  legalComments: "none",
  metafile: true,
  mangleProps: inner,
  loader: { ".css": "text" },
  alias: { entities: join(src, "entities.js"), "uc.micro": join(src, "punctuation.js") },
  plugins: [slimMarkdownIt, minifiedStyle()],
});

const body = outputFiles[0].text;
const banner = [
  "/*! The live view of dashnb, Apache-2.0. Made by build.mjs; not for editing.",
  ...bundledPackages().map((line) => ` * ${line}`),
  ` * sources: ${sourcesDigest()}`,
  ` * body: ${sha256(body)}`,
  " */\n",
].join("\n");
mkdirSync(join(here, "dist"), { recursive: true });
writeFileSync(join(here, "dist", "run_view.js"), banner + body);
console.log(`dist/run_view.js: ${Buffer.byteLength(banner + body)} bytes`);

function minifiedStyle() {
  return {
    name: "minified-style",
    setup({ onLoad, esbuild }) {
      onLoad({ filter: /\.css$/ }, async ({ path }) => {
        const { code } = await esbuild.transform(readFileSync(path, "utf8"), { loader: "css", minify: true });
        return { contents: code, loader: "text" };
      });
    },
  };
}

/** Name, version and licence of every package that the bundle holds a part of. */
function bundledPackages() {
  const names = Object.keys(metafile.inputs).map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1]);
  return [...new Set(names.filter(Boolean))].sort().map((name) => {
    const about = JSON.parse(readFileSync(join(here, "node_modules", name, "package.json"), "utf8"));
    return `${name} ${about.version}, ${about.license} (LICENSES.md)`;
  });
}

/** One digest of everything the bundle is made from, whatever the line ends of the checkout. */
function sourcesDigest() {
  const files = [...readdirSync(src).map((name) => `src/${name}`), "build.mjs", "package-lock.json"].sort();
  const hash = createHash("sha256");
  for (const file of files) {
    const text = readFileSync(join(here, file), "utf8").replaceAll("\r\n", "\n");
    hash.update(`${file}\n${text}\n`);
  }
  return hash.digest("hex");
}

function sha256(text) {
  return createHash("sha256").update(text).digest("hex");
}
