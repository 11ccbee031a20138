#!/usr/bin/env node
"use strict";
/**
 * The native Solidity compiler's command line over npm's `solc` (soljson, WebAssembly).
 *
 * py-solc-x and forge both start a `solc` binary and speak `--version` and `--standard-json` to it. npm's own `solcjs`
 * cannot stand in: it prints text before its JSON and truncates what it writes to a pipe at 64 KiB. This file
 * understands exactly those two modes and refuses everything else.
 *
 *   solc-shim.js --version
 *   solc-shim.js --standard-json [--base-path DIR] [--include-path DIR]... [--allow-paths A,B] < input > output
 *
 * Sources come from `content`, from `urls`, or, for imports, from the base path and then the include paths.
 * SOLCJS_MODULE names the directory of another `solc` package; by default the one in node_modules beside tools/ is used.
 */
const fs = require("node:fs");
const path = require("node:path");

const ROOT = path.dirname(path.dirname(fs.realpathSync(__filename)));
const MODULE = process.env.SOLCJS_MODULE || path.join(ROOT, "node_modules", "solc");

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

function parseArguments(argv) {
  const options = { mode: null, searchPath: [], includes: [] };
  const rest = argv.flatMap((argument) => {
    const at = argument.startsWith("--") ? argument.indexOf("=") : -1;
    return at < 0 ? [argument] : [argument.slice(0, at), argument.slice(at + 1)];
  });
  while (rest.length > 0) {
    const name = rest.shift();
    switch (name) {
      case "--version":
      case "--standard-json":
        options.mode = name;
        break;
      case "--base-path":
        options.searchPath = [rest.shift()];
        break;
      case "--include-path":
        options.includes.push(rest.shift());
        break;
      case "--allow-paths": // soljson only ever reads what this process hands it
        rest.shift();
        break;
      default:
        fail(`unrecognised option '${name}'`); // py-solc-x recognises this wording
    }
  }
  options.searchPath = options.searchPath.concat(options.includes);
  return options;
}

/** Reads the first of the candidates that exists, or returns undefined. */
function readFirst(candidates) {
  for (const file of candidates) {
    try {
      return fs.readFileSync(file, "utf8");
    } catch (error) {
      if (error.code !== "ENOENT" && error.code !== "EISDIR" && error.code !== "ENOTDIR") throw error;
    }
  }
  return undefined;
}

function candidates(name, searchPath) {
  const plain = name.replace(/^file:\/\//, "");
  return [...searchPath.map((directory) => path.resolve(directory, plain)), path.resolve(plain)];
}

/** The native compiler reads `urls` from disk; soljson has no disk. */
function inlineUrls(input, searchPath) {
  for (const source of Object.values(input.sources || {})) {
    if (source.content !== undefined || !source.urls) continue;
    source.content = readFirst(source.urls.flatMap((url) => candidates(url, searchPath)));
    if (source.content !== undefined) delete source.urls;
  }
  return input;
}

/** Writes all of it: a pipe takes 64 KiB at a time, and process.exit would drop what is still queued. */
function writeFully(text) {
  const bytes = Buffer.from(text);
  for (let written = 0; written < bytes.length; ) {
    try {
      written += fs.writeSync(1, bytes, written);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}

/** The release and its commit, as soljson reports them. */
function version() {
  return require(MODULE).version();
}

function main() {
  const options = parseArguments(process.argv.slice(2));
  if (!fs.existsSync(path.join(MODULE, "package.json"))) fail(`npm package solc not found at ${MODULE}: run npm ci`);
  if (options.mode === "--version") {
    writeFully(`solc, the solidity compiler commandline interface\nVersion: ${version()}\n`);
    return;
  }
  if (options.mode !== "--standard-json") fail("nothing to do: give --version or --standard-json");
  const input = inlineUrls(JSON.parse(fs.readFileSync(0, "utf8")), options.searchPath);
  const findImport = (name) => {
    const contents = readFirst(candidates(name, options.searchPath));
    return contents === undefined ? { error: `File not found: ${name}` } : { contents };
  };
  writeFully(`${require(MODULE).compile(JSON.stringify(input), { import: findImport })}\n`);
}

main();
