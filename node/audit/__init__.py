"""Checking a model from the chain and the blob store alone: no key, no node asked for its opinion.

    report = audit(chain, open_evidence(["run/"]), None)
    print(report.to_text())

`README.md` in this directory lists the links of the chain of evidence and what each proves.
"""

from node.audit.errors import AuditError, IncoherentChain, NoEvidence
from node.audit.evidence import Damage, Directories, Evidence, NodeUrl, Several, Sighting, open_evidence
from node.audit.report import Finding, Report
from node.audit.run import Scope, audit

__all__ = [
    "AuditError",
    "Damage",
    "Directories",
    "Evidence",
    "Finding",
    "IncoherentChain",
    "NoEvidence",
    "NodeUrl",
    "Report",
    "Scope",
    "Several",
    "Sighting",
    "audit",
    "open_evidence",
]
