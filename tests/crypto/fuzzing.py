"""Mutated bytes at every door of the package: each either reads back to the very bytes given, or raises a typed error.

    python -m tests.crypto.fuzzing [--count 1200] [--seed 0]

mutates each record ``count`` times in a process of its own with bounded memory, and ends with 1 if any of them
crashes, raises anything but a ``CryptoError``, reads as something else, or takes longer than ``SLOWEST`` seconds.
"""

import argparse
import hashlib
import multiprocessing
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import numpy as np

from crypto import boxproof, envelope, secrets
from crypto.ceremony import read_public, read_share, receive, unseal
from crypto.dealing import DealingHeader
from crypto.envelope import Binding
from crypto.errors import CryptoError
from crypto.keys import JointKey, MemberKey
from crypto.layout import Layout, TensorSpec
from crypto.opening import combine
from crypto.parameters import MINIMAL
from crypto.sealing import add, read_chunk
from crypto.wire import write_polynomials
from tests.crypto.support import Network, cached, values

SLOWEST = 5.0
"""No record takes longer, seconds: a hang and not a slow machine."""

MEMORY = 1 << 31
"""Address space beyond what is taken at the start, bytes: an unbounded allocation ends in MemoryError."""

SPECIAL = (bytes(8), b"\xff" * 8, (1 << 63).to_bytes(8, "little"), b"\x5b" + b"\x7f" * 7, b"\x9b\xff\xff\xff\xff" * 2)


class ReadAsSomethingElse(AssertionError):  # noqa: N818  (named after what is wrong)
    """A mutated record was accepted, and its value is that of other bytes."""


@dataclass(frozen=True)
class Door:
    """One parser, the bytes it should read, and what must hold if it reads others."""

    data: bytes
    parse: Callable[[bytes], bytes | None]
    """Gives the bytes its value stands for; None where the value cannot be written back."""


@dataclass
class Tally:
    """What became of the mutations of one record."""

    refused: int = 0
    accepted: int = 0
    slowest: float = 0.0


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Flip, cut, insert, overwrite, repeat or swap bytes, mostly near the header; now and then several times."""
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        if not out:
            break
        at = rng.randrange(min(len(out), 160)) if rng.random() < 0.6 else rng.randrange(len(out))
        match rng.randrange(8):
            case 0:
                out[at] ^= 1 << rng.randrange(8)
            case 1:
                del out[at : at + rng.randrange(1, 20)]
            case 2:
                out[at:at] = rng.randbytes(rng.randrange(1, 20))
            case 3:
                out[at : at + 8] = rng.choice([*SPECIAL, rng.randbytes(8)])
            case 4:
                del out[rng.randrange(len(out)) :]
            case 5:
                out[at:at] = out[at : at + rng.randrange(1, 64)]
            case 6:
                out += rng.randbytes(rng.choice([1, 8, len(data)]))
            case _:
                other = rng.randrange(len(out))
                out[at], out[other] = out[other], out[at]
    return bytes(out)


def doors(net: Network) -> dict[str, Door]:
    """Every parser of bytes that come from outside, with a good record for each."""
    return {**_ciphertexts(net), **_keys(net), **_ceremony(net), **_envelopes(net)}


def _ciphertexts(net: Network) -> dict[str, Door]:
    chunk, other = (next(net.sealer.seal(values(k, 20, 9))) for k in (1, 2))
    total = add([chunk, other], MINIMAL)
    partials = net.partials(total, (0, 1, 2))
    layout = Layout((TensorSpec("a", (3, 4), "0.5"), TensorSpec("b", (), "2")))

    def read(data: bytes) -> bytes:
        header, body = read_chunk(data, MINIMAL)
        return header.to_bytes() + write_polynomials(body)

    def summed(data: bytes) -> bytes:
        """What was read shows in a sum, once the other summand is taken away again."""
        _, found = read_chunk(add([data, other], MINIMAL), MINIMAL)
        _, second = read_chunk(other, MINIMAL)
        header, body = read_chunk(data, MINIMAL)
        primes = np.array(MINIMAL.chunk_primes, np.uint64)[:, None]
        assert np.array_equal(np.where(found >= second, found - second, found + primes - second), body)
        return header.to_bytes() + write_polynomials(body)

    def opened(data: bytes) -> None:
        """A canonical partial opening may be wrong (SECURITY.md); then combining refuses, or gives 20 values."""
        ints = combine(total, {**partials, 1: data}, MINIMAL, 4)
        assert ints.shape == (20,)
        assert int(np.abs(ints).max()) <= MINIMAL.field_limit + 1

    def opened_sum(data: bytes) -> None:
        assert np.array_equal(combine(data, partials, MINIMAL, 4), values(1, 20, 9) + values(2, 20, 9))

    return {
        "chunk": Door(chunk, read),
        "summand": Door(chunk, summed),
        "sum, opened": Door(total, opened_sum),
        "partial opening": Door(partials[1], opened),
        "layout": Door(layout.to_bytes(), lambda d: Layout.from_bytes(d).to_bytes()),
    }


def _keys(net: Network) -> dict[str, Door]:
    member = net.members[0].secret_bytes()

    def member_key(data: bytes) -> bytes:
        key = MemberKey.from_secret_bytes(data, allow_minimal=True)
        return key.secret_bytes()

    def unprotected(data: bytes) -> bytes:
        assert secrets.unprotect(data, "password") == b"secret"
        return data

    with mock.patch.object(secrets, "_stretch", _cheap):
        protected = secrets.protect(b"secret", "password")

    def cheaply(data: bytes) -> bytes:
        with mock.patch.object(secrets, "_stretch", _cheap):
            return unprotected(data)

    return {
        "joint key": Door(net.joint.to_bytes(), lambda d: JointKey.from_bytes(d, allow_minimal=True).to_bytes()),
        "member key": Door(member, member_key),
        "protected secret": Door(protected, cheaply),
    }


def _cheap(password: str, salt: bytes, memory: int, passes: int, lanes: int) -> bytes:
    """In place of Argon2: what is tested is the reading, and the costs' bounds are tested by themselves."""
    return hashlib.sha256(f"{password}/{memory}/{passes}/{lanes}/".encode() + salt).digest()


def _ceremony(net: Network) -> dict[str, Door]:
    """Messages of a dealer that broke its commitment, and of one that committed to nonsense."""
    dealer, box, terms = net.dealers[1], net.boxes[0], net.terms
    dealing = dealer.dealing()
    header = dealing.header
    plaintext = unseal(dealing.shares[0], box, 1, 0)
    context = b"fuzzing"
    proof = boxproof.prove(box, dealing.shares[0], context)

    def take(header: DealingHeader, public: bytes, share: bytes) -> None:
        receive(header, public, share, box, terms=terms, commitment=header.commitment, dealer=1, receiver=0)

    def committed_header(data: bytes) -> bytes:
        found = DealingHeader.from_bytes(data)
        take(found, dealing.public, dealing.shares[0])
        return found.to_bytes()

    def committed_public(data: bytes) -> bytes:
        changed = replace(header, public=hashlib.sha256(data).digest())
        return write_polynomials(read_public(changed, data, terms, 1))

    def committed_share(data: bytes) -> None:
        changed = replace(header, shares=(hashlib.sha256(data).digest(), *header.shares[1:]))
        take(changed, dealing.public, data)
        if data != dealing.shares[0]:
            raise ReadAsSomethingElse("a sealed box opened after a change")

    def share_text(data: bytes) -> None:
        read_share(data, header, terms, 0)
        if data != plaintext:
            raise ReadAsSomethingElse("a share passed the check values of another")

    def proof_bytes(data: bytes) -> bytes:
        assert boxproof.reveal(data, box.public, dealing.shares[0], context) in {plaintext, None}
        return data

    def proved_box(data: bytes) -> None:
        boxproof.reveal(proof, box.public, data, context)

    return {
        "dealing header": Door(header.to_bytes(), lambda d: DealingHeader.from_bytes(d).to_bytes()),
        "dealing header, committed": Door(header.to_bytes(), committed_header),
        "public share": Door(dealing.public, committed_public),
        "sealed share": Door(dealing.shares[0], committed_share),
        "share": Door(plaintext, share_text),
        "box proof": Door(proof, proof_bytes),
        "box under proof": Door(dealing.shares[0], proved_box),
    }


def _envelopes(net: Network) -> dict[str, Door]:
    key, binding = net.members[0].content, Binding("share", 1, 2, bytes(20))
    sealed = envelope.seal(key, binding, b"for members")

    def unsealed(data: bytes) -> bytes:
        return envelope.seal(key, binding, envelope.open(key, binding, data))

    return {"envelope": Door(sealed, unsealed)}


def run(door: Door, count: int, seed: str) -> Tally:
    """Mutate and read ``count`` times.

    Raises:
        ReadAsSomethingElse: a record was accepted that its value does not write back.
        Exception: whatever is no CryptoError.
    """
    rng, tally = random.Random(seed), Tally()
    door.parse(door.data)
    for data in (mutate(door.data, rng) for _ in range(count)):
        started = time.perf_counter()
        try:
            again = door.parse(data)
        except CryptoError:
            tally.refused += 1
        else:
            tally.accepted += 1
            if again is not None and again != data:
                raise ReadAsSomethingElse(f"{len(data)} bytes were read as {len(again)} other ones")
        tally.slowest = max(tally.slowest, time.perf_counter() - started)
    return tally


def run_alone(name: str, count: int, seed: int) -> Tally:
    """One record in this process, which may not take much more memory than it has."""
    door = doors(cached(MINIMAL, 4, 3))[name]
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    taken = int(next(line for line in status if line.startswith("VmSize")).split()[1]) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    return run(door, count, f"{name}/{seed}")


def everything(count: int, seed: int) -> Iterator[tuple[str, Tally | BaseException]]:
    """Every record, each in a process of its own: a crash of one is reported like an exception."""
    spawn = multiprocessing.get_context("spawn")
    for name in doors(cached(MINIMAL, 4, 3)):
        with ProcessPoolExecutor(1, spawn) as pool:
            try:
                yield name, pool.submit(run_alone, name, count, seed).result()
            except Exception as error:  # noqa: BLE001  (whatever it is, it is the finding)
                yield name, error


def main() -> int:
    """Fuzz, print a line a record, and say whether all was well."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=1200, help="mutations of each record; default %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    total, bad = 0, 0
    for name, found in everything(options.count, options.seed):
        if isinstance(found, Tally):
            total += found.refused + found.accepted
            bad += found.slowest > SLOWEST
            print(f"{name:28} refused {found.refused:6} same value {found.accepted:5} slowest {found.slowest:.3f} s")
        else:
            bad += 1
            print(f"{name:28} {type(found).__name__}: {found}")
    print(f"{total} mutations, {bad} records with faults")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
