"""The consortium's contracts as Python objects: one class per contract, deployment, keystores and a local chain.

=====================  ===========================================================================
module                 what it is
=====================  ===========================================================================
``client``             ``Chain``: the four contracts of one deployment, events, the chain's clock
``deployment``         deploys the contracts; the record of where they are
``registry``           HospitalRegistry: the members
``epochs``             KeyEpochs: the key ceremonies
``rounds``             TrainingRounds: open, propose, finalise, abort
``models``             ModelLedger: the lineage
``conduct``            TrainingRounds' part about faults and reputations
``outcome``            what a quorum signs at a round's end (EIP-712)
``votes``              what members decide by vote (EIP-712)
``leader``             the leaders' order of a round, from its seed
``standing``           members and reputations folded from events; a round's ranking
``events``             what the contracts emitted, typed
``cursor``             follows them, and notices when the chain takes some back
``eventlog``, ``logs``  what was read, on disk; reading in bounded ranges
``heads``              rings for every new block, over a WebSocket
``sender``, ``outbox``  sends, once each; brings back what the chain lost
``intents``, ``fees``  what is to be sent, on disk; what it may cost
``keystore``           keys at rest (Web3 Secret Storage version 3)
``anvil``              a local chain as a child process; ``anvilstate`` mends its state file
``compile``, ``forge``  for developers: the artefacts and the Solidity tests
=====================  ===========================================================================

Synchronous. Knows neither training nor encryption: hashes come in and go out as bytes.
"""

from __future__ import annotations

import sys
from typing import Final

from chain.outcome import recover_outcome_signer

__all__ = ["recover_outcome_signer"]

DEPTH: Final = 1000
"""Python's own limit on recursion. A library of eth_account's raises it a hundredfold when it is imported, and then a few
kilobytes of nested JSON from a stranger overflow the C stack and end the process."""

sys.setrecursionlimit(DEPTH)
