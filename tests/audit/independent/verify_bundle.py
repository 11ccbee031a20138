"""A verifier of bundles, written from docs/spec/ alone: no code of Medweave, no package beyond Python's standard library.

    python verify_bundle.py BUNDLE [--header 0xHASH --contracts consortium.json] [--json]

`primitives.py` is what every language has libraries for; `chain.py`, `ledger.py` and `round_checks.py` read docs/spec/bundle.md,
ledger.md and round.md. Exits with 0 (verified), 1 (falsified), 2 (could not be checked) or 3 (no bundle).
"""

import argparse
import json
import sys
import zipfile
from pathlib import Path

import cards
from common import Missing, canonical_json, demand
from events import unhex
from primitives import cid_bytes, cid_text, keccak, sha256
from round_checks import Round

from chain import Chain

LIMITS = {"bundle.json": 1 << 16, "chain/blocks.json": 1 << 29, "model.bin": 1 << 29}
BROKEN = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, zipfile.BadZipFile)


class Refused(Exception):  # noqa: N818  (the verdict on a file)
    """The file is no bundle."""


class Bundle:
    """The file: every entry stored, known by its name, once."""

    def __init__(self, path):
        try:
            self.archive = zipfile.ZipFile(path)
            entries = self.archive.infolist()
            self.names = {entry.filename for entry in entries}
            stored = all(e.compress_type == 0 and not e.flag_bits & 1 and not e.comment for e in entries)
            if len(self.names) != len(entries) or not stored or self.archive.comment:
                raise Refused("entries are repeated, packed, encrypted or commented")
            for entry in entries:
                known = entry.filename.startswith(("blobs/b", "envelopes/")) or entry.filename in LIMITS
                if not known or entry.file_size > LIMITS.get(entry.filename, 1 << 27):
                    raise Refused(f"{entry.filename} has no place in a bundle, or is too large")
            self.manifest = canonical_json(self.archive.read("bundle.json"))
            demand(self.manifest["format"] == "medweave-bundle/1", "another format")
        except (OSError, *BROKEN) as error:
            raise Refused(f"not a bundle: {error}") from error

    def blob(self, cid):
        if f"blobs/{cid}" not in self.names:
            raise Missing(f"blob {cid} is not there")
        data = self.archive.read(f"blobs/{cid}")
        demand(cid_text(cid_bytes(data)) == cid, f"blob {cid} has other bytes")
        return data

    def envelope(self, number):
        name = f"envelopes/{number}.json"
        return self.archive.read(name) if name in self.names else None

    def named(self, digest):
        """The blob of at most 256 KiB that the chain names by its sha2-256."""
        return self.blob(cid_text(b"\x01\x55\x12\x20" + digest))


class Report:
    """Findings, link by link; a link that breaks does not end the audit."""

    def __init__(self):
        self.findings = []

    def check(self, number, link, work, *inputs):
        """Do one link's work; None where it broke, which is what later links get as an input."""
        try:
            if any(value is None for value in inputs):
                raise Missing("what it builds on could not be established")  # noqa: TRY301  (one way to end a link)
            result = work(*inputs)
        except Missing as error:
            self.findings.append((link, number, "unchecked", str(error)))
        except BROKEN as error:
            self.findings.append((link, number, "falsified", f"{error}" or type(error).__name__))
        else:
            self.findings.append((link, number, "ok", ""))
            return True if result is None else result
        return None

    @property
    def verdict(self):
        states = {state for _, _, state, _ in self.findings}
        return "falsified" if "falsified" in states else "could-not-check" if "unchecked" in states else "verified"


def read_chain(bundle, trust):  # 1
    manifest = bundle.manifest
    header, record = trust or (unhex(manifest["head"]["hash"]), manifest["deployment"])
    demand(manifest["deployment"] == record, "the bundle is of another deployment")
    blocks = canonical_json(bundle.archive.read("chain/blocks.json"))
    return Chain(blocks, record, manifest["head"], header)


def trusted(trust):
    if trust is None:
        raise Missing(
            "no block hash and no deployment record from elsewhere: whoever made this may have made the chain too"
        )


def lineage(chain, model):  # 2
    demand(model in chain.models, "the model is not on chain")
    while True:
        record = chain.models[model]
        if not any(record["parent"]):
            first = next(iter(chain.models))
            demand(
                first == model and record["round"] == 0 and not any(record["statement"]),
                "the line ends in no first model",
            )
            return
        row = chain.rounds[record["round"]]
        demand(row.final and row.final["model"] == model, "its round made another model")
        demand(row.final["base"] == row.opened["base"] == record["parent"], "another parent")
        demand(record["statement"] == row.final["statement"], "another statement")
        demand(chain.models[record["parent"]]["round"] < record["round"], "the parent is younger")
        model = record["parent"]


def seeds(chain):  # 3
    seed = keccak(chain.consortium)
    for number, row in sorted(chain.rounds.items()):
        demand(row.opened["seed"] == seed, f"round {number} has another seed")
        if row.final or row.aborted:
            material = row.signed(chain.at["rounds"])["seedMaterial"] if row.final else bytes(32)
            seed = keccak(seed + material + number.to_bytes(32, "big"))
            demand((row.final or row.aborted)["seed"] == seed, f"round {number} leaves another seed")


def model_file(bundle, model):  # 16
    demand(sha256(bundle.archive.read("model.bin")) == model, "the file is another model")


def verify(path, trust):
    """The report on a bundle; `trust` is the hash of its last header and the deployment record, or None."""
    bundle, report = Bundle(path), Report()
    report.check(None, "trust", lambda: trusted(trust))
    chain = report.check(None, "chain", lambda: read_chain(bundle, trust))
    if chain is None:
        return report
    named = bundle.manifest["model"]
    model = bytes.fromhex(named) if named else next(reversed(chain.models), b"")
    report.check(None, "lineage", lineage, chain, model)
    report.check(None, "leader", seeds, chain)
    if model in chain.models:
        for number, row in sorted(chain.rounds.items()):
            if row.final and number <= chain.models[model]["round"]:
                statement = Round(bundle, chain, number).audit(
                    lambda link, work, *inputs, n=number: report.check(n, link, work, *inputs)
                )
                if statement and cards.shown(bundle, row):
                    report.check(number, "cards", cards.check, bundle, row, statement)
    if "model.bin" in bundle.names:
        report.check(None, "model", model_file, bundle, model)
    return report


def main():
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="Verify a bundle of `medweave audit export`.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--header", help="hash of the bundle's last block, from a source you trust")
    parser.add_argument("--contracts", type=Path, help="deployment record, from a source you trust")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    trusted = options.header and options.contracts
    trust = (unhex(options.header), json.loads(options.contracts.read_text())) if trusted else None
    try:
        report = verify(options.bundle, trust)
    except Refused as error:
        print(f"refused: {error}")
        return 3
    rows = [dict(zip(("link", "round", "state", "detail"), finding, strict=True)) for finding in report.findings]
    if options.json:
        print(json.dumps({"verdict": report.verdict, "findings": rows}))
    else:
        for row in rows:
            print(f"{row['state']:10} {row['link']:10} {row['round'] or '':4} {row['detail']}")
        print(report.verdict)
    return {"verified": 0, "falsified": 1, "could-not-check": 2}[report.verdict]


if __name__ == "__main__":
    sys.exit(main())
